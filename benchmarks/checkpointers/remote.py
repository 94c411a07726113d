"""Postgres at a distance, and with its connections cut."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from langgraph.checkpoint.postgres import PostgresSaver as OfficialPostgres
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import Error
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from benchmarks.checkpointers.savers import database
from benchmarks.checkpointers.table import show
from checkpointers import open_checkpointer
from tests.checkpointers.making import Line, checkpoint, config
from tests.workspace.postgres import Postgres

_KWARGS = {"autocommit": True, "row_factory": dict_row, "prepare_threshold": 0}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Bytes go on `delay` seconds after they came, however many are on the way."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not data:
                writer.close()
                return
            writer.write(data)

    delivering = asyncio.create_task(deliver())
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            queue.put_nowait((loop.time() + delay, data))
    queue.put_nowait((loop.time(), b""))
    with contextlib.suppress(ConnectionError):
        await delivering


def _proxy(port: int, target: int, delay: float) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, ahead = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(_carry(reader, ahead, delay), _carry(behind, writer, delay))

    async def serve() -> None:
        server = await asyncio.start_server(connected, "127.0.0.1", port)
        await server.serve_forever()

    asyncio.run(serve())


@contextlib.contextmanager
def delayed(target: int, round_trip: float) -> Iterator[int]:
    """A port that leads to `target`, `round_trip` seconds away; in a process of its own."""
    port = _free_port()
    process = multiprocessing.get_context("spawn").Process(
        target=_proxy, args=(port, target, round_trip / 2), daemon=True
    )
    process.start()
    for _ in range(400):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            break
        time.sleep(0.05)
    try:
        yield port
    finally:
        process.kill()
        process.join()


def distance(folder: Path, seconds: float, threads: int = 10) -> None:
    port = _free_port()
    with Postgres(tcp_port=port, access="trust") as postgres, delayed(port, 0.010) as far:
        rows = []
        for name, run in (
            ("official: PostgresSaver, a pool", _official),
            ("official: AsyncPostgresSaver, a pool", _official_async),
            ("ours: PostgresSaver", _ours),
            ("ours: PostgresSaver, async", _ours_async),
        ):
            dsn = f"{database(postgres)} host=127.0.0.1 port={far}"
            rows.append([name, run(dsn, seconds, threads)])
    best = max(rows[0][1], rows[1][1])
    table = [(name, rate, rate / rows[0][1], rate / best) for name, rate in rows]
    columns = ("saver", "operations a second", "× PostgresSaver", "× the better official one")
    show(f"put and get over a round trip of 10 ms, {threads} at a time", columns, table)


def _in_threads(saver: Any, seconds: float, threads: int) -> float:
    end = time.monotonic() + seconds

    def work(number: int) -> int:
        line, done = Line(saver, f"thread {number}"), 0
        while time.monotonic() < end:
            line.put({"messages": [{"n": i} for i in range(10)]})
            saver.get_tuple(config(f"thread {number}"))
            done += 2
        return done

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(work, range(threads))) / seconds


def _official(dsn: str, seconds: float, threads: int) -> float:
    with ConnectionPool(dsn, min_size=threads, max_size=threads, kwargs=_KWARGS, open=True) as pool:
        saver = OfficialPostgres(pool)  # type: ignore[arg-type]
        saver.setup()
        return _in_threads(saver, seconds, threads)


def _ours(dsn: str, seconds: float, threads: int) -> float:
    with open_checkpointer("postgres", conninfo=dsn, pool_size=threads) as saver:
        _in_threads(saver, 0.3, threads)
        return _in_threads(saver, seconds, threads)


async def _in_tasks(saver: Any, seconds: float, tasks: int) -> float:
    end = time.monotonic() + seconds

    async def work(number: int) -> int:
        done, at, version = 0, config(f"task {number}"), None
        while time.monotonic() < end:
            version = saver.get_next_version(version, None)
            made = checkpoint({"messages": [{"n": i} for i in range(10)]}, {"messages": version})
            at = await saver.aput(at, made, {"source": "loop", "step": done}, {"messages": version})
            await saver.aget_tuple(config(f"task {number}"))
            done += 2
        return done

    return sum(await asyncio.gather(*(work(i) for i in range(tasks)))) / seconds


def _official_async(dsn: str, seconds: float, tasks: int) -> float:
    async def run() -> float:
        async with AsyncConnectionPool(dsn, min_size=tasks, max_size=tasks, kwargs=_KWARGS, open=False) as pool:
            saver = AsyncPostgresSaver(pool)  # type: ignore[arg-type]
            await saver.setup()
            return await _in_tasks(saver, seconds, tasks)

    return asyncio.run(run())


def _ours_async(dsn: str, seconds: float, tasks: int) -> float:
    async def run() -> float:
        with open_checkpointer("postgres", conninfo=dsn, pool_size=tasks) as saver:
            await _in_tasks(saver, 0.3, tasks)
            return await _in_tasks(saver, seconds, tasks)

    return asyncio.run(run())


def cut(folder: Path, operations: int) -> None:
    """All connections are killed at the server before each operation."""
    rows = []
    with Postgres() as postgres:
        postgres.create_role("app", "secret")
        for name, opened in (("official: PostgresSaver, a pool", _official_pool), ("ours: PostgresSaver", _our_pool)):
            base = database(postgres)
            postgres.execute("GRANT ALL ON SCHEMA public TO PUBLIC", database=base.split("dbname=")[1].split()[0])
            dsn = base.replace("user=admin", "user=app") + " password=secret"
            with opened(dsn) as saver:
                rows.append((name, operations, _failures(saver, operations, lambda: postgres.disconnect("app"))))
    show("All connections killed between operations", ("saver", "operations", "failed"), rows)


@contextlib.contextmanager
def _official_pool(dsn: str) -> Iterator[Any]:
    with ConnectionPool(dsn, min_size=2, max_size=4, kwargs=_KWARGS, open=True) as pool:
        saver = OfficialPostgres(pool)  # type: ignore[arg-type]
        saver.setup()
        yield saver


def _our_pool(dsn: str) -> Any:
    return open_checkpointer("postgres", conninfo=dsn, pool_size=4)


def _failures(saver: Any, operations: int, kill: Callable[[], Any]) -> int:
    failed, line = 0, Line(saver)
    for number in range(operations):
        kill()
        try:
            if number % 2:
                line.put({"messages": [{"n": number}]})
            else:
                saver.get_tuple(config("t"))
        except Error:
            failed += 1
    return failed
