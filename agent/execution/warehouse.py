"""The local warehouse: DuckDB in this process over the generated sample and the user's files.

Catalog `sample` (schemas silo_north, silo_lakeside, silo_valley, all_silos) and catalog `files` (schema `data`) are
files below the home, built once under a lock and attached read-only, so that any number of processes can have them
open. What a run's SQL creates lands in memory of its own session, which no other can see, and goes with it.

SQL can't reach files, extensions or the configuration: external access is off and the configuration locked. What
DuckDB leaves open even then (ATTACH of a file it already knows, DETACH, COPY onto an allowed path) is refused by
statement type, as DuckDB's own parser sees it.
"""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from agent.execution import sample as generated
from agent.execution.files import DataFile, find_files, load
from graph.errors import InvalidRequest

if TYPE_CHECKING:
    import pyarrow
    from duckdb import DuckDBPyConnection

SAMPLE, FILES, FILES_SCHEMA = "sample", "files", "data"
SAMPLE_SCHEMAS = ("all_silos", *(silo.schema for silo in generated.SILOS))
ALLOWED = frozenset(
    ("SELECT", "EXPLAIN", "CREATE", "INSERT", "UPDATE", "DELETE", "DROP", "ALTER", "MERGE_INTO", "TRANSACTION", "SET")
)
BATCH_ROWS = 65_536
BUILD_SECONDS = 300
KEPT_BUILDS = 4


class QueryFailed(InvalidRequest):
    """The engine refused or failed a statement; the text is the engine's."""


@dataclass(frozen=True)
class Column:
    name: str
    type: str


@dataclass(frozen=True)
class Table:
    """`source` is `sample` or the file's path; `kind` as information_schema calls it."""

    catalog: str
    schema: str
    name: str
    columns: tuple[Column, ...]
    rows: int
    source: str
    kind: Literal["BASE TABLE", "VIEW"] = "BASE TABLE"

    @property
    def full_name(self) -> str:
        return f"{self.catalog}.{self.schema}.{self.name}"


@dataclass(frozen=True)
class Matches:
    """Hits in `catalog, schema, table, table_type, column, type` order; `total` counts those past the limit too."""

    rows: tuple[tuple[str, ...], ...]
    total: int
    sql: str


class Session:
    """One caller's connection, with its search path. One statement at a time.

    `close` and `interrupt` may be called from any thread; they end a running statement.
    """

    def __init__(self, connection: DuckDBPyConnection, search_path: str) -> None:
        self._connection = connection
        self._search_path = search_path
        self._lock = threading.Lock()
        self._closed = False
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
                if catalog or schema:
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
        path = ",".join(filter(None, (_search_entry(catalog, schema), self._search_path)))
        self._connection.execute(f"SET search_path = '{path}'")
        self._connection.complete()

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


def _search_entry(catalog: str | None, schema: str | None) -> str:
    """What to put in front of a search path; empty when neither is given."""
    if not catalog and not schema:
        return ""
    for name in (catalog, schema):
        if name and not name.replace("_", "").isalnum():
            raise QueryFailed(f"{name!r} is no name of a catalog or schema")
    if not catalog:
        catalog = SAMPLE if schema in SAMPLE_SCHEMAS else FILES if schema == FILES_SCHEMA else None
    schema = schema or {SAMPLE: SAMPLE_SCHEMAS[0], FILES: FILES_SCHEMA}.get(catalog or "", "main")
    return f"{catalog}.{schema}" if catalog else schema


def _refuse_dangerous(statement: str) -> None:
    if statement not in ALLOWED:
        raise QueryFailed(f"{statement} statements are off here: query the tables, or create your own in memory")


@dataclass(frozen=True)
class Sources:
    """What every connection of a warehouse attaches, and the only files that it may read besides."""

    catalogs: Mapping[str, Path]
    readable: tuple[Path, ...]
    spill: Path

    @property
    def search_path(self) -> str:
        schemas = {FILES: (FILES_SCHEMA,), SAMPLE: SAMPLE_SCHEMAS}
        return ",".join(f"{catalog}.{schema}" for catalog in self.catalogs for schema in schemas[catalog])


