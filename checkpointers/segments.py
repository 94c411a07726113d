"""A long list as runs of segments: what is already stored is pointed at, only what is new is written."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from checkpointers.records import Run

HASH = 16
MAX_RUNS = 24


class Plan(NamedTuple):
    """How a list is made: `runs` in order, of which the last elements may be new ones, to be written to `lineage`."""

    runs: tuple[Run, ...]
    lineage: int
    start: int
    fresh: tuple[int, ...]


def digest(element: bytes) -> bytes:
    return blake2b(element, digest_size=HASH).digest()


def split_hashes(joined: bytes) -> list[bytes]:
    return [joined[i : i + HASH] for i in range(0, len(joined), HASH)]


def plan(old: Sequence[bytes], runs: tuple[Run, ...], new: Sequence[bytes], lineage: int) -> Plan:
    """`old` and `new` are element hashes; `runs` is where the old list lies, `lineage` a number nobody uses yet."""
    kept = _common(old, new)
    if kept == len(old):
        return appended(runs, range(kept, len(new)), lineage)
    if not new:
        return Plan((), lineage, 0, ())
    pieces, fresh = _matched(old, new, kept)
    if len(pieces) > 1 and len(pieces) <= MAX_RUNS and fresh == list(range(fresh[0] if fresh else 0, len(new))):
        reused = _placed(pieces[:-1] if fresh else pieces, runs, lineage)
        if reused[-1] == runs[-1]._replace(start=reused[-1].start):
            return appended(reused, fresh, lineage)
    if len(pieces) > MAX_RUNS or not pieces:
        return Plan((Run(lineage, 0, len(new)),), lineage, 0, tuple(range(len(new))))
    return Plan(_placed(pieces, runs, lineage), lineage, 0, tuple(fresh))


def appended(runs: tuple[Run, ...], fresh: Sequence[int], lineage: int) -> Plan:
    """The old list and more at its end: the last lineage grows."""
    if not fresh:
        return Plan(runs, lineage, 0, ())
    if not runs:
        return Plan((Run(lineage, 0, len(fresh)),), lineage, 0, tuple(fresh))
    last = runs[-1]
    grown = Run(last.lineage, last.start, last.stop + len(fresh))
    return Plan((*runs[:-1], grown), last.lineage, last.stop, tuple(fresh))


def branched(runs: tuple[Run, ...], fresh: Sequence[int], total: int, lineage: int) -> Plan:
    """The old list and more at its end, when its last lineage already went on elsewhere."""
    if len(runs) >= MAX_RUNS:
        return Plan((Run(lineage, 0, total),), lineage, 0, tuple(range(total)))
    return Plan((*runs, Run(lineage, 0, len(fresh))), lineage, 0, tuple(fresh))


def _common(old: Sequence[bytes], new: Sequence[bytes]) -> int:
    """How many elements the two begin with in common."""
    both = min(len(old), len(new))
    if old[:both] == new[:both]:
        return both
    low, high = 0, both
    while low < high:
        middle = (low + high + 1) // 2
        if old[:middle] == new[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _matched(old: Sequence[bytes], new: Sequence[bytes], kept: int) -> tuple[list[tuple[int, int, int]], list[int]]:
    """The new list as (source, start, stop): source 0 is a stretch of the old list, 1 one of the fresh elements."""
    where = {element: position for position, element in reversed(list(enumerate(old)))}
    pieces: list[tuple[int, int, int]] = [(0, 0, kept)] if kept else []
    fresh: list[int] = []
    for index in range(kept, len(new)):
        position = _next_position(pieces, old, new[index], where)
        source, at = (0, position) if position is not None else (1, len(fresh))
        if position is None:
            fresh.append(index)
        if pieces and pieces[-1][0] == source and pieces[-1][2] == at:
            pieces[-1] = (source, pieces[-1][1], at + 1)
        else:
            pieces.append((source, at, at + 1))
    return pieces, fresh


def _next_position(
    pieces: Sequence[tuple[int, int, int]], old: Sequence[bytes], element: bytes, where: dict[bytes, int]
) -> int | None:
    if pieces and pieces[-1][0] == 0:
        following = pieces[-1][2]
        if following < len(old) and old[following] == element:
            return following
    return where.get(element)


def _placed(pieces: Sequence[tuple[int, int, int]], runs: tuple[Run, ...], lineage: int) -> tuple[Run, ...]:
    out: list[Run] = []
    for source, start, stop in pieces:
        out.extend([Run(lineage, start, stop)] if source else cut(runs, start, stop))
    return tuple(out)


def cut(runs: Sequence[Run], start: int, stop: int) -> list[Run]:
    """The part of a list of runs that holds its elements `start` to `stop`."""
    out, at = [], 0
    for run in runs:
        length = run.stop - run.start
        low, high = max(start - at, 0), min(stop - at, length)
        if low < high:
            out.append(Run(run.lineage, run.start + low, run.start + high))
        at += length
    return out
