"""What a saver asks of the file or server it keeps its rows in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from checkpointers.records import (
    Batch,
    CheckpointRow,
    Compaction,
    Place,
    Removal,
    SegmentKey,
    SegmentRow,
    Selection,
    ThreadInfo,
)


class Store(Protocol):
    """Each method is atomic, durable when it returns, and safe to call from any thread."""

    name: str
    clear_metadata: bool

    def commit(self, batch: Batch) -> None:
        """Raises `LineageTaken` when a segment's position is occupied."""

    def latest(self, place: Place) -> CheckpointRow | None: ...

    def checkpoint(self, place: Place, checkpoint_id: str) -> CheckpointRow | None: ...

    def page(self, selection: Selection) -> list[CheckpointRow]: ...

    def writes(self, place: Place, checkpoint_id: str) -> list[bytes]:
        """In the order they came."""

    def writes_of(self, place: Place, checkpoint_ids: Sequence[str]) -> dict[str, list[bytes]]:
        """The same for several checkpoints at once; those without writes may be missing."""

    def segments(self, place: Place, lineage: int, start: int, stop: int) -> list[SegmentRow]:
        """The segments that overlap `start` to `stop`, in order."""

    def values(self, place: Place, keys: Sequence[int]) -> dict[int, bytes]: ...

    def places(self, thread_id: str) -> list[Place]: ...

    def segment_keys(self, place: Place) -> list[SegmentKey]: ...

    def value_keys(self, place: Place) -> list[int]: ...

    def remove(self, removals: Iterable[Removal]) -> None: ...

    def delete_thread(self, thread_id: str) -> None: ...

    def copy_thread(self, source: str, target: str) -> None: ...

    def compact(self, compactions: Iterable[Compaction]) -> None: ...

    def threads(self) -> list[ThreadInfo]: ...

    def claim(self, thread_id: str, key: str, data: bytes) -> bool:
        """Whether the key was free."""

    def claimed(self, thread_id: str, key: str) -> bytes | None: ...

    def next_fence(self, thread_id: str) -> int:
        """A number larger than any given out for this thread before."""

    def fence(self, thread_id: str) -> int:
        """The number given out last."""

    def vacuum(self) -> None: ...

    def close(self) -> None: ...
