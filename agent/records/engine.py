"""What the records ask of a database: rows by a table's dataclass, and transactions. `?` stands for a value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from agent.records.columns import Table
from graph.errors import AgentError

Row = TypeVar("Row")


class RecordsUnavailable(AgentError):
    """The records can't be opened or written."""


class Transaction(Protocol):
    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Any: ...

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> Any: ...


class Engine(Protocol):
    """Safe to use from every thread. Raises RecordsUnavailable."""

    def write(self) -> AbstractContextManager[Transaction]:
        """A transaction in which what is read stays true until it commits."""

    def rows(self, table: Table, where: str, values: Sequence[Any], row: type[Row]) -> list[Row]:
        """Rows of the table as its dataclass; `where` is everything after FROM."""

    def close(self) -> None: ...
