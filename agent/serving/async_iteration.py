"""From a thread that blocks to the event loop: each request has a thread of its own, so that none waits for another."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
PUMP = "request"
"""The name of the threads."""


@dataclass(frozen=True)
class Failed:
    error: Exception


@dataclass
class Bridge(Generic[T]):
    """Runs `items` in a thread. Who stops reading early interrupts it; it is then closed by that same thread.

    `interrupt` must not block. It is called in any case, while `items` may be blocked between two items.
    """

    items: Generator[T, None, None]
    interrupt: Callable[[], object]
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    _arrived: asyncio.Queue[T | Failed | None] = field(default_factory=asyncio.Queue)
    _left: threading.Event = field(default_factory=threading.Event)

    async def read(self) -> AsyncGenerator[T, None]:
        """The items as they come; raises what `items` raised."""
        context = contextvars.copy_context()
        pump = threading.Thread(target=context.run, args=(self._pump,), name=PUMP, daemon=True)
        pump.start()
        try:
            while (item := await self._arrived.get()) is not None:
                if isinstance(item, Failed):
                    raise item.error
                yield item
        finally:
            self._left.set()
            self.interrupt()

    def _pump(self) -> None:
        try:
            for item in self.items:
                if self._left.is_set():
                    break
                self._deliver(item)
        except Exception as error:  # noqa: BLE001 - handed over to the reader, who raises it
            self._deliver(Failed(error))
        finally:
            self.items.close()
            self._deliver(None)

    def _deliver(self, item: T | Failed | None) -> None:
        """A loop that is closed has no reader left."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._arrived.put_nowait, item)


def drain(seconds: float) -> None:
    """Wait until what was left early is closed, too."""
    deadline = time.monotonic() + seconds
    for thread in threading.enumerate():
        if thread.name == PUMP:
            thread.join(max(0.0, deadline - time.monotonic()))
