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


class Run(NamedTuple):
    """Elements `start` to `stop` (exclusive) of one lineage of segments."""

    lineage: int
    start: int
    stop: int


class CheckpointRow(NamedTuple):
    place: Place
    id: str
    parent: str | None
    metadata: bytes
    body: bytes


class SegmentRow(NamedTuple):
    """`size` elements of a list from position `start` of their lineage, and 16 bytes of hash for each."""

    place: Place
    lineage: int
    start: int
    size: int
    hashes: bytes
    data: bytes


class ValueRow(NamedTuple):
    place: Place
    key: int
    data: bytes


class WritesRow(NamedTuple):
    """What one call of `put_writes` brought."""

    place: Place
    checkpoint_id: str
    data: bytes


class Batch(NamedTuple):
    """Rows that are saved together or not at all."""

    checkpoint: CheckpointRow | None = None
    segments: Sequence[SegmentRow] = ()
    values: Sequence[ValueRow] = ()
    writes: WritesRow | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which checkpoints a listing wants, newest first. `after` is the last row that was seen."""

    thread_id: str | None = None
    ns: str | None = None
    id: str | None = None
    before: str | None = None
    after: tuple[str, Place] | None = None
    limit: int = 64


class Listed(NamedTuple):
    """One row of a listing; `load` reads the rest, and gives None when it was deleted meanwhile."""

    id: str
    place: Place
    metadata: Mapping[str, Any]
    load: Callable[[], CheckpointTuple | None]


@dataclass(frozen=True, slots=True)
class Removal:
    """What goes from one place; `orphans` are kept checkpoints that lose their parent."""

    place: Place
    checkpoints: Sequence[str] = ()
    orphans: Sequence[str] = ()
    segments: Sequence[tuple[int, int]] = ()
    values: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class ThreadInfo:
    """One thread's size: `bytes` counts what its rows hold, `updated_at` is its newest checkpoint's time."""

    thread_id: str
    checkpoints: int
    bytes: int
    updated_at: datetime | None
    namespaces: int = 1


@dataclass(frozen=True, slots=True)
class SegmentKey:
    lineage: int
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Compaction:
    """Segments that lie side by side in one lineage and become one."""

    place: Place
    merged: SegmentRow
    starts: Sequence[int] = field(default_factory=tuple)


class LineageTaken(Exception):
    """Another writer appended to the lineage first; the saver starts a lineage of its own."""
