"""Results as Markdown tables."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    print(f"\n### {title}\n")
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(map(_cell, row)) + " |", flush=True)


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def seconds(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


class Taken(NamedTuple):
    """Seconds on the wall, and of computing."""

    wall: float
    cpu: float


def taken(work: Callable[[], Any]) -> Taken:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Taken(time.perf_counter() - wall, time.process_time() - cpu)


def compared(ours: Sequence[Taken], theirs: Sequence[Taken]) -> tuple[float, float, float, float]:
    """The ratios of computing and of the wall, and the milliseconds on the wall."""
    pairs = list(zip(ours, theirs, strict=True))
    cpu = statistics.median(a.cpu / b.cpu for a, b in pairs)
    wall = statistics.median(a.wall / b.wall for a, b in pairs)
    return cpu, wall, milliseconds([a.wall for a in ours]), milliseconds([b.wall for b in theirs])


def milliseconds(times: Sequence[float]) -> float:
    return statistics.median(times) * 1e3
