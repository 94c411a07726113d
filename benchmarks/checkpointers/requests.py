"""Several requests at once on each of several threads: is every message kept?"""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.checkpointers.savers import all_savers
from benchmarks.checkpointers.table import show
from tests.checkpointers.making import chat, config
from tests.workspace.postgres import Postgres


def storm(folder: Path, threads: int = 20, requests: int = 8) -> None:
    rows = []
    with Postgres() as postgres:
        for name, opened in all_savers(folder, postgres).items():
            with opened() as saver:
                rows.append((name, *run(saver, threads, requests)))
    columns = ("saver", "requests", "messages lost", "seconds")
    show(f"{requests} requests at once on each of {threads} threads (ours under a lease)", columns, rows)


def run(saver: Any, threads: int, requests: int) -> tuple[int, int, float]:
    graph = chat(saver, lambda: time.sleep(0.005) or "answer")

    def one(number: int) -> None:
        thread_id = f"thread {number % threads}"
        lease = saver.lease(thread_id, timeout=300) if hasattr(saver, "lease") else contextlib.nullcontext()
        with lease:
            graph.invoke({"messages": [("user", f"request {number}")]}, config(thread_id))

    begun = time.monotonic()
    with ThreadPoolExecutor(threads * requests) as pool:
        list(pool.map(one, range(threads * requests)))
    took = time.monotonic() - begun
    kept = sum(len(graph.get_state(config(f"thread {i}")).values["messages"]) for i in range(threads))
    return threads * requests, threads * requests * 2 - kept, took
