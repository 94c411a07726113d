"""The tables' DDL for every database that may hold them, derived from their one declaration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from agent.records.columns import Kind, Table

Dialect = Literal["sqlite", "duckdb", "postgres", "delta"]

TYPES: Mapping[Dialect, Mapping[Kind, str]] = {
    "sqlite": {"string": "TEXT", "integer": "INTEGER", "boolean": "INTEGER", "timestamp": "TEXT"},
    "duckdb": {"string": "VARCHAR", "integer": "INTEGER", "boolean": "BOOLEAN", "timestamp": "TIMESTAMP"},
    "postgres": {"string": "VARCHAR", "integer": "INTEGER", "boolean": "BOOLEAN", "timestamp": "TIMESTAMPTZ"},
    "delta": {"string": "STRING", "integer": "INT", "boolean": "BOOLEAN", "timestamp": "TIMESTAMP"},
}


def create_table(table: Table, dialect: Dialect, prefix: str = "") -> str:
    """One CREATE TABLE IF NOT EXISTS statement. `prefix` is put before the name as it is (`catalog.schema.`).

    DuckDB and Delta get no primary key: DuckDB's slows appends down, Delta's is not enforced. Write there with MERGE.
    """
    types = TYPES[dialect]
    lines = [f"{c.name} {types[c.kind]}{'' if c.nullable else ' NOT NULL'}" for c in table.columns]
    if dialect in ("sqlite", "postgres"):
        lines.append(f"PRIMARY KEY ({', '.join(table.key)})")
    body = ",\n    ".join(lines)
    return f"CREATE TABLE IF NOT EXISTS {prefix}{table.name} (\n    {body}\n){TAILS[dialect](table)}"


def create_index(table: Table) -> str | None:
    """The index of a row store; None when the table's key is enough."""
    if not table.index:
        return None
    return (
        f"CREATE INDEX IF NOT EXISTS {table.name}_by_{'_'.join(table.index)} ON {table.name} ({', '.join(table.index)})"
    )


def delta_tail(table: Table) -> str:
    partition = f" PARTITIONED BY ({', '.join(table.partition)})" if table.partition else ""
    return f" USING DELTA{partition}"


TAILS: Mapping[Dialect, Callable[[Table], str]] = {
    "sqlite": lambda table: "",
    "duckdb": lambda table: "",
    "postgres": lambda table: "",
    "delta": delta_tail,
}
