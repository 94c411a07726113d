"""What a long-lived process holds: the memory that the cache of a saver takes, and what it counts."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path
from typing import Any

from benchmarks.checkpointers.savers import ours
from benchmarks.checkpointers.table import show
from checkpointers import Saver
from checkpointers.tips import Tips
from tests.checkpointers.making import Line, messages

KINDS: dict[str, tuple[int, int]] = {"200 messages of 400 B": (200, 400), "20 messages of 10 KB": (20, 10_000)}


def memory(folder: Path, threads: int) -> None:
    rows = []
    for name, (count, size) in KINDS.items():
        with ours("sqlite", folder, "normal") as saver:
            held, counted = held_by(saver, threads, count, size)
        rows.append((name, threads, counted / 1e6, held / 1e6))
    show("Memory of the cache after many threads", ("threads of", "threads", "MB counted", "MB held"), rows)


def held_by(saver: Saver, threads: int, count: int, size: int) -> tuple[int, int]:
    """The bytes that the cache keeps alive, and those that it counts. Each thread is put, read and put again."""
    tips: Any = saver._tips  # type: ignore[attr-defined]
    gc.collect()
    tracemalloc.start()
    for number in range(threads):
        line = Line(saver, f"thread {number}")
        line.put({"messages": messages(count, size)})
        line.put({"messages": [*line.values["messages"], *messages(1, size)]})
    del line
    gc.collect()
    full = tracemalloc.get_traced_memory()[0]
    counted = tips._bytes
    saver._tips = Tips()  # type: ignore[attr-defined]
    del tips
    gc.collect()
    held = full - tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return held, counted
