"""One caller's connection to the warehouse: where its names are found, what its statements may be, and how they end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from graph.errors import InvalidRequest

if TYPE_CHECKING:
    import pyarrow
    from duckdb import DuckDBPyConnection

ALLOWED = frozenset(
    ("SELECT", "EXPLAIN", "CREATE", "INSERT", "UPDATE", "DELETE", "DROP", "ALTER", "MERGE_INTO", "TRANSACTION", "SET")
)
"""Statement types by DuckDB's own parser. SET is harmless where the configuration is locked; it is also what USE is."""
BATCH_ROWS = 65_536


Prepare = Callable[["DuckDBPyConnection", str, Callable[[], bool]], bool]
"""Readies a connection for a statement; asks whether that was given up; says whether it changed what is attached."""


class QueryFailed(InvalidRequest):
    """The engine refused or failed a statement; the text is the engine's."""


class Session:
    """One caller's connection, with its search path. One statement at a time.

    `close` and `interrupt` may be called from any thread; they end a running statement. `prepare` is called before each
    statement, may ask whether the session is being closed, and says whether it changed what is attached.
    """

    def __init__(
        self,
        connection: DuckDBPyConnection,
        search_path: str,
        schemas: Mapping[str, Sequence[str]],
        prepare: Prepare | None = None,
    ) -> None:
        self._connection = connection
        self._prepare = prepare
        self._search_path = search_path
        self._schemas = schemas
        self._lock = threading.Lock()
        self._closed = False
        self._ending = threading.Event()
        self._look_in(None, None)

    def stream(
        self,
        sql: str,
        parameters: Sequence[Any] | None = None,
        *,
        catalog: str | None = None,
        schema: str | None = None,
    ) -> Generator[pyarrow.RecordBatch, None, None]:
        """The schema as an empty batch, then the last statement's rows; raises QueryFailed, also on the way."""
        import duckdb
        import pyarrow

        with self._lock:
            if self._closed:
                raise QueryFailed("the session is closed")
            try:
                changed = self._prepare is not None and self._prepare(self._connection, sql, self._ending.is_set)
                if changed or catalog or schema:
                    self._look_in(catalog, schema)
                with self._execute(sql, parameters) as reader:
                    yield pyarrow.RecordBatch.from_pylist([], schema=reader.schema)
                    yield from reader
            except (duckdb.Error, OSError, pyarrow.ArrowException) as error:
                raise QueryFailed(str(error)) from error
            finally:
                self._settle(catalog, schema)

    def query(
        self,
        sql: str,
        parameters: Sequence[Any] | None = None,
        *,
        limit: int | None = None,
        catalog: str | None = None,
        schema: str | None = None,
    ) -> pyarrow.Table:
        """All rows of the last statement, or the first `limit`; raises QueryFailed."""
        import pyarrow

        batches, rows = [], 0
        stream = self.stream(sql, parameters, catalog=catalog, schema=schema)
        for batch in stream:
            batches.append(batch)
            rows += batch.num_rows
            if limit is not None and rows >= limit:
                stream.close()
                break
        table = pyarrow.Table.from_batches(batches)
        return table if limit is None else table.slice(0, limit)

    def interrupt(self) -> None:
        self._connection.interrupt()

    def close(self) -> None:
        """End a running statement and drop what the session created."""
        self._ending.set()
        while not self._lock.acquire(timeout=0.05):
            self.interrupt()
        try:
            if not self._closed:
                self._closed = True
                self._connection.close()
        finally:
            self._lock.release()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _look_in(self, catalog: str | None, schema: str | None) -> None:
        for name in (catalog, schema):
            if name and not name.replace("_", "").isalnum():
                raise QueryFailed(f"{name!r} is no name of a catalog or schema")
        path = ",".join([*self._first(catalog, schema), self._search_path])
        self._connection.execute(f"SET search_path = '{path}'")
        self._connection.complete()

    def _first(self, catalog: str | None, schema: str | None) -> Iterator[str]:
        """Where to look before the usual places: all schemas of a catalog, a schema in each catalog that has it."""
        if catalog and schema:
            yield f"{catalog}.{schema}"
        elif catalog:
            yield from (f"{catalog}.{one}" for one in self._schemas.get(catalog, ("main",)))
        elif schema:
            yield from (f"{one}.{schema}" for one, schemas in self._schemas.items() if schema in schemas)

    def _settle(self, catalog: str | None, schema: str | None) -> None:
        """Make the connection fit for the next statement, however the last one ended."""
        self._connection.abort()
        if catalog or schema:
            self._look_in(None, None)

    def _execute(self, sql: str, parameters: Sequence[Any] | None) -> Any:
        statements = self._connection.extract_statements(sql)
        if not statements:
            raise QueryFailed("there is no statement in the SQL")
        for statement in statements:
            _refuse_dangerous(statement.type.name)
        for statement in statements[:-1]:
            self._connection.execute(statement)
            self._connection.complete()
        relation = self._connection.sql(statements[-1], params=parameters)
        return relation.to_arrow_reader(BATCH_ROWS)


def _refuse_dangerous(statement: str) -> None:
    if statement not in ALLOWED:
        raise QueryFailed(f"{statement} statements are off here: query the tables, or create your own in memory")
