"""Asking DuckDB for one row, which leaves its connection busy unless everything is fetched, and quietly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def first_row(connection: DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    rows = connection.execute(sql).fetchall()
    return tuple(rows[0]) if rows else ()


def hide_progress(connection: DuckDBPyConnection) -> None:
    """Only where it is shown: a Jupyter kernel without ipywidgets refuses to have it set at all."""
    if first_row(connection, "SELECT current_setting('enable_progress_bar')") != (False,):
        connection.execute("SET enable_progress_bar = false")


def count_rows(connection: DuckDBPyConnection, source: str) -> int:
    """`source` is what stands after FROM."""
    return int(first_row(connection, f"SELECT count(*) FROM {source}")[0])  # noqa: S608 - our names
