"""Records in PostgreSQL, so that every replica sees them: in a schema of their own beside the checkpoints."""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import sleep
from typing import TYPE_CHECKING, Any, TypeVar

from agent.records.book import RecordBook
from agent.records.columns import ADK_TELEMETRY, ARTIFACT_REGISTRY, RUN_STATE, RUNNING_TURNS, Table
from agent.records.ddl import create_index, create_table
from agent.records.engine import RecordsUnavailable
from agent.records.scopes import Scopes

if TYPE_CHECKING:
    from psycopg import Connection, Cursor
    from psycopg_pool import ConnectionPool

Row = TypeVar("Row")

SCHEMA = "rlm_records"
OPEN_SECONDS = 90.0
"""How long the first connection may take: a database that was scaled to zero wakes up first."""
ATTEMPTS = 3
KEEPALIVE = {"keepalives": 1, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 5}


def first_tables() -> Iterator[str]:
    for table in (ARTIFACT_REGISTRY, ADK_TELEMETRY, RUN_STATE, RUNNING_TURNS):
        yield create_table(table, "postgres")
        if index := create_index(table):
            yield index


MIGRATIONS: tuple[Callable[[], Iterable[str]], ...] = (first_tables,)
"""What brings the schema from each version to the next. Entries are only added."""


@dataclass(frozen=True)
class Place:
    """Where the database is: a connection string, the class that signs in, and what to call it in messages."""

    conninfo: str
    connection_class: type[Connection[Any]] | None
    label: str


class PostgresDatabase:
    """Implements agent.records.engine.Engine over a pool. What a transaction reads is locked until it commits."""

    def __init__(self, place: Place, schema: str = SCHEMA, open_seconds: float = OPEN_SECONDS) -> None:
        self._place = place
        self._held = threading.local()
        self.pool = open_pool(place, schema, open_seconds)
        try:
            self._upgrade(schema)
        except BaseException:
            self.pool.close()
            raise

    @contextmanager
    def write(self) -> Iterator[Statements]:
        with self._connected() as connection:
            with connection.transaction():
                self._held.connection = connection
                try:
                    yield Statements(connection)
                finally:
                    self._held.connection = None

    def rows(self, table: Table, where: str, values: Sequence[Any], row: type[Row]) -> list[Row]:
        names = ", ".join(column.name for column in table.columns)
        sql = f"SELECT {names} FROM {table.name} {where}"  # noqa: S608 - our names
        held = getattr(self._held, "connection", None)
        if held is not None:
            return [row(*found) for found in Statements(held).execute(f"{sql} FOR UPDATE", values).fetchall()]
        found_rows: list[Row] = self._again(
            lambda connection: [row(*found) for found in Statements(connection).execute(sql, values)]
        )
        return found_rows

    def close(self) -> None:
        self.pool.close()

    def _again(self, work: Callable[[Any], Any]) -> Any:
        """Read, and read again on another connection when this one turns out dead."""
        for attempt in range(ATTEMPTS):
            try:
                with self._connected() as connection:
                    return work(connection)
            except RecordsUnavailable:
                if attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """A connection that was looked at before it is given out. Raises RecordsUnavailable."""
        from psycopg import Error
        from psycopg_pool import PoolTimeout

        try:
            with self.pool.connection() as connection:
                yield connection
        except (Error, PoolTimeout) as error:
            raise RecordsUnavailable(f"The records in {self._place.label} can't be used: {error}") from error

    def _upgrade(self, schema: str) -> None:
        """Safe when several replicas start at once: one does it, the others wait."""
        with self._connected() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (schema,))
            connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            connection.execute("CREATE TABLE IF NOT EXISTS versions (version INTEGER PRIMARY KEY)")
            done = connection.execute("SELECT coalesce(max(version), 0) FROM versions").fetchone()[0]
            if done > len(MIGRATIONS):
                raise RecordsUnavailable(
                    f"The records in {self._place.label} were written by a later version ({done}): update this program."
                )
            for version, statements in enumerate(MIGRATIONS[done:], done + 1):
                for statement in statements():
                    connection.execute(statement)
                connection.execute("INSERT INTO versions VALUES (%s)", (version,))


class Statements:
    """A connection that takes `?` for a value, as the records' SQL is written."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Cursor[Any]:
        cursor: Cursor[Any] = self._connection.execute(sql.replace("?", "%s"), [storable(value) for value in values])
        return cursor

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(sql.replace("?", "%s"), [[storable(value) for value in row] for row in rows])


def storable(value: Any) -> Any:
    """PostgreSQL has no NUL characters."""
    return value.replace("\x00", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


def open_pool(place: Place, schema: str, seconds: float) -> ConnectionPool[Any]:
    from psycopg import Connection, OperationalError
    from psycopg_pool import ConnectionPool, PoolTimeout

    pool = ConnectionPool(
        place.conninfo,
        connection_class=place.connection_class or Connection,
        kwargs={"autocommit": True, "options": f"-c search_path={schema}", **KEEPALIVE},
        min_size=1,
        max_size=8,
        timeout=30.0,
        check=ConnectionPool.check_connection,
        open=False,
    )
    try:
        pool.open(wait=True, timeout=seconds)
    except (PoolTimeout, OperationalError) as error:
        pool.close()
        raise RecordsUnavailable(
            f"{place.label} can't be reached within {seconds:g} s ({error}): check lakebase_endpoint_name or "
            "lakebase_instance_name, and the network."
        ) from error
    return pool


@contextmanager
def open_postgres_records(place: Place, app_name: str, max_payload_chars: int) -> Iterator[tuple[RecordBook, Scopes]]:
    """The records and the scopes in one schema; raises RecordsUnavailable."""
    from langgraph.store.postgres import PostgresStore

    database = PostgresDatabase(place)
    store = PostgresStore(database.pool)
    with alone(database.pool):
        store.setup()
    with RecordBook(database, app_name, max_payload_chars, machine=f"{platform.node()}/") as book:
        yield book, Scopes(store)


@contextmanager
def alone(pool: ConnectionPool[Any]) -> Iterator[None]:
    """One replica after the other. Nobody waits inside the database: indexes that are built concurrently there wait for
    every open transaction, and would wait for those.
    """
    with pool.connection() as connection:
        while not connection.execute("SELECT pg_try_advisory_lock(hashtext(%s))", (SCHEMA,)).fetchone()[0]:
            sleep(0.1)
        try:
            yield
        finally:
            connection.execute("SELECT pg_advisory_unlock(hashtext(%s))", (SCHEMA,))
