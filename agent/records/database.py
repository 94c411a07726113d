"""One SQLite file in WAL mode: one writer at a time, readers in any process, safe to use from every thread."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from agent.records.columns import LOCAL_TABLES, Table
from agent.records.ddl import create_index, create_table
from agent.records.engine import RecordsUnavailable
from agent.records.schema import bring_up_to_date, version_of

Row = TypeVar("Row")

BUSY_SECONDS = 10.0


class Database:
    """`synchronous=NORMAL`: a killed process loses nothing it committed, a power cut may lose the last moments."""

    def __init__(self, path: Path, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._connection = connect(path, busy_seconds)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock from its start, so that what it reads stays true until it commits.

        Raises RecordsUnavailable when another process holds the lock for too long, or the disk is full.
        """
        with self._lock:
            try:
                with self._transaction():
                    yield self._connection
            except sqlite3.Error as error:
                raise RecordsUnavailable(f"The records file {self.path} can't be written: {error}.") from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def rows(self, table: Table, where: str, values: Sequence[Any], row: type[Row]) -> list[Row]:
        """Rows of the table as its dataclass; `where` is everything after FROM. Raises RecordsUnavailable."""
        names = ", ".join(column.name for column in table.columns)
        with self._lock:
            try:
                found = self._connection.execute(f"SELECT {names} FROM {table.name} {where}", values).fetchall()  # noqa: S608
            except sqlite3.Error as error:
                raise RecordsUnavailable(f"The records file {self.path} can't be read: {error}.") from error
        return [row(*read(table, values)) for values in found]

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def connect(path: Path, busy_seconds: float) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
        prepare(connection, path)
    except (sqlite3.Error, OSError) as error:
        raise RecordsUnavailable(
            f"The records file {path} can't be used: {error}. Move it away or choose another home."
        ) from error
    return connection


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    version_of(connection, path, len(STEPS))
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    bring_up_to_date(connection, path, STEPS)


FIRST = [
    statement
    for table in LOCAL_TABLES
    for statement in (create_table(table, "sqlite"), create_index(table))
    if statement is not None
]
STEPS = (FIRST,)
"""From nothing, or from before versions were counted, to version 1. A change to the tables is one more step."""


def insert(table: Table) -> str:
    """An INSERT of a whole row that leaves a row with the same key alone."""
    names = [column.name for column in table.columns]
    marks = ", ".join("?" for _ in names)
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608


def to_plain(value: Any) -> Any:
    """A row's value as the engines take it: times are ISO 8601 texts in UTC, which sort as they should.

    Half characters, which models can write and UTF-8 can't, become question marks.
    """
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if value is None or isinstance(value, (int, bytes)):
        return value
    text = str(value)
    return text if text.isascii() else text.encode(errors="replace").decode()


def read(table: Table, values: Sequence[Any]) -> list[Any]:
    return [
        READERS.get(column.kind, same)(value) if value is not None else None
        for column, value in zip(table.columns, values, strict=True)
    ]


def same(value: Any) -> Any:
    return value


READERS: Mapping[str, Callable[[Any], Any]] = {"timestamp": datetime.fromisoformat, "boolean": bool}
