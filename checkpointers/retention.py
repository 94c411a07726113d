"""Which checkpoints may go. Pure: facts in, what stays out.

What stays, besides the newest of each place: whatever a kept checkpoint needs to be rebuilt (a delta channel's writes
back to its last snapshot), and every branch that still waits for a person's answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Retention:
    """`keep_last` checkpoints of each place (None: all); threads not touched for `ttl` go when the store is opened."""

    keep_last: int | None = None
    ttl: timedelta | None = None

    def __post_init__(self) -> None:
        if self.keep_last is not None and self.keep_last < 1:
            raise ValueError(f"keep_last is at least 1, not {self.keep_last}")


@dataclass(frozen=True, slots=True)
class Fact:
    """What retention needs to know of one checkpoint."""

    ns: str
    id: str
    parent: str | None
    run_id: str | None = None
    root: str | None = None
    stored: frozenset[str] = frozenset()
    versioned: frozenset[str] = frozenset()
    delta: frozenset[str] = frozenset()
    interrupted: bool = False
    sends_in_parent: bool = False


@dataclass
class _Place:
    facts: dict[str, Fact] = field(default_factory=dict)

    def newest(self, count: int) -> list[str]:
        return sorted(self.facts, reverse=True)[:count]

    def waiting(self) -> set[str]:
        """Branches that end in an unanswered interrupt."""
        parents = {fact.parent for fact in self.facts.values()}
        return {fact.id for fact in self.facts.values() if fact.interrupted and fact.id not in parents}


def kept(facts: Iterable[Fact], keep_last: int) -> dict[str, set[str]]:
    """For each namespace the ids that stay; a finished subgraph call whose root checkpoint goes is left out."""
    places = _by_place(facts)
    delta = frozenset[str]().union(*(f.delta for p in places.values() for f in p.facts.values()))
    root = places.get("", _Place())
    root_kept = _needed(root, {*root.newest(keep_last), *root.waiting()}, delta)
    out: dict[str, set[str]] = {}
    for ns, place in places.items():
        heads = {*place.newest(keep_last), *place.waiting()}
        if ns and _is_over(ns, place, root, root_kept):
            continue
        out[ns] = root_kept if ns == "" else _needed(place, heads, delta)
    return out


def survivors(facts: Iterable[Fact], runs: Collection[str]) -> dict[str, set[str]]:
    """What stays when these runs are to go: the others, and what their delta channels are rebuilt from."""
    places = _by_place(facts)
    delta = frozenset[str]().union(*(f.delta for p in places.values() for f in p.facts.values()))
    others = {ns: {f.id for f in place.facts.values() if f.run_id not in runs} for ns, place in places.items()}
    return {ns: _needed(place, others[ns], delta) for ns, place in places.items()}


def _by_place(facts: Iterable[Fact]) -> Mapping[str, _Place]:
    places: defaultdict[str, _Place] = defaultdict(_Place)
    for fact in facts:
        places[fact.ns].facts[fact.id] = fact
    return places


def _is_over(ns: str, place: _Place, root: _Place, root_kept: set[str]) -> bool:
    """A subgraph's call (its namespace ends in a task id) whose root checkpoint exists and goes."""
    newest = place.facts[place.newest(1)[0]]
    return ":" in ns and newest.root in root.facts and newest.root not in root_kept and not place.waiting()


def _needed(place: _Place, heads: Iterable[str], delta: frozenset[str]) -> set[str]:
    stay = set(heads)
    for head in list(stay):
        fact = place.facts[head]
        if fact.sends_in_parent and fact.parent in place.facts:
            stay.add(fact.parent)
        for channel in delta & fact.versioned:
            stay.update(_back_to_snapshot(place, fact, channel))
    return stay


def _back_to_snapshot(place: _Place, fact: Fact, channel: str) -> Sequence[str]:
    path: list[str] = []
    seen = {fact.id}
    while channel not in fact.stored:
        parent = place.facts.get(fact.parent) if fact.parent else None
        if parent is None or parent.id in seen:
            break
        seen.add(parent.id)
        path.append(parent.id)
        fact = parent
    return path
