"""What a saver asks of the file it keeps its rows in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from checkpointers.encoding import Codec
from checkpointers.records import Kept, NewRow, Place, Saved, Selection, Sweep, ThreadInfo
from checkpointers.transfer import RawCheckpoint


class Older(Protocol):
    """Tables of another layout in the same file, and how to read them."""

    def is_there(self, execute: Callable[..., Any]) -> bool: ...

    def threads(self, execute: Callable[..., Any]) -> list[str]: ...

    def checkpoints(self, execute: Callable[..., Any], thread_id: str, codec: Codec) -> Iterator[RawCheckpoint]: ...

    def removal(self, thread_id: str | None) -> tuple[str, ...]:
        """The statements that remove a thread's rows, or with None the empty tables."""


class Store(Protocol):
    """Rows that never change what they hold. Each method is atomic, durable when it returns, and safe to call from any
    thread. A row's number is never given to another one; in its place its low 32 bits say which row it is (`pointer`),
    rising from 1, also in a copy of the thread."""

    name: str
    clear_metadata: bool

    def add(self, row: NewRow) -> int | None:
        """The row's number; None, and nothing is saved, when what it needs is gone. A checkpoint that is saved again
        takes the place of the one with its id, whose row stays for those that point at it."""

    def latest(self, place: Place) -> Saved | None: ...

    def checkpoint(self, place: Place, checkpoint_id: str) -> Saved | None: ...

    def rows(self, place: Place, pointers: Sequence[int]) -> dict[int, bytes]: ...

    def page(self, selection: Selection) -> list[Saved]: ...

    def places(self, thread_id: str) -> list[Place]: ...

    def threads(self) -> list[ThreadInfo]: ...

    def alone(self) -> AbstractContextManager[None]:
        """For the `with` block nobody else writes; what is done in it is done whole or not at all."""

    def everything(self, place: Place) -> list[Kept]: ...

    def sweep(self, sweep: Sweep) -> None: ...

    def delete_thread(self, thread_id: str) -> None: ...

    def copy_thread(self, source: str, target: str) -> None: ...

    def claim(self, thread_id: str, key: str, data: bytes) -> bool:
        """Whether the key was free."""

    def claimed(self, thread_id: str, key: str) -> bytes | None: ...

    def next_fence(self, thread_id: str) -> int:
        """A number that wasn't given out for this thread before."""

    def fence(self, thread_id: str) -> int | None:
        """The number given out last; None when the thread was deleted since."""

    def has_older(self, source: Older) -> bool: ...

    def older_threads(self, source: Older) -> list[str]: ...

    def older_checkpoints(self, source: Older, thread_id: str, codec: Codec) -> Iterator[RawCheckpoint]: ...

    def forget_older(self, source: Older, thread_id: str | None) -> None:
        """Remove a thread, or with None the empty tables."""

    def vacuum(self) -> None: ...

    def close(self) -> None: ...
