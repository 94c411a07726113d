"""The sample's database file: built whole or not at all, by one process when several ask."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from agent.data import sample as generated
from agent.data.reading.engine import count_rows

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SAMPLE_SCHEMAS = ("all_silos", *(silo.schema for silo in generated.SILOS))


def build_sample(folder: Path) -> Path:
    """The sample's database file below `folder`."""
    path = folder / f"sample-{generated.VERSION}.duckdb"
    with (folder / "build.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _build(path)
    return path


def _build(path: Path) -> None:
    import duckdb

    for left in path.parent.glob(".*.draft*"):
        left.unlink()
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with duckdb.connect(str(draft)) as connection:
            _fill(connection)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _fill(connection: DuckDBPyConnection) -> None:
    generated.fill(connection)
    for schema, table in itertools.product(SAMPLE_SCHEMAS, generated.TABLES):
        _describe(connection, f"{schema}.{table}", "VIEW" if schema == "all_silos" else "TABLE")


def _describe(connection: DuckDBPyConnection, name: str, kind: str) -> None:
    """Leave source and row count as the table's comment, where the warehouse finds them."""
    about = json.dumps({"source": "sample", "rows": count_rows(connection, name)})
    connection.execute(f"COMMENT ON {kind} {name} IS '{about}'")
