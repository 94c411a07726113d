"""`python -m benchmarks.checkpointers [names]`: the tables of docs/checkpointers.md. Without names, all of them."""

from __future__ import annotations

import argparse
import logging
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.checkpointers import correctness, kills, memory, races, remote, requests, size, speed

_KILLED = ("sqlite normal", "sqlite full", "duckdb normal", "duckdb full", "postgres")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", help="conformance contract put step cold size memory distance cut kills races requests"
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, to see that everything runs")
    chosen = parser.parse_args()
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    part = 10 if chosen.quick else 1
    tables: dict[str, Callable[[Path], None]] = {
        "conformance": correctness.conformance,
        "contract": correctness.contract,
        "put": lambda folder: speed.put_and_get(folder, 120 // part),
        "step": lambda folder: speed.super_step(folder, 40 // part),
        "cold": lambda folder: speed.cold(folder, 100_000 // part),
        "size": lambda folder: size.size(folder, 1000 // part, 1000 // part),
        "memory": lambda folder: memory.memory(folder, 400 // part),
        "distance": lambda folder: remote.distance(folder, 8.0 / part),
        "cut": lambda folder: remote.cut(folder, 200 // part),
        "kills": lambda folder: kills.kills(folder, 1000 // part, _KILLED),
        "races": lambda folder: races.races(folder, 2000 // part),
        "requests": requests.storm,
    }
    unknown = set(chosen.names) - set(tables)
    if unknown:
        parser.error(f"no table {', '.join(sorted(unknown))}: choose from {' '.join(tables)}")
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for name, table in tables.items():
        if not chosen.names or name in chosen.names:
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                table(Path(folder))
    sys.stdout.flush()
    os._exit(0)  # a hanging check of a foreign saver may still hold a thread


if __name__ == "__main__":
    main()
