"""Waiting for a model or a tool: until it has answered, the request is cancelled, or the turn's time is over."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from graph.errors import Cancelled, OutOfTime

if TYPE_CHECKING:
    from graph.context import RunContext

T = TypeVar("T")

LOOK_SECONDS = 0.1
"""How soon a cancellation is noticed."""


def check(ctx: RunContext) -> None:
    """Raises Cancelled or OutOfTime when the turn has to end."""
    if ctx.cancelled.is_set():
        raise Cancelled("the request was cancelled while something was waited for")
    if ctx.until is not None and ctx.clock.monotonic() >= ctx.until:
        raise OutOfTime("the time limit (limits.max_seconds) was reached while something was waited for")


def wait_for(ctx: RunContext, work: Callable[[], T]) -> T:
    """What the work returns or raises. Raises Cancelled or OutOfTime; the work that is given up ends by itself."""
    (result,) = each(ctx, lambda: (work() for _ in range(1)))
    return result


def each(ctx: RunContext, start: Callable[[], Iterable[T]]) -> Iterator[T]:
    """The pieces as they come. Raises Cancelled or OutOfTime; a stream that is given up is closed at its next piece."""
    pieces: SimpleQueue[tuple[T] | BaseException | None] = SimpleQueue()
    given_up = threading.Event()

    def work() -> None:
        try:
            for piece in start():
                if given_up.is_set():
                    return
                pieces.put((piece,))
            pieces.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again by who waits
            pieces.put(error)

    threading.Thread(target=contextvars.copy_context().run, args=(work,), name="waited-for", daemon=True).start()
    try:
        while (piece := next_piece(ctx, pieces)) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece[0]
    finally:
        given_up.set()


def next_piece(
    ctx: RunContext, pieces: SimpleQueue[tuple[T] | BaseException | None]
) -> tuple[T] | BaseException | None:
    while True:
        check(ctx)
        left = LOOK_SECONDS if ctx.until is None else min(LOOK_SECONDS, max(0.0, ctx.until - ctx.clock.monotonic()))
        try:
            return pieces.get(timeout=left)
        except Empty:
            continue
