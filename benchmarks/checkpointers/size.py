"""How much a long chat takes on disk."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from langchain_core.messages import HumanMessage

from benchmarks.checkpointers.savers import database, official_postgres, official_sqlite
from benchmarks.checkpointers.table import seconds, show
from checkpointers import open_checkpointer
from tests.checkpointers.making import Prose, chat, config
from tests.workspace.postgres import Postgres

_HALF = 512


def noise() -> Callable[[int], str]:
    """Text that doesn't compress below three quarters: 64 characters at random."""
    rng = random.Random(3)
    return lambda length: "".join(rng.choices(string.ascii_letters + string.digits + "+/", k=length))


TEXTS = (("prose", Prose()), ("random base64", noise()))


def size(folder: Path, turns: int, official_turns: int) -> None:
    rows = [_embedded(kind, name, text, folder, turns) for name, text in TEXTS for kind in ("sqlite", "duckdb")]
    with Postgres() as postgres:
        for name, opened in (
            ("ours: postgres, segments", lambda dsn: open_checkpointer("postgres", conninfo=dsn, segments=True)),
            ("ours: postgres", lambda dsn: open_checkpointer("postgres", conninfo=dsn)),
            ("official: Postgres", official_postgres),
        ):
            dsn = database(postgres)
            took = seconds(partial(_talk, opened(dsn), official_turns, Prose()))
            rows.append(
                (name, "prose", official_turns, _server_megabytes(postgres, dsn), "", took / official_turns * 1e3)
            )
    took = seconds(partial(_talk, official_sqlite(folder, "normal"), official_turns, Prose()))
    newest = max(folder.glob("*.official"), key=lambda p: p.stat().st_mtime)
    rows.append(("official: SQLite", "prose", official_turns, _megabytes(newest), "", took / official_turns * 1e3))
    columns = ("saver", "text", "turns", "MB", "MB after vacuum", "ms a turn, with the graph")
    show("A chat of 1 KB turns (half asked, half answered), three checkpoints a turn", columns, rows)


def _embedded(kind: str, name: str, text: Callable[[int], str], folder: Path, turns: int) -> tuple[Any, ...]:
    path = folder / f"{name}.{kind}"
    took = seconds(lambda: _talk(open_checkpointer(kind, path=path, durability="normal"), turns, text))
    written = _megabytes(path)
    with open_checkpointer(kind, path=path) as saver:
        saver.vacuum()
    return f"ours: {kind}", name, turns, written, _megabytes(path), took / turns * 1e3


def _talk(opened: AbstractContextManager[Any], turns: int, text: Callable[[int], str]) -> None:
    with opened as saver:
        graph = chat(saver, lambda: text(_HALF))
        for _ in range(turns):
            graph.invoke({"messages": [HumanMessage(text(_HALF))]}, config("00000000-0000-4000-8000-000000000001"))


def _megabytes(path: Path) -> float:
    return path.stat().st_size / 1e6


def _server_megabytes(postgres: Postgres, dsn: str) -> float:
    name = dsn.split("dbname=")[1].split()[0]
    tables = postgres.execute(
        "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class "
        "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
        database=name,
    )
    return float(tables[0][0]) / 1e6
