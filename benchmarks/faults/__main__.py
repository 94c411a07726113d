"""Faults, round after round: `python -m benchmarks.faults [--rounds 50] [--only killed] [--stores sqlite duckdb]`.

Prints fault, rounds, wrong, duplicate, hung. Wrong: a turn that doesn't end well or leaves a history that no provider
takes. Duplicate: a delegation, a job or a payment made twice. Hung: no end within 90 seconds.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from uuid import uuid4

from benchmarks.faults.rounds import (
    Count,
    broken_answer_rounds,
    fork_rounds,
    full_disk_rounds,
    kill_rounds,
    late_rounds,
)

STORES = ("sqlite", "duckdb", "postgres")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rounds", type=int, default=50)
    asked.add_argument("--only", default="")
    asked.add_argument("--stores", nargs="*", default=list(STORES), choices=STORES)
    options = asked.parse_args()
    logging.disable(logging.CRITICAL)
    print("| fault | rounds | wrong | duplicate | hung | seconds |\n|---|---|---|---|---|---|", flush=True)
    with ExitStack() as stack:
        for name, run in faults(options.rounds, options.stores, stack):
            if options.only in name:
                show(name, run)


def faults(rounds: int, stores: list[str], stack: ExitStack) -> Iterator[tuple[str, Callable[[], Count]]]:
    for kind in stores:
        for words, second, gone in (
            ("", "home", False),
            (", gone on with in another home", "other", False),
            (", then something in the home is gone", "home", True),
        ):
            yield f"killed on {kind}{words}", lambda k=kind, s=second, g=gone: killed(k, rounds, s, g, stack)
    yield "the disk is full", lambda: full_disk_rounds(rounds)
    yield "a run outlives its request and its program", lambda: late_rounds(rounds)
    yield "forked under way", lambda: fork_rounds(rounds)
    yield "a model's answer breaks", lambda: broken_answer_rounds(max(1, rounds // 25))


def killed(kind: str, rounds: int, second: str, gone: bool, stack: ExitStack) -> Count:
    return kill_rounds(kind, rounds, server(stack) if kind == "postgres" else None, second, gone)


def server(stack: ExitStack) -> str:
    """A database of its own on a server that lasts as long as the program."""
    import psycopg
    from psycopg.conninfo import make_conninfo

    from tests.workspace.postgres import Postgres

    running = _servers.get(id(stack)) or stack.enter_context(Postgres())
    _servers[id(stack)] = running
    name = f"faults_{uuid4().hex[:8]}"
    with psycopg.connect(running.dsn(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]
    return make_conninfo(running.dsn(), dbname=name)


_servers: dict[int, object] = {}


def show(name: str, run: Callable[[], Count]) -> None:
    begun = time.monotonic()
    count = run()
    seconds = time.monotonic() - begun
    cells = (name, count.rounds, count.wrong, count.duplicate, count.hung, f"{seconds:.0f}")
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    for known in dict.fromkeys(count.known):
        print(f"<!-- {known} -->", flush=True)


if __name__ == "__main__":
    main()
