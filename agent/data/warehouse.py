"""The local warehouse: DuckDB in this process over the generated sample and the user's files.

Catalog `sample` (schemas silo_north, silo_lakeside, silo_valley, all_silos) and catalog `files` (schema `data`, and
`raw` with the cells as they stand) are files below the home, attached read-only, so that any number of processes can
have them open. People's files are loaded in the background; a statement waits for the tables that it names. What a
run's SQL creates lands in memory of its own session, which no other can see, and goes with it.

SQL can't reach files, extensions or the configuration: external access is off and the configuration locked. What
DuckDB leaves open even then (ATTACH of a file it already knows, DETACH, COPY onto an allowed path) is refused by
statement type, as DuckDB's own parser sees it.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from agent.data.builds import SAMPLE_SCHEMAS, build_sample
from agent.data.facts import Column, look_at
from agent.data.loading import DATA, FIRST_WAIT, RAW, LoadedTable, Loading, Progress, open_loading
from agent.data.reading.engine import hide_progress
from agent.data.reading.found import Aside
from agent.data.session import Prepare, QueryFailed, Session
from graph.errors import InvalidRequest

if TYPE_CHECKING:
    import pyarrow
    from duckdb import DuckDBPyConnection

SPILL_SECONDS = 24 * 3600
OPERATORS = ("LIKE", "NOT LIKE")
SAMPLE, FILES = "sample", "files"
SCHEMAS = {FILES: (DATA, RAW), SAMPLE: SAMPLE_SCHEMAS}
"""The schemas of a catalog; unqualified names are looked up in this order, so the first is the catalog's default."""


@dataclass(frozen=True)
class Table:
    """`source` is `sample` or the files' names; `kind` as information_schema calls it.

    `parts` are the files of a table of several, `alone` the tables of one each. `notes` say what was guessed and what
    is odd. `rows` are None, and the columns a guess, until it is loaded. `has_raw`: its cells are in schema `raw`, too.
    """

    catalog: str
    schema: str
    name: str
    columns: tuple[Column, ...]
    rows: int | None
    source: str
    kind: Literal["BASE TABLE", "VIEW"] = "BASE TABLE"
    parts: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    has_raw: bool = False

    @property
    def full_name(self) -> str:
        return f"{self.catalog}.{self.schema}.{self.name}"


@dataclass(frozen=True)
class Matches:
    """Hits in `catalog, schema, table, table_type, column, type` order; `total` counts those past the limit too."""

    rows: tuple[tuple[str, ...], ...]
    total: int
    sql: str


@dataclass(frozen=True)
class Sources:
    """What every connection of a warehouse attaches, and the only files that it may read besides."""

    catalogs: Mapping[str, Path]
    loading: Loading | None
    spill: Path

    @property
    def names(self) -> tuple[str, ...]:
        return (*((FILES,) if self.loading else ()), *self.catalogs)

    @property
    def readable(self) -> tuple[Path, ...]:
        return self.loading.readable if self.loading else ()

    @property
    def search_path(self) -> str:
        return ",".join(f"{catalog}.{schema}" for catalog in self.names for schema in SCHEMAS[catalog])

    def files_for(self, sql: str, is_given_up: Callable[[], bool] = lambda: False) -> Path | None:
        """The database in which the tables of people's files that `sql` names are loaded. Raises QueryFailed."""
        try:
            return self.loading.catalog_for(sql, is_given_up) if self.loading else None
        except InvalidRequest as error:
            raise QueryFailed(str(error)) from error


