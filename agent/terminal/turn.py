"""One turn under a person's eyes: its events to a display, and Ctrl-C to the turn."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from graph.events import Event, TurnEnded
from graph.types import ConversationResult

if TYPE_CHECKING:
    from agent.core import Request
    from agent.terminal.displays import Display


Run = Callable[["Request", threading.Event], Generator[Event, None, None]]
"""`Agent.run`, or the same with a trace around it."""


def follow(run: Run, request: Request, display: Display) -> ConversationResult:
    """Run the turn to its end. Ctrl-C cancels it and the end is shown; a second one leaves (KeyboardInterrupt)."""
    cancelled = threading.Event()

    def cancel() -> None:
        cancelled.set()
        display.note("Cancelling … (Ctrl-C again leaves at once)")

    with display, interrupts(cancel), closing(run(request, cancelled)) as events:
        for event in events:
            display.show(event)
            if isinstance(event, TurnEnded):
                return event.result
    raise AssertionError("a turn ends with TurnEnded")


@contextmanager
def interrupts(cancel: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C goes to `cancel`, the next one is KeyboardInterrupt."""
    asked = False

    def interrupted(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        cancel()

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