class Warehouse:
    """Thread-safe: each query works on a cursor of its own and each session on a database of its own."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._connection = _connect(sources, "50%")
        self._lock = threading.Lock()
        self._tables: tuple[Table, ...] | None = None
        self.catalogs = tuple(sources.catalogs)
        if self.catalogs:
            self._connection.execute(f"USE {self.catalogs[0]}; DETACH memory")

    @property
    def catalog(self) -> str | None:
        """Where unqualified names are looked up first: the user's files, else the sample."""
        return self.catalogs[0] if self.catalogs else None

    @property
    def schema(self) -> str | None:
        return {FILES: FILES_SCHEMA, SAMPLE: SAMPLE_SCHEMAS[0]}.get(self.catalog or "")

    def session(self) -> Session:
        """A database for one run: the warehouse's tables to read, memory in which it may create. Raises QueryFailed."""
        import duckdb

        path = ",".join(filter(None, ("memory.main", self._sources.search_path)))
        try:
            return Session(_connect(self._sources, "25%"), path)
        except duckdb.Error as error:
            raise QueryFailed(f"the warehouse can't be opened: {error}") from error

    def query(
        self,
        sql: str,
        parameters: Sequence[Any] | None = None,
        *,
        limit: int | None = None,
        catalog: str | None = None,
        schema: str | None = None,
    ) -> pyarrow.Table:
        """Read; `?` in the SQL are bound to `parameters`. Nothing can be created here. Raises QueryFailed."""
        with self._lock:
            cursor = self._connection.cursor()
        with Session(cursor, self._sources.search_path or "memory.main") as session:
            return session.query(sql, parameters, limit=limit, catalog=catalog, schema=schema)

    def tables(self) -> tuple[Table, ...]:
        if self._tables is None:
            self._tables = tuple(self._read_tables())
        return self._tables

    def search(
        self,
        keyword: str,
        table_type: Literal["BASE TABLE", "VIEW"] | None = None,
        operator: Literal["LIKE", "NOT LIKE"] = "LIKE",
        *,
        limit: int = 5,
    ) -> Matches:
        """Columns whose table, name or type is like `keyword`, whatever the case.

        `|` separates alternatives (with NOT LIKE: all must be absent), `%` is put around what has none.
        """
        patterns = [_pattern(word) for word in keyword.split("|") if word.strip()] or ["%"]
        text = "lower(concat_ws(' ', c.table_catalog, c.table_schema, c.table_name, c.column_name, c.data_type))"
        joint = " OR " if operator == "LIKE" else " AND "
        where = "(" + joint.join(f"{text} {operator} ?" for _ in patterns) + ")"
        where += " AND c.table_catalog IN (" + ", ".join(f"'{name}'" for name in self.catalogs or ("",)) + ")"
        parameters: list[Any] = list(patterns)
        if table_type:
            where += " AND t.table_type = ?"
            parameters.append(table_type)
        sql = SEARCH.format(where=where)
        found = self.query(sql, parameters).to_pylist()
        return Matches(tuple(tuple(map(str, row.values())) for row in found[:limit]), len(found), sql)

    def close(self) -> None:
        """Sessions stay open: they close themselves."""
        self._connection.close()

    def __enter__(self) -> Warehouse:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _read_tables(self) -> Iterator[Table]:
        with self._lock:
            rows = self._connection.execute(TABLES, [list(self.catalogs)]).fetchall()
        for catalog, schema, name, kind, comment, names, types in rows:
            columns = tuple(Column(column, type_) for column, type_ in zip(names, types, strict=True))
            about = json.loads(comment)
            yield Table(catalog, schema, name, columns, about["rows"], about["source"], kind)


def _pattern(word: str) -> str:
    word = word.strip().lower()
    return word if "%" in word else f"%{word}%"


SEARCH = """
SELECT c.table_catalog, c.table_schema, c.table_name, t.table_type, c.column_name, c.data_type
FROM information_schema.columns AS c
JOIN information_schema.tables AS t USING (table_catalog, table_schema, table_name)
WHERE {where}
ORDER BY c.table_catalog, c.table_schema, c.table_name, c.ordinal_position
"""

TABLES = """
WITH kept AS (
    SELECT database_name, schema_name, table_name, comment, 'BASE TABLE' AS kind FROM duckdb_tables()
    UNION ALL SELECT database_name, schema_name, view_name, comment, 'VIEW' FROM duckdb_views()
)
SELECT k.database_name, k.schema_name, k.table_name, k.kind, k.comment,
    list(c.column_name ORDER BY c.column_index), list(c.data_type ORDER BY c.column_index)
FROM kept AS k
JOIN duckdb_columns() AS c USING (database_name, schema_name, table_name)
WHERE list_contains(?, k.database_name) AND k.comment IS NOT NULL
GROUP BY ALL
ORDER BY k.database_name, k.schema_name, k.table_name
"""