class Warehouse:
    """Thread-safe: each query works on a cursor of its own and each session on a database of its own."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._lock = threading.Lock()
        self._sample: tuple[Table, ...] | None = None
        self.catalogs = sources.names
        self._files = sources.files_for("")
        self._connection = self._open_connection(self._files)

    @property
    def catalog(self) -> str | None:
        """Where unqualified names are looked up first: the user's files, else the sample."""
        return self.catalogs[0] if self.catalogs else None

    @property
    def schema(self) -> str | None:
        return SCHEMAS[self.catalog][0] if self.catalog else None

    def session(self, memory: str = "25%") -> Session:
        """A database for one run: the warehouse's tables to read, memory in which it may create. Raises QueryFailed."""
        import duckdb

        path = ",".join(filter(None, ("memory.main", self._sources.search_path)))
        try:
            files = self._sources.files_for("")
            return Session(_connect(self._sources, files, memory), path, SCHEMAS, self._reattach(files))
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
        files = self._sources.files_for(sql)
        with self._lock:
            if files != self._files:
                stale, self._connection = self._connection, self._open_connection(files)
                self._files = files
                stale.close()
            cursor = self._connection.cursor()
        with Session(cursor, self._sources.search_path or "memory.main", SCHEMAS) as session:
            return session.query(sql, parameters, limit=limit, catalog=catalog, schema=schema)

    def tables(self) -> tuple[Table, ...]:
        """People's files first. Those that are still being loaded are there, too."""
        if self._sample is None:
            self._sample = tuple(self._read_sample())
        loading = self._sources.loading
        return (*(map(_table, loading.tables()) if loading else ()), *self._sample)

    def aside(self) -> tuple[Aside, ...]:
        """What was found and is not used, and why, as far as it is known."""
        return self._sources.loading.aside() if self._sources.loading else ()

    def files(self) -> dict[str, Path]:
        """Every file that was found, by its name below what was handed over, whether it makes a table or not."""
        return {} if self._sources.loading is None else self._sources.loading.files()

    def look_closer(self, table: Table) -> Table:
        """With what can be known of its columns; one of people's files has it already."""
        if table.catalog == FILES:
            return table
        with self._lock:
            cursor = self._connection.cursor()
        with closing(cursor):
            return replace(table, columns=look_at(cursor, table.full_name, {}).columns)

    @property
    def is_loaded(self) -> bool:
        return self._sources.loading is None or self._sources.loading.is_done

    def finish_loading(self) -> None:
        """Wait until every table is loaded or set aside."""
        if self._sources.loading is not None:
            self._sources.loading.finish()

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
        if operator not in OPERATORS:
            raise QueryFailed(f"{operator!r} is no operator here: use {' or '.join(OPERATORS)}")
        patterns = [_pattern(word) for word in keyword.split("|") if word.strip()] or ["%"]
        text = "lower(concat_ws(' ', c.table_catalog, c.table_schema, c.table_name, c.column_name, c.data_type))"
        joint = " OR " if operator == "LIKE" else " AND "
        where = "(" + joint.join(f"{text} {operator} ?" for _ in patterns) + ")"
        where += " AND c.table_catalog IN (" + ", ".join(f"'{name}'" for name in self.catalogs or ("",)) + ")"
        if alone := [f"'{name}'" for table in self.tables() for name in table.alone]:
            where += f" AND NOT (c.table_catalog = '{FILES}' AND c.table_name IN ({', '.join(alone)}))"
        parameters: list[Any] = list(patterns)
        if table_type:
            where += f" AND {KIND} = ?"
            parameters.append(table_type)
        sql = SEARCH.format(where=where, kind=KIND)
        found = self.query(sql, parameters).to_pylist()
        return Matches(tuple(tuple(map(str, row.values())) for row in found[:limit]), len(found), sql)

    def close(self) -> None:
        """Sessions stay open: they close themselves."""
        self._connection.close()
        if self._sources.loading is not None:
            self._sources.loading.close()

    def __enter__(self) -> Warehouse:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _open_connection(self, files: Path | None) -> DuckDBPyConnection:
        """Without a memory of its own: nothing can be created in it."""
        connection = _connect(self._sources, files, "50%")
        if self.catalogs:
            connection.execute(f"USE {self.catalogs[0]}; DETACH memory")
        return connection

    def _reattach(self, attached: Path | None) -> Prepare:
        """Before a session's statement: the database in which its tables are loaded takes the place of the last."""

        def attach(connection: DuckDBPyConnection, sql: str, is_given_up: Callable[[], bool]) -> bool:
            nonlocal attached
            if (files := self._sources.files_for(sql, is_given_up)) == attached or files is None:
                return False
            connection.execute(f"SET search_path = 'memory.main'; DETACH {FILES}; {_attach(FILES, files)}")
            connection.complete()
            attached = files
            return True

        return attach

    def _read_sample(self) -> Iterator[Table]:
        if SAMPLE not in self.catalogs:
            return
        with self._lock:
            rows = self._connection.execute(TABLES, [[SAMPLE]]).fetchall()
        for catalog, schema, name, kind, comment, names, types in rows:
            columns = tuple(Column(column, type_) for column, type_ in zip(names, types, strict=True))
            about = json.loads(comment)
            yield Table(catalog, schema, name, columns, about["rows"], about["source"], kind)


