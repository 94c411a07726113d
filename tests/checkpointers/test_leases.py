"""One run at a time on a thread: wait, reject or fork; fenced, and freed when the holder dies."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.checkpointers.requests import run as storm
from checkpointers import LeaseLost, Saver, ThreadBusy, open_checkpointer
from tests.checkpointers.conftest import Opener
from tests.checkpointers.making import Line, chat, config
from tests.workspace.postgres import Postgres


def test_reject_names_the_holder_at_once(saver: Saver):
    with saver.lease("t") as lease:
        assert (lease.thread_id, lease.forked_from) == ("t", None)
        with pytest.raises(ThreadBusy, match=rf"thread 't' is busy: process {os.getpid()} on .* \(since 20") as busy:
            with saver.lease("t", policy="reject"):
                pass
        assert busy.value.thread_id == "t"
        with saver.lease("other", policy="reject"):
            pass
    with saver.lease("t", policy="reject"):
        pass


def test_wait_gives_up_after_its_time(saver: Saver):
    with saver.lease("t"):
        begun = time.monotonic()
        with pytest.raises(ThreadBusy, match=r"after 0\.\d s"):
            with saver.lease("t", timeout=0.2):
                pass
        assert time.monotonic() - begun >= 0.2


def test_wait_goes_on_when_the_holder_is_done(saver: Saver):
    held, order = threading.Event(), []

    def first() -> None:
        with saver.lease("t"):
            held.set()
            time.sleep(0.1)
            order.append("first")

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(first)
        held.wait()
        with saver.lease("t"):
            order.append("second")
        done.result()
    assert order == ["first", "second"]


def test_fork_goes_on_in_a_copy(saver: Saver):
    graph = chat(saver)
    graph.invoke({"messages": [("user", "hi")]}, config("t"))
    with saver.lease("t"), saver.lease("t", policy="fork") as lease:
        assert lease.forked_from == "t"
        assert lease.thread_id != "t"
        graph.invoke({"messages": [("user", "in the copy")]}, config(lease.thread_id))
    assert len(graph.get_state(config("t")).values["messages"]) == 2
    assert len(graph.get_state(config(lease.thread_id)).values["messages"]) == 4


def test_an_unknown_policy_is_named(saver: Saver):
    with saver.lease("t"), pytest.raises(ValueError, match="'wait', 'reject' or 'fork'"):
        with saver.lease("t", policy="steal"):
            pass


def test_a_run_that_outlives_its_lease_can_not_write(saver: Saver):
    """The lease goes with the run's context into its threads."""
    import contextvars

    with saver.lease("t"):
        line = Line(saver)
        line.put({"x": [1]})
        late = contextvars.copy_context()
    with pytest.raises(LeaseLost, match="given back"):
        late.run(line.put, {"x": [2]})
    with pytest.raises(LeaseLost, match="given back"):
        late.run(saver.put_writes, line.at, [("x", 1)], "task")
    assert saver.get_tuple(config("t")).checkpoint["channel_values"]["x"] == [1]
    line.put({"x": [3]})


def test_a_newer_lease_fences_an_older_one(saver: Saver):
    """As when the holder's lock was lost without its knowing: its connection was cut, its lock file removed."""
    with saver.lease("t"):
        line = Line(saver)
        line.put({"x": [1]})
        saver._next_fence("t")
        with pytest.raises(LeaseLost, match="newer run"):
            line.put({"x": [2]})
        with pytest.raises(LeaseLost, match="newer run"):
            saver.put_writes(line.at, [("x", 1)], "task")


def test_async_waiting_does_not_block_the_loop(saver: Saver):
    async def story() -> list[str]:
        order: list[str] = []

        async def first() -> None:
            async with saver.alease("t"):
                order.append("first")
                await asyncio.sleep(0.15)
                order.append("first done")

        async def second() -> None:
            await asyncio.sleep(0.03)
            async with saver.alease("t"):
                order.append("second")

        async def ticks() -> None:
            await asyncio.sleep(0.08)
            order.append("tick")

        await asyncio.gather(first(), second(), ticks())
        return order

    assert asyncio.run(story()) == ["first", "tick", "first done", "second"]


def test_no_message_is_lost_when_requests_meet(open_store: Opener):
    with open_store() as saver:
        assert storm(saver, threads=4, requests=6)[:2] == (24, 0)


_HOLDER = """
import sys
from checkpointers import open_checkpointer
with open_checkpointer("sqlite", path=sys.argv[1]) as saver, saver.lease("t"):
    print("held", flush=True)
    sys.stdin.read()
"""
_PG_HOLDER = _HOLDER.replace('"sqlite", path', '"postgres", conninfo')


@pytest.fixture
def elsewhere(tmp_path: Path):
    """Start a process that holds thread "t"; ends it afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    def start(script: str, where: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", script, where], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path.cwd()
        )
        started.append(process)
        assert process.stdout.readline() == b"held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_a_killed_holder_frees_the_thread_of_a_file(tmp_path: Path, elsewhere):
    path = str(tmp_path / "state.sqlite")
    with open_checkpointer("sqlite", path=path) as saver:
        _freed_by_a_kill(saver, elsewhere(_HOLDER, path))


def test_a_killed_holder_frees_the_thread_of_a_server(postgres: Postgres, elsewhere):
    with open_checkpointer("postgres", conninfo=postgres.dsn()) as saver:
        _freed_by_a_kill(saver, elsewhere(_PG_HOLDER, postgres.dsn()))


def _freed_by_a_kill(saver: Saver, holder: subprocess.Popen[bytes]) -> None:
    with pytest.raises(ThreadBusy, match=f"process {holder.pid} on"):
        with saver.lease("t", policy="reject"):
            pass
    holder.send_signal(signal.SIGKILL)
    begun = time.monotonic()
    with saver.lease("t", timeout=10):
        assert time.monotonic() - begun < 5
        Line(saver).put({"x": [1]})
