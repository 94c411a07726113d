"""The warehouse's database files: built whole or not at all, by one process when several ask, kept while in use."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from agent.data import sample as generated
from agent.data.files import DataFile, load

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FILES_SCHEMA = "data"
SAMPLE_SCHEMAS = ("all_silos", *(silo.schema for silo in generated.SILOS))
KEPT_BUILDS = 4


@contextmanager
def held_sample(folder: Path) -> Iterator[Path]:
    """The sample's database file below `folder`."""
    with _held(folder / f"sample-{generated.VERSION}.duckdb", _fill_sample) as path:
        yield path


@contextmanager
def held_files(folder: Path, files: Sequence[DataFile]) -> Iterator[Path]:
    """The database file of the user's files as they are now. Older ones go when nobody holds them."""
    import duckdb

    key = sha256("\n".join([duckdb.__version__, *(file.key for file in files)]).encode()).hexdigest()[:16]
    with _held(folder / f"files-{key}.duckdb", partial(_fill_files, files)) as path:
        yield path


def _fill_sample(connection: DuckDBPyConnection) -> None:
    generated.fill(connection)
    for schema, table in itertools.product(SAMPLE_SCHEMAS, generated.TABLES):
        _describe(connection, f"{schema}.{table}", "VIEW" if schema == "all_silos" else "TABLE", "sample")


def _fill_files(files: Sequence[DataFile], connection: DuckDBPyConnection) -> None:
    connection.execute(f"CREATE SCHEMA {FILES_SCHEMA}; USE {FILES_SCHEMA}")
    for file in files:
        load(connection, file)
        _describe(connection, file.table, "VIEW" if file.kind == "parquet" else "TABLE", str(file.path))


def _describe(connection: DuckDBPyConnection, name: str, kind: str, source: str) -> None:
    """Leave source and row count as the table's comment, where the warehouse finds them."""
    counted = connection.execute(f"SELECT count(*) FROM {name}").fetchone()  # noqa: S608 - our names
    about = json.dumps({"source": source, "rows": counted[0] if counted else 0}).replace("'", "''")
    connection.execute(f"COMMENT ON {kind} {name} IS '{about}'")


@contextmanager
def _held(path: Path, fill: Callable[[DuckDBPyConnection], None]) -> Iterator[Path]:
    """`path`, built by `fill` when it is not there, and safe from being removed until the context ends."""
    with path.with_name("build.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _build(path, fill)
            _remove_unused(path)
        file = path.open("rb")
        fcntl.flock(file, fcntl.LOCK_SH)
    with file:
        yield path


def _build(path: Path, fill: Callable[[DuckDBPyConnection], None]) -> None:
    import duckdb

    for left in path.parent.glob(".*.draft*"):
        left.unlink()
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with duckdb.connect(str(draft)) as connection:
            fill(connection)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _remove_unused(newest: Path) -> None:
    """Remove old builds of the user's files that no process holds."""
    builds = [path for path in newest.parent.glob("files-*.duckdb") if path != newest]
    for old in sorted(builds, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT_BUILDS - 1 :]:
        with old.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            old.unlink()