def _pattern(word: str) -> str:
    word = word.strip().lower()
    return word if "%" in word else f"%{word}%"


KIND = f"CASE WHEN c.table_catalog = '{FILES}' THEN 'BASE TABLE' ELSE t.table_type END"
"""People's files are tables to them, though views lead to their rows."""
SEARCH = """
SELECT c.table_catalog, c.table_schema, c.table_name,
    {kind} AS table_type, c.column_name, c.data_type
FROM information_schema.columns AS c
JOIN information_schema.tables AS t USING (table_catalog, table_schema, table_name)
WHERE {where} AND c.table_schema <> 'raw'
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


def open_warehouse(
    home: Path,
    sample: bool = True,
    paths: Sequence[Path] = (),
    on_progress: Callable[[Progress], None] | None = None,
    wait: float = FIRST_WAIT,
) -> Warehouse:
    """Build what is missing below `home` and open it; wait up to `wait` seconds for people's files to be loaded.

    Raises DataUnreadable (an InvalidRequest) for a path that is not there and when none of the files can be read.
    Parquet files stay where they are and are read through views; the others are read once, and again when they change.
    `on_progress` is called from another thread.
    """
    folder = home / "warehouse"
    spill = folder / "spill"
    spill.mkdir(parents=True, exist_ok=True)
    _sweep(spill)
    catalogs: dict[str, Path] = {}
    with ExitStack() as held:
        loading = None
        if paths:
            loading = open_loading(folder, paths, on_progress, wait)
            held.callback(loading.close)
        if sample:
            catalogs[SAMPLE] = build_sample(folder)
        warehouse = Warehouse(Sources(catalogs, loading, spill))
        held.pop_all()
        return warehouse


def _table(one: LoadedTable) -> Table:
    return Table(
        FILES,
        DATA,
        one.name,
        one.columns,
        one.facts.rows if one.facts else None,
        one.source,
        parts=one.group.labels if len(one.group.parts) > 1 else (),
        alone=one.group.alone,
        notes=one.facts.notes if one.facts else (),
        has_raw=one.has_raw,
    )


def _sweep(spill: Path) -> None:
    """Remove what processes that were killed spilled a day ago or earlier."""
    for left in spill.iterdir():
        if left.stat().st_mtime < time.time() - SPILL_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def _connect(sources: Sources, files: Path | None, memory: str) -> DuckDBPyConnection:
    """A locked-down database in memory with the sources attached; `memory` is a share of the machine's."""
    import duckdb

    connection = duckdb.connect(":memory:")
    allowed = ", ".join(f"'{_quote(path)}'" for path in sources.readable)
    views = f"'{_quote(sources.loading.catalogs)}/'" if sources.loading else ""
    settings = (
        "python_enable_replacements = false",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "allow_community_extensions = false",
        "TimeZone = 'UTC'",
        f"memory_limit = '{memory}'",
        f"temp_directory = '{_quote(sources.spill / uuid4().hex)}'",
        f"allowed_paths = [{allowed}]",
        f"allowed_directories = [{views}]",
        "enable_external_access = false",
        "lock_configuration = true",
    )
    try:
        hide_progress(connection)
        for name, path in (*(((FILES, files),) if files else ()), *sources.catalogs.items()):
            connection.execute(_attach(name, path))
        for setting in settings:
            connection.execute(f"SET {setting}")
    except duckdb.Error:
        connection.close()
        raise
    return connection


def _attach(name: str, path: Path) -> str:
    return f"ATTACH '{_quote(path)}' AS {name} (READ_ONLY)"


def _quote(path: Path) -> str:
    return str(path).replace("'", "''")
