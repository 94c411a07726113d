"""One run at a time on a thread: wait, reject or fork; fenced, and freed when the holder dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.checkpointers.requests import run as storm
from checkpointers import LeaseLost, Saver, ThreadBusy, held_threads, open_checkpointer, request_cancel
from tests.checkpointers.conftest import EMBEDDED, Opener
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


class _Broken(Exception):
    pass


@pytest.mark.parametrize("step", ["_next_fence", "copy_thread"])
def test_an_error_between_asking_and_entering_leaves_the_thread_free(saver: Saver, step: str):
    def breaks(*_: object) -> None:
        raise _Broken

    def asked(policy: str) -> None:
        with saver.lease("t", policy=policy):
            raise AssertionError("not reached")

    async def asked_async(policy: str) -> None:
        async with saver.alease("t", policy=policy):
            raise AssertionError("not reached")

    Line(saver).put({"x": [1]})
    held = saver.lease("t") if step == "copy_thread" else contextlib.nullcontext()
    policy = "fork" if step == "copy_thread" else "reject"
    with held:
        setattr(saver, step, breaks)
        with pytest.raises(_Broken):
            asked(policy)
        with pytest.raises(_Broken):
            asyncio.run(asked_async(policy))
        delattr(saver, step)
    with saver.lease("t", policy="reject") as lease:
        assert lease.thread_id == "t"


def test_a_full_disk_does_not_lock_a_thread(tmp_path: Path):
    """No file may grow: the lease is refused with the file's name and the remedy, and given when there is room."""
    script = f"""
        import resource, signal
        from checkpointers import StoreFull, open_checkpointer
        with open_checkpointer("sqlite", path={str(tmp_path / "state")!r}) as saver:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            for _ in range(3):
                try:
                    with saver.lease("t", policy="reject"):
                        raise SystemExit("it had room")
                except StoreFull as error:
                    assert "state.leases" in str(error) and "Free some space" in str(error), error
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            with saver.lease("t", policy="reject"):
                print("free")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, cwd=Path.cwd(), check=False
    )
    assert (done.stdout, done.stderr) == ("free\n", "")
    assert list((tmp_path / "state.leases").iterdir()) == []


def test_who_stops_waiting_for_a_lease_leaves_it_to_others(saver: Saver):
    """The task is cancelled while its worker takes the lock."""
    taking, go_on = threading.Event(), threading.Event()
    take = saver._attempt

    def slowly(thread_id: str) -> object:
        hold = take(thread_id)
        taking.set()
        go_on.wait(5)
        return hold

    async def story() -> None:
        saver._attempt = slowly  # type: ignore[method-assign]
        asking = asyncio.create_task(saver.alease("t").__aenter__())
        await asyncio.to_thread(taking.wait, 5)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        go_on.set()
        del saver._attempt
        async with saver.alease("t", timeout=5) as lease:
            assert lease.thread_id == "t"

    asyncio.run(story())


def test_a_run_is_asked_to_end_from_elsewhere(saver: Saver):
    assert saver.request_cancel("t") is False, "nobody runs"
    with saver.lease("t") as lease:
        assert lease.cancel_requested() is False
        assert saver.request_cancel("t") is True
        assert lease.cancel_requested() is True
    assert lease.cancel_requested() is False
    with saver.lease("t") as lease:
        assert lease.cancel_requested() is False, "it was another run that was asked"


@pytest.mark.parametrize("kind", EMBEDDED)
def test_a_run_in_another_process_is_asked_without_opening_the_store(kind: str, tmp_path: Path):
    """DuckDB's file belongs to one process: the mark stands beside it."""
    path = tmp_path / "state"
    script = f"""
        import time
        from checkpointers import open_checkpointer
        with open_checkpointer({kind!r}, path={str(path)!r}) as saver, saver.lease("my thread") as lease:
            print("held", flush=True)
            while not lease.cancel_requested():
                time.sleep(0.01)
            print("cancelled", flush=True)
    """
    assert held_threads(path) == []
    assert request_cancel(path, "my thread") is False
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as process:
        assert process.stdout.readline() == "held\n"
        assert held_threads(path) == ["my thread"]
        assert request_cancel(path, "other") is False
        assert request_cancel(path, "my thread") is True
        assert process.communicate(timeout=20)[0] == "cancelled\n"
    assert held_threads(path) == []
    assert list((tmp_path / "state.leases").iterdir()) == []
