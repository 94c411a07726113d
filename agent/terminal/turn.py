"""One turn under a person's eyes: its events to a display, and Ctrl-C to the turn."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from graph.types import ConversationResult, TurnEnded, TurnStarted

if TYPE_CHECKING:
    from agent.core import Agent, Request
    from agent.terminal.displays import Display


def follow(agent: Agent, request: Request, display: Display) -> ConversationResult:
    """Run the turn to its end. Ctrl-C cancels it and the end is shown; a second one leaves (KeyboardInterrupt)."""
    thread_id = ""

    def cancel() -> bool:
        if thread_id:
            threading.Thread(target=agent.cancel, args=(thread_id,), daemon=True).start()
            display.note("Cancelling … (Ctrl-C again leaves at once)")
        return bool(thread_id)

    with display, interrupts(cancel), closing(agent.run(request)) as events:
        for event in events:
            if isinstance(event, TurnStarted):
                thread_id = event.thread_id
            display.show(event)
            if isinstance(event, TurnEnded):
                return event.result
    raise AssertionError("a turn ends with TurnEnded")


@contextmanager
def interrupts(cancel: Callable[[], bool]) -> Iterator[None]:
    """The first Ctrl-C goes to `cancel`; when that has nothing to cancel, or the next time, it is KeyboardInterrupt."""
    asked = False

    def interrupted(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked or not cancel():
            raise KeyboardInterrupt
        asked = True

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
