"""Prune, delete, copy, branch and retention against writers, in threads and processes: is anything lost or corrupt?"""

from __future__ import annotations

import multiprocessing
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage

from benchmarks.checkpointers.savers import database
from benchmarks.checkpointers.table import show
from checkpointers import Saver, StoreError, open_checkpointer
from tests.checkpointers.making import Line, config
from tests.workspace.postgres import Postgres

_STEPS = 12
_WRITERS = 3


def races(folder: Path, rounds: int) -> None:
    rows = []
    with Postgres() as postgres:
        for kind in ("sqlite", "duckdb", "postgres", "postgres segments"):
            options = _options(kind, folder, postgres)
            store = kind.partition(" ")[0]
            with open_checkpointer(store, **options) as saver, _Others(store, options) as others:
                begun = time.monotonic()
                lost = corrupt = 0
                for number in range(rounds):
                    missing, unreadable = round_of(saver, RACES[number % len(RACES)], number, others)
                    lost, corrupt = lost + missing, corrupt + unreadable
                processes = 1 + len(others.processes)
                rows.append((kind, processes, rounds, lost, corrupt, time.monotonic() - begun))
    columns = ("store", "processes", "rounds", "lost", "corrupt", "seconds")
    show("Races: prune, delete, fork, copy and retention against writers", columns, rows)


def _options(kind: str, folder: Path, postgres: Postgres) -> dict[str, Any]:
    if kind.startswith("postgres"):
        return {"conninfo": database(postgres), "segments": kind.endswith("segments")}
    return {"path": str(folder / f"races.{kind}"), "durability": "normal"}


def round_of(saver: Saver, race: str, number: int, others: _Others | None = None) -> tuple[int, int]:
    """(what a writer saved last and isn't there as it was saved, what can't be read)."""
    thread_id = f"{race} {number}"
    base = Line(saver, thread_id)
    base.put({"list": [f"message {i} " * 6 for i in range(8)], "big": {"step": -1}})
    stop = threading.Event()

    def disturb() -> None:
        while not stop.is_set():
            _disturb(saver, race, thread_id)
            time.sleep(random.uniform(0.001, 0.01))

    disturber = threading.Thread(target=disturb)
    disturber.start()
    if others:
        others.begin(race, thread_id)
    try:
        with ThreadPoolExecutor(_WRITERS) as pool:
            written = list(pool.map(lambda i: _write(saver, race, base, i), range(_WRITERS)))
    finally:
        stop.set()
        disturber.join()
        failed = others.end() if others else 0
    missing = sum(not _is_there(saver, *one) for one in written) if race != "delete" else 0
    unreadable = failed + _unreadable(saver, thread_id)
    saver.delete_thread(thread_id)
    return missing, unreadable


def _write(saver: Saver, race: str, base: Line, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Where the last step is, and its values. Writers have namespaces of their own, or branch from one checkpoint."""
    thread_id = base.at["configurable"]["thread_id"]
    rng = random.Random(f"{thread_id} {number}")
    line = base.branch() if race == "fork" else Line(saver, at=config(thread_id, f"ns{number}"))
    state: list[Any] = [f"message {i} " * 6 for i in range(8)]
    for i in range(_STEPS):
        state = [*state, AIMessage(f"{number} says {i} " * 6, id=f"{number}-{i}")]
        if rng.random() < 0.2 and len(state) > 1:
            state = state[1:]
        if rng.random() < 0.2:
            state[-1].content += " changed"
        line.put({"list": state, "big": {"step": i, "text": "x" * 300}} if i % 3 == 0 else {"list": state})
        if rng.random() < 0.5:
            saver.put_writes(line.at, [("list", [state[-1]])], f"task {i}")
    return dict(line.at), line.values


def _disturb(saver: Saver, race: str, thread_id: str) -> None:
    if race == "delete":
        saver.delete_thread(thread_id)
    elif race == "copy":
        copy = f"{thread_id} copy {random.randrange(1 << 40)}"
        saver.copy_thread(thread_id, copy)
        for found in saver.list(config(copy)):
            assert found.checkpoint["channel_values"]["list"] is not None
        saver.delete_thread(copy)
    elif race == "runs":
        saver.delete_for_runs(["nobody's"])
    else:
        # the newest of each namespace stay; a writer's branch is the newest or among the last that are kept
        saver._prune(thread_id, keep_last=_WRITERS * _STEPS if race == "fork" else 1)


def _is_there(saver: Saver, at: Any, values: dict[str, Any]) -> bool:
    try:
        found = saver.get_tuple(at)
    except StoreError:
        return False
    return found is not None and found.checkpoint["channel_values"] == values


def _unreadable(saver: Saver, thread_id: str) -> int:
    """Also by a saver that remembers nothing."""
    saver._tips.forget(thread_id)  # type: ignore[attr-defined]
    try:
        list(saver.list({"configurable": {"thread_id": thread_id}}))
    except StoreError:
        return 1
    return 0


RACES = ("prune", "delete", "fork", "copy", "runs")


class _Others:
    """Two processes that disturb the writers, too, where several may have the store."""

    def __init__(self, kind: str, options: dict[str, Any]) -> None:
        self.processes: list[Any] = []
        self._pipes: list[Any] = []
        spawned = multiprocessing.get_context("spawn")
        for _ in range(0 if kind == "duckdb" else 2):
            mine, theirs = spawned.Pipe()
            process = spawned.Process(target=_disturb_when_told, args=(kind, options, theirs), daemon=True)
            process.start()
            self.processes.append(process)
            self._pipes.append(mine)

    def __enter__(self) -> _Others:
        for pipe in self._pipes:
            pipe.recv()
        return self

    def begin(self, race: str, thread_id: str) -> None:
        for pipe in self._pipes:
            pipe.send((race, thread_id))

    def end(self) -> int:
        for pipe in self._pipes:
            pipe.send(None)
        return sum(pipe.recv() for pipe in self._pipes)

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()


def _disturb_when_told(kind: str, options: dict[str, Any], pipe: Any) -> None:
    with open_checkpointer(kind, **options) as saver:
        pipe.send("open")
        while True:
            race, thread_id = pipe.recv()
            failed = 0
            while not pipe.poll():
                failed += _failed(lambda r=race, t=thread_id: _disturb(saver, r, t))  # type: ignore[misc]
                time.sleep(random.uniform(0.005, 0.02))
            pipe.recv()
            pipe.send(failed)


def _failed(work: Callable[[], None]) -> int:
    try:
        work()
    except StoreError:
        return 1
    return 0
