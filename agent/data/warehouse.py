"""The local warehouse: DuckDB in this process over the generated sample and the user's files.

Catalog `sample` (schemas silo_north, silo_lakeside, silo_valley, all_silos) and catalog `files` (schema `data`) are
files below the home, built once under a lock and attached read-only, so that any number of processes can have them
open. What a run's SQL creates lands in memory of its own session, which no other can see, and goes with it.

SQL can't reach files, extensions or the configuration: external access is off and the configuration locked. What
DuckDB leaves open even then (ATTACH of a file it already knows, DETACH, COPY onto an allowed path) is refused by
statement type, as DuckDB's own parser sees it.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from agent.data.builds import FILES_SCHEMA, SAMPLE_SCHEMAS, hold_files, hold_sample
from agent.data.files import find_files
from agent.data.session import QueryFailed, Session

if TYPE_CHECKING:
    import pyarrow
    from duckdb import DuckDBPyConnection

SPILL_SECONDS = 24 * 3600
OPERATORS = ("LIKE", "NOT LIKE")
SAMPLE, FILES = "sample", "files"
SCHEMAS = {FILES: (FILES_SCHEMA,), SAMPLE: SAMPLE_SCHEMAS}
"""The schemas of a catalog; unqualified names are looked up in this order, so the first is the catalog's default."""


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


@dataclass(frozen=True)
class Sources:
    """What every connection of a warehouse attaches, and the only files that it may read besides."""

    catalogs: Mapping[str, Path]
    readable: tuple[Path, ...]
    spill: Path

    @property
    def search_path(self) -> str:
        return ",".join(f"{catalog}.{schema}" for catalog in self.catalogs for schema in SCHEMAS[catalog])


class Warehouse:
    """Thread-safe: each query works on a cursor of its own and each session on a database of its own."""

    def __init__(self, sources: Sources, held: ExitStack) -> None:
        self._sources = sources
        self._held = held
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
        return SCHEMAS[self.catalog][0] if self.catalog else None

    def session(self, memory: str = "25%") -> Session:
        """A database for one run: the warehouse's tables to read, memory in which it may create. Raises QueryFailed."""
        import duckdb

        path = ",".join(filter(None, ("memory.main", self._sources.search_path)))
        try:
            return Session(_connect(self._sources, memory), path, SCHEMAS)
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
        with Session(cursor, self._sources.search_path or "memory.main", SCHEMAS) as session:
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
        if operator not in OPERATORS:
            raise QueryFailed(f"{operator!r} is no operator here: use {' or '.join(OPERATORS)}")
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
        self._held.close()

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
    spill = folder / "spill"
    spill.mkdir(parents=True, exist_ok=True)
    _sweep(spill)
    files = find_files(paths)
    catalogs: dict[str, Path] = {}
    with ExitStack() as held:
        if files:
            catalogs[FILES] = held.enter_context(hold_files(folder, files))
        if sample:
            catalogs[SAMPLE] = held.enter_context(hold_sample(folder))
        readable = tuple(file.path for file in files if file.kind == "parquet")
        return Warehouse(Sources(catalogs, readable, spill), held.pop_all())


def _sweep(spill: Path) -> None:
    """Remove what processes that were killed spilled a day ago or earlier."""
    for left in spill.iterdir():
        if left.stat().st_mtime < time.time() - SPILL_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def _connect(sources: Sources, memory: str) -> DuckDBPyConnection:
    """A locked-down database in memory with the sources attached; `memory` is a share of the machine's."""
    import duckdb

    connection = duckdb.connect(":memory:")
    allowed = ", ".join(f"'{_quote(path)}'" for path in sources.readable)
    settings = (
        "python_enable_replacements = false",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "allow_community_extensions = false",
        "enable_progress_bar = false",
        "TimeZone = 'UTC'",
        f"memory_limit = '{memory}'",
        f"temp_directory = '{_quote(sources.spill / uuid4().hex)}'",
        f"allowed_paths = [{allowed}]",
        "enable_external_access = false",
        "lock_configuration = true",
    )
    try:
        for name, path in sources.catalogs.items():
            connection.execute(f"ATTACH '{_quote(path)}' AS {name} (READ_ONLY)")
        for setting in settings:
            connection.execute(f"SET {setting}")
    except duckdb.Error:
        connection.close()
        raise
    return connection


def _quote(path: Path) -> str:
    return str(path).replace("'", "''")
