"""The vocabulary between a saver and its store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from langgraph.checkpoint.base import CheckpointTuple


class Place(NamedTuple):
    """Where checkpoints follow one another: a thread, and in it the graph ("") or one call of a subgraph."""

    thread_id: str
    ns: str


def pointer(number: int) -> int:
    """How other rows of its place call the row of this number."""
    return number & 0xFFFFFFFF


class NewRow(NamedTuple):
    """A checkpoint, or what one call of `put_writes` brought to the checkpoint `id`.

    `needs` is the number and id of the checkpoint whose rows this one points at.
    """

    place: Place
    id: str
    data: bytes
    is_checkpoint: bool
    parent: str | None = None
    metadata: bytes = b""
    needs: tuple[int, str] | None = None


class Written(NamedTuple):
    number: int
    data: bytes


class Saved(NamedTuple):
    """A checkpoint that was found, and its writes' data in the order they came."""

    place: Place
    number: int
    id: str
    parent: str | None
    metadata: bytes
    data: bytes
    writes: Sequence[Written] = ()


class Kept(NamedTuple):
    """Any row of a place. `id` is the checkpoint that it is, or belongs to; "" when others only point at it."""

    number: int
    id: str
    is_checkpoint: bool
    parent: str | None
    metadata: bytes
    data: bytes


@dataclass(slots=True)
class Sweep:
    """What becomes of the rows of a place: some go, some are written anew, some checkpoints lose their parent."""

    place: Place
    gone: list[int] = field(default_factory=list)
    hidden: dict[int, bytes] = field(default_factory=dict)
    rewritten: dict[int, bytes] = field(default_factory=dict)
    orphans: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which checkpoints a listing wants, newest first. `after` is the last row that was seen."""

    thread_id: str | None = None
    ns: str | None = None
    id: str | None = None
    before: str | None = None
    after: tuple[str, Place] | None = None
    limit: int = 64

    def conditions(self) -> tuple[str, list[Any]]:
        """For a WHERE, with question marks; each begins with AND."""
        found: list[tuple[str, tuple[Any, ...]]] = []
        wanted = (("thread_id=?", self.thread_id), ("ns=?", self.ns), ("id=?", self.id), ("id<?", self.before))
        found += [(condition, (value,)) for condition, value in wanted if value is not None]
        if self.after is not None:
            last, place = self.after
            found.append(("(id<? OR (id=? AND (thread_id, ns)>(?,?)))", (last, last, *place)))
        return "".join(f" AND {condition}" for condition, _ in found), [v for _, values in found for v in values]


class Listed(NamedTuple):
    """One row of a listing; `load` reads the rest, and gives None when it was deleted meanwhile."""

    id: str
    place: Place
    metadata: Mapping[str, Any]
    load: Callable[[], CheckpointTuple | None]


@dataclass(frozen=True, slots=True)
class ThreadInfo:
    """One thread's size: `bytes` counts what its rows hold, `updated_at` is its newest checkpoint's time."""

    thread_id: str
    checkpoints: int
    bytes: int
    updated_at: datetime | None
    namespaces: int = 1
