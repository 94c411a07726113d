"""put, get and super-steps, ours and the official SqliteSaver taking turns in one process."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

from langchain_core.messages import AIMessage
from langgraph.graph import END, START, StateGraph

from benchmarks.checkpointers.savers import official_sqlite, ours
from benchmarks.checkpointers.table import Taken, compared, milliseconds, seconds, show, taken
from checkpointers import open_checkpointer
from tests.checkpointers.making import Line, config, messages

KINDS = ("sqlite", "duckdb")
DURABILITIES = ("normal", "full")
_PUTS = 6


@contextlib.contextmanager
def pair(kind: str, durability: str, folder: Path) -> Iterator[tuple[Any, Any]]:
    with ours(kind, folder, durability) as mine, official_sqlite(folder, durability) as official:
        yield mine, official


def put_and_get(folder: Path, rounds: int) -> None:
    rows = []
    for kind in KINDS:
        for durability in DURABILITIES:
            with pair(kind, durability, folder) as savers:
                for count in (10, 100, 1000):
                    puts, gets = _measured(savers, count, max(rounds * 10 // count, 12) if count > 100 else rounds)
                    rows.append((kind, durability, count, *compared(*puts), *compared(*gets)))
    both = [f"{name} {what}" for name in ("put", "get") for what in ("× CPU", "× wall", "ours ms", "official ms")]
    title = "put and get of the latest checkpoint, × the official SqliteSaver of the same durability"
    show(f"{title} (the disk's wait alone: {floor(folder):.2g} ms)", ("store", "durability", "messages", *both), rows)


def floor(folder: Path) -> float:
    """Milliseconds that one wait for the disk takes, the same for every store."""
    with (folder / "floor").open("wb") as file:
        times = []
        for _ in range(50):
            file.write(bytes(4096))
            file.flush()
            times.append(seconds(lambda: os.fdatasync(file.fileno())))
    return milliseconds(times)


def _measured(savers: tuple[Any, Any], count: int, rounds: int) -> tuple[list[list[Taken]], list[list[Taken]]]:
    """Each round is a new thread with `count` messages, to which some are added one by one."""
    puts: list[list[Taken]] = [[], []]
    gets: list[list[Taken]] = [[], []]
    for number in range(rounds):
        lines = [Line(saver, f"{count} {number}") for saver in savers]
        state = messages(count)
        for line in lines:
            line.put({"messages": state, "branch:to:model": None})
        for i in range(_PUTS):
            state = [*state, AIMessage(f"one more {i} " * 30, id=f"new{i}")]
            for turn in (0, 1) if i % 2 else (1, 0):
                puts[turn].append(taken(partial(lines[turn].put, {"messages": state})))
        for turn in (0, 1, 1, 0):
            gets[turn].append(taken(partial(savers[turn].get_tuple, config(f"{count} {number}"))))
    return puts, gets


class _Count(TypedDict):
    count: int


def _counter(saver: Any, steps: int) -> Any:
    def node(state: _Count) -> dict[str, int]:
        return {"count": state["count"] + 1}

    def after(state: _Count) -> str:
        return END if state["count"] >= steps else "node"

    builder = StateGraph(_Count).add_node("node", node).add_edge(START, "node")
    return builder.add_conditional_edges("node", after, ["node", END]).compile(checkpointer=saver)


def super_step(folder: Path, rounds: int) -> None:
    steps, rows = 20, []
    for kind in KINDS:
        for durability in DURABILITIES:
            times: list[list[Taken]] = [[], []]
            with pair(kind, durability, folder) as savers:
                graphs = [_counter(saver, steps) for saver in savers]
                for number in range(rounds):
                    for turn in (0, 1) if number % 2 else (1, 0):
                        run = {**config(f"{number}"), "recursion_limit": steps + 5}
                        invoked = partial(graphs[turn].invoke, {"count": 0}, run, durability="sync")
                        spent = taken(invoked)
                        times[turn].append(Taken(spent.wall / steps, spent.cpu / steps))
            rows.append((kind, durability, *compared(*times)))
    columns = ("store", "durability", "× CPU", "× wall", "ours ms", "official ms")
    show("A super-step of a trivial graph, LangGraph's durability sync, × the official SqliteSaver", columns, rows)


def cold(folder: Path, checkpoints: int) -> None:
    """`get` of threads that weren't used since the store was opened."""
    rows = []
    for kind in KINDS:
        path = folder / f"cold.{kind}"
        with open_checkpointer(kind, path=path, durability="normal") as saver:
            for thread in range(checkpoints // 100):
                line = Line(saver, f"thread {thread}")
                state: list[Any] = []
                for i in range(100):
                    state = [*state, f"message {i} of {thread} " * 4]
                    line.put({"messages": state})
        begun = time.perf_counter()
        with open_checkpointer(kind, path=path) as saver:
            opened = time.perf_counter() - begun
            wanted = range(0, checkpoints // 100, max(checkpoints // 10_000, 1))
            times = [seconds(lambda t=t: saver.get_tuple(config(f"thread {t}"))) for t in wanted]
        rows.append((kind, checkpoints, path.stat().st_size / 1e6, opened * 1e3, milliseconds(times), max(times) * 1e3))
    columns = ("store", "checkpoints", "MB", "open ms", "cold get ms (median)", "cold get ms (worst)")
    show("Cold get of a thread's latest checkpoint (100 messages)", columns, rows)
