"""Ours and the official savers, opened alike: a name opens an empty store."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres import PostgresSaver as OfficialPostgres
from langgraph.checkpoint.sqlite import SqliteSaver as OfficialSqlite

from checkpointers import open_checkpointer
from tests.workspace.postgres import Postgres

_numbers = count()
Opened = AbstractContextManager[Any]


def ours(kind: str, folder: Path, durability: str = "full") -> Opened:
    return open_checkpointer(kind, path=folder / f"{next(_numbers)}.{kind}", durability=durability)


@contextlib.contextmanager
def official_sqlite(folder: Path, durability: str = "full") -> Iterator[Any]:
    with contextlib.closing(
        sqlite3.connect(folder / f"{next(_numbers)}.official", check_same_thread=False)
    ) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={durability.upper()}")
        saver = OfficialSqlite(connection)
        saver.setup()
        yield saver


@contextlib.contextmanager
def official_postgres(dsn: str) -> Iterator[Any]:
    with OfficialPostgres.from_conn_string(dsn) as saver:
        saver.setup()
        yield saver


def database(postgres: Postgres) -> str:
    """A new database's connection string."""
    name = f"bench_{next(_numbers)}"
    postgres.execute(f"CREATE DATABASE {name}", database="postgres")
    return postgres.dsn(database=name)


def all_savers(folder: Path, postgres: Postgres) -> dict[str, Callable[[], Opened]]:
    return {
        "ours: SQLite": lambda: ours("sqlite", folder, "normal"),
        "ours: DuckDB": lambda: ours("duckdb", folder, "normal"),
        "ours: Postgres": lambda: open_checkpointer("postgres", conninfo=database(postgres), pool_size=8),
        "ours: Postgres, segments": lambda: open_checkpointer(
            "postgres", conninfo=database(postgres), pool_size=8, segments=True
        ),
        "official: SQLite": lambda: official_sqlite(folder, "normal"),
        "official: Postgres": lambda: official_postgres(database(postgres)),
        "official: InMemory": lambda: contextlib.nullcontext(InMemorySaver()),
    }