def open_warehouse(home: Path, sample: bool = True, paths: Sequence[Path] = ()) -> Warehouse:
    """Build what is missing below `home` and open it. Raises DataUnreadable (an InvalidRequest) for a bad file.

    Parquet files stay where they are and are read through views; the others are read once, and again when they change.
    """
    folder = home / "warehouse"
    folder.mkdir(parents=True, exist_ok=True)
    files = find_files(paths)
    catalogs: dict[str, Path] = {}
    if files:
        catalogs[FILES] = _built_files(folder, files)
    if sample:
        catalogs[SAMPLE] = _built(folder / f"sample-{generated.VERSION}.duckdb", _fill_sample)
    readable = tuple(file.path for file in files if file.kind == "parquet")
    return Warehouse(Sources(catalogs, readable, folder / "spill"))


def _connect(sources: Sources, memory: str) -> DuckDBPyConnection:
    """A locked-down database in memory with the sources attached; `memory` is a share of the machine's."""
    import duckdb

    connection = duckdb.connect(":memory:")
    allowed = ", ".join(f"'{_quoted(path)}'" for path in sources.readable)
    settings = (
        "python_enable_replacements = false",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "allow_community_extensions = false",
        "enable_progress_bar = false",
        "TimeZone = 'UTC'",
        f"memory_limit = '{memory}'",
        f"temp_directory = '{_quoted(sources.spill / uuid4().hex)}'",
        f"allowed_paths = [{allowed}]",
        "enable_external_access = false",
        "lock_configuration = true",
    )
    try:
        for name, path in sources.catalogs.items():
            connection.execute(f"ATTACH '{_quoted(path)}' AS {name} (READ_ONLY)")
        for setting in settings:
            connection.execute(f"SET {setting}")
    except duckdb.Error:
        connection.close()
        raise
    return connection


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _built_files(folder: Path, files: Sequence[DataFile]) -> Path:
    import duckdb

    key = sha256("\n".join([duckdb.__version__, *(file.key for file in files)]).encode()).hexdigest()[:16]

    def fill(connection: DuckDBPyConnection) -> None:
        connection.execute(f"CREATE SCHEMA {FILES_SCHEMA}; USE {FILES_SCHEMA}")
        for file in files:
            load(connection, file)
            _describe(connection, FILES_SCHEMA, file.table, str(file.path))

    path = _built(folder / f"files-{key}.duckdb", fill)
    for old in sorted(folder.glob("files-*.duckdb"), key=_age)[KEPT_BUILDS:]:
        if old != path:
            old.unlink(missing_ok=True)
    return path


def _age(path: Path) -> float:
    return -path.stat().st_mtime if path.exists() else 0.0


def _fill_sample(connection: DuckDBPyConnection) -> None:
    generated.fill(connection)
    for schema, table in itertools.product(SAMPLE_SCHEMAS, generated.TABLES):
        _describe(connection, schema, table, SAMPLE)


def _describe(connection: DuckDBPyConnection, schema: str, table: str, source: str) -> None:
    """Leave source and row count as the table's comment, where `tables` finds them."""
    counted = connection.execute(f"SELECT count(*) FROM {schema}.{table}").fetchone()  # noqa: S608 - our names
    views = connection.execute(
        "SELECT count(*) FROM duckdb_views() WHERE schema_name = ? AND view_name = ?", [schema, table]
    ).fetchone()
    kind = "VIEW" if views and views[0] else "TABLE"
    about = json.dumps({"source": source, "rows": counted[0] if counted else 0}).replace("'", "''")
    connection.execute(f"COMMENT ON {kind} {schema}.{table} IS '{about}'")


def _built(path: Path, fill: Callable[[DuckDBPyConnection], None]) -> Path:
    """`path`, built by `fill` if it is not there: whole or not at all, once also when several processes ask."""
    import duckdb

    if path.exists():
        return path
    with _alone(path.with_suffix(".lock")):
        if not path.exists():
            draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
            draft.unlink(missing_ok=True)
            try:
                with duckdb.connect(str(draft)) as connection:
                    fill(connection)
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)
    return path


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    import portalocker

    with portalocker.Lock(lock, "a", timeout=BUILD_SECONDS):
        yield
