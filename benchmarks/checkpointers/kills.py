"""kill -9 while writing, many times: is every acknowledged write there afterwards?"""

from __future__ import annotations

import os
import random
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.checkpointers.savers import database
from benchmarks.checkpointers.table import show
from checkpointers import open_checkpointer
from tests.checkpointers.making import Line, config
from tests.workspace.postgres import Postgres

Opener = Callable[[], Any]


_PRELOADED = ("duckdb", "psycopg_pool", "checkpointers.duckdb", "checkpointers.sqlite", "checkpointers.postgres")


def preload() -> None:
    """Before the first fork, so that no child spends its short life importing."""
    for module in _PRELOADED:
        import_module(module)


def kills(folder: Path, rounds: int, kinds: tuple[str, ...]) -> None:
    preload()
    rows = []
    with Postgres() as postgres:
        for kind in kinds:
            store, _, durability = kind.partition(" ")
            dsn = database(postgres)
            options = (
                {"conninfo": dsn}
                if store == "postgres"
                else {"path": folder / kind.replace(" ", "."), "durability": durability}
            )
            rows.append((kind, *run(lambda s=store, o=options: open_checkpointer(s, **o), rounds)))
    columns = ("store", "rounds", "acknowledged writes", "lost", "lists that don't fit", "seconds")
    show("kill -9 rounds", columns, rows)


def run(opener: Opener, rounds: int) -> tuple[int, int, int, int, float]:
    acknowledged, lost, wrong, begun = 0, 0, 0, time.monotonic()
    for number in range(rounds):
        steps = _killed_writer(opener, f"round {number}")
        acknowledged += steps
        missing, unfit = _checked(opener, f"round {number}", steps)
        lost, wrong = lost + missing, wrong + unfit
    return rounds, acknowledged, lost, wrong, time.monotonic() - begun


def _killed_writer(opener: Opener, thread_id: str) -> int:
    """How many steps (a put, and writes to it) a child acknowledged before it was killed."""
    reading, writing = os.pipe()
    child = _forked(lambda: _write_forever(opener, thread_id, writing))
    os.close(writing)
    acknowledged, deadline = b"", None
    while deadline is None or time.monotonic() < deadline:
        ready, _, _ = select.select([reading], [], [], 10 if deadline is None else max(deadline - time.monotonic(), 0))
        if not ready:
            break
        acknowledged += os.read(reading, 65536)
        deadline = deadline or time.monotonic() + random.uniform(0, 0.03)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(reading, 65536):
        acknowledged += more
    os.close(reading)
    return len(acknowledged)


def _write_forever(opener: Opener, thread_id: str, pipe: int) -> None:
    saver = opener()
    line, state = Line(saver, thread_id), []
    while True:
        state = [*state, f"step {len(state)} " * 10]
        at = line.put({"list": state, "last": {"step": len(state)}})
        saver.put_writes(at, [("list", [f"write {len(state)}"])], f"task {len(state)}")
        os.write(pipe, b".")


def _checked(opener: Opener, thread_id: str, steps: int) -> tuple[int, int]:
    """(acknowledged steps that are missing, checkpoints whose list is not what was saved), seen by another process."""
    reading, writing = os.pipe()
    child = _forked(lambda: os.write(writing, repr(_look(opener, thread_id, steps)).encode()))
    os.close(writing)
    answer = os.read(reading, 4096).decode()
    os.waitpid(child, 0)
    os.close(reading)
    if not answer:
        return steps, 1
    missing, wrong = answer.strip("()").split(",")
    return int(missing), int(wrong)


def _look(opener: Opener, thread_id: str, steps: int) -> tuple[int, int]:
    with opener() as saver:
        found = list(saver.list(config(thread_id)))
    kept, wrong = set(), 0
    for item in found:
        values = item.checkpoint["channel_values"]
        length = values["last"]["step"]
        wrong += values["list"] != [f"step {i} " * 10 for i in range(length)]
        if [w[2] for w in item.pending_writes] == [[f"write {length}"]]:
            kept.add(length)
    return steps - len(kept & set(range(1, steps + 1))), wrong


def _forked(work: Callable[[], Any]) -> int:
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except BaseException:  # noqa: BLE001 a child must end here, whatever happens
        traceback.print_exc()
    finally:
        os._exit(status)
