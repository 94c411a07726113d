"""How long outputs are read: `python -m benchmarks.digest`.

For outputs of 1 KB to the largest that is kept: parts, leaf size, calls, share of the ideal parallel speed, resident
memory, and whether what the analyst is shown is exact, with a reader that is never wrong and one whose merges drop a
tenth. The readers take a fixed time; the graph's nodes, the store and its files are the real ones.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
from langchain_core.messages import BaseMessage
from rich.console import Console
from rich.table import Table

from agent.artifacts.folder import FolderArtifacts
from agent.artifacts.readings import FolderReadings
from agent.models.scripted import ScriptedModel
from graph.budget import Digesting, Limits
from graph.context import RunContext
from graph.reading.digest import make_digest
from graph.reading.leaves import BODY, count_tokens
from graph.types import Artifact
from tests.graph.world import World

KB = 1 << 10
SIZES = (KB, 10 * KB, 100 * KB, KB * KB, 12 * KB * KB, 64 * KB * KB)
"""The last is the largest that execution.max_output_bytes keeps by default; the one before has about 1,000 leaves."""
ARTIFACT = "art_000000000001"
ERROR = "ERROR"
LATENCY, PARALLEL, MOST_LEAVES = 0.5, 32, 10_000


@dataclass(frozen=True)
class Measured:
    size: int
    parts: int
    largest: int
    calls: int
    of_ideal: float | None
    seconds: float
    growth: float
    exact: str


class Reader(ScriptedModel):
    """Counts the lines with an error in a part and lists their numbers. Its merges drop `drops` of what they merge."""

    drops: float = 0.0
    largest: int = 0
    calls: int = 0

    def _reply(self, messages: Sequence[BaseMessage], offered: Sequence[str]) -> Any:
        time.sleep(self.latency)
        text = messages[-1].text
        with self._lock:
            self.calls += 1
            self.largest = max(self.largest, count_tokens(text))
        if messages[0].text.startswith("reduce"):
            return said(self._merge(text))
        found = [line.split()[1] for line in text.partition(BODY)[2].split("\n") if ERROR in line]
        figures = [{"name": "errors", "value": len(found)}] if found else []
        return said(json.dumps({"note": f"errors in {' '.join(found[:20])}" if found else "", "figures": figures}))

    def _merge(self, text: str) -> str:
        words = re.findall(r"\[part[^\]]*\]|\d+", text)
        kept = [word for place, word in enumerate(words) if not self.drops or (place + 1) % round(1 / self.drops)]
        return " ".join(kept)[: len(text) // 3]


def said(text: str) -> Any:
    from agent.models.local_chat import Reply

    return Reply(text=text, usage=(0, 0)), "call"


def line(number: int) -> str:
    level = ERROR if number % 97 == 0 else "INFO"
    return f"line {number} {level} request from host-{number % 13} took {number * 7919 % 1000} ms and was answered\n"


def write(path: Path, size: int) -> int:
    """A log of about `size` bytes; how many errors are in it."""
    written = number = errors = 0
    with path.open("w", encoding="utf-8") as file:
        while written < size:
            text = line(number)
            errors += ERROR in text
            written += file.write(text)
            number += 1
    return errors


def measure(size: int, latency: float, parallel: int, drops: float) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        store = FolderArtifacts(Path(folder) / "artifacts")
        store.write(Artifact(ARTIFACT, "t", "r", 1, "pass", None, store.folder(ARTIFACT)))
        errors = write(store.path(ARTIFACT) / "stdout.txt", size)
        reader = Reader(latency=latency, drops=drops)
        sizes = Digesting(parallel_reads=parallel, max_leaves=MOST_LEAVES)
        world = World(ScriptedModel(), sub_model=reader, limits=Limits(max_tokens=None), digesting=sizes)
        ctx: RunContext = replace(
            world.context(), artifacts=store, recall=FolderReadings(Path(folder) / "values").of, emit=lambda event: None
        )
        read: dict[str, Any] = {}

        def work() -> None:
            sources = [("stdout", lambda: store.text(ARTIFACT))]
            read["digest"] = make_digest(ctx, sources, "Count the errors", lambda *told: None)

        began = time.monotonic()
        growth = watched(work)
        seconds = time.monotonic() - began
        digest = read["digest"]
        parts = digest.coverage.whole
        found = re.search(r"- errors: ([\d,]+)", digest.text)
        count = int(found[1].replace(",", "")) if found else 0
        rounds = -(-parts // parallel)
        merges = reader.calls - parts
        ideal = (rounds + (2 if merges else 0)) * latency
        return Measured(
            size=size,
            parts=parts,
            largest=reader.largest,
            calls=reader.calls,
            of_ideal=ideal / seconds if rounds > 2 and latency else None,
            seconds=seconds,
            growth=growth,
            exact="exact" if count == errors else f"{count:,} of {errors:,}",
        )


def watched(work: Callable[[], None]) -> float:
    """Run it; by how many MB the resident memory grew at most."""
    process, most, done = psutil.Process(), 0, threading.Event()
    before = process.memory_info().rss

    def look() -> None:
        nonlocal most
        while not done.wait(0.05):
            most = max(most, process.memory_info().rss - before)

    thread = threading.Thread(target=look)
    thread.start()
    work()
    done.set()
    thread.join()
    return most / KB / KB


def drawn(rows: Sequence[tuple[str, Measured]]) -> Table:
    table = Table(title="Reading outputs")
    for name in ("output", "reader", "parts", "largest leaf", "calls", "of ideal", "seconds", "memory grows by", "sum"):
        table.add_column(name, justify="right")
    for reader, one in rows:
        table.add_row(
            f"{one.size / KB:,.0f} KB", reader, f"{one.parts:,}", f"{one.largest:,} tokens", f"{one.calls:,}",
            "" if one.of_ideal is None else f"{one.of_ideal:.0%}", f"{one.seconds:.1f}",
            f"{one.growth:.0f} MB", one.exact,
        )  # fmt: skip
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.digest", description=__doc__)
    parser.add_argument("--latency", type=float, default=LATENCY, help="seconds that each reader takes")
    parser.add_argument("--parallel", type=int, default=PARALLEL)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="bytes")
    options = parser.parse_args()
    measure(KB, 0.0, 2, 0.0)
    rows = []
    for size in options.sizes:
        for name, drops in (("never wrong", 0.0), ("drops a tenth of every merge", 0.1)):
            rows.append((name, measure(size, options.latency, options.parallel, drops)))
    Console(width=160).print(drawn(rows))


if __name__ == "__main__":
    main()
