"""A generator that blocks, read from the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator
from contextlib import aclosing

import pytest

from agent.serving.async_iteration import Bridge


def counting(upto: int, seconds: float = 0.0) -> Generator[int, None, None]:
    for number in range(upto):
        time.sleep(seconds)
        yield number


async def collected(items: Generator[int, None, None]) -> list[int]:
    return [item async for item in Bridge(items, lambda: None).read()]


def test_items_arrive_in_order():
    assert asyncio.run(collected(counting(5))) == [0, 1, 2, 3, 4]


def test_readers_do_not_wait_for_each_other():
    async def all_at_once() -> list[list[int]]:
        return await asyncio.gather(*(collected(counting(3, seconds=0.1)) for _ in range(20)))

    began = time.monotonic()
    assert asyncio.run(all_at_once()) == [[0, 1, 2]] * 20
    assert time.monotonic() - began < 4.0


def test_what_the_generator_raises_reaches_the_reader():
    def broken() -> Generator[int, None, None]:
        yield 1
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        asyncio.run(collected(broken()))


def test_who_leaves_early_interrupts_a_blocked_generator_and_it_is_closed():
    interrupted, closed = threading.Event(), threading.Event()

    def blocked() -> Generator[int, None, None]:
        try:
            yield 1
            interrupted.wait(10)
            yield 2
            raise AssertionError("it went on after its reader had left")
        finally:
            closed.set()

    async def leave_after_the_first() -> None:
        async with aclosing(Bridge(blocked(), interrupted.set).read()) as items:
            async for _ in items:
                break

    asyncio.run(leave_after_the_first())
    assert closed.wait(5)


def test_a_cancelled_reader_leaves_too():
    interrupted = threading.Event()

    def blocked() -> Generator[int, None, None]:
        interrupted.wait(10)
        yield 1

    async def cancelled() -> None:
        task = asyncio.create_task(collected_until_cancelled())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def collected_until_cancelled() -> list[int]:
        async with aclosing(Bridge(blocked(), interrupted.set).read()) as items:
            return [item async for item in items]

    asyncio.run(cancelled())
    assert interrupted.wait(5)
