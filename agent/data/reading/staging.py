"""A grid's rows as a table of texts, as they stand: `row` from 1, then `c1`, `c2`, … What is left out stays in it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from agent.data.reading.engine import first_row
from agent.data.reading.grids import Grid
from agent.data.reading.names import quoted
from agent.data.reading.values import literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BATCH_ROWS = 20_000
FAST_BYTES = 8 << 20
"""From this size on a text that is in order is read by the engine, which is many times faster."""
WIDER = 64
"""How many cells more than its head a row may have; the rest is joined into the last one."""


def stage(connection: DuckDBPyConnection, grid: Grid, table: str) -> None:
    """Make `table` of all rows of `grid`; raises DataUnreadable."""
    if _is_simple(grid) and _stage_fast(connection, grid, table):
        return
    try:
        _stage_rows(connection, grid.rows(), len(grid.names), table)
    except csv.Error:
        _stage_rows(connection, grid.without_quotes().rows(), len(grid.names), table)


def _is_simple(grid: Grid) -> bool:
    file, dialect = grid.file, grid.dialect
    plain = file.kind == "delimited" and not file.packed and grid.encoding.is_utf8
    return plain and not dialect.escaped and not dialect.declared and file.size >= FAST_BYTES


def _stage_rows(connection: DuckDBPyConnection, rows: Iterator[list[str]], width: int, table: str) -> None:
    import pyarrow

    _create(connection, table, width)
    number = 0
    for batch in _batches(rows):
        widest = min(max(map(len, batch)), width + WIDER)
        for column in range(width + 1, widest + 1):
            connection.execute(f"ALTER TABLE {table} ADD COLUMN c{column} VARCHAR")
        width = max(width, widest)
        columns = zip(*(_fitted(row, width) for row in batch), strict=True)
        arrays = [pyarrow.array(column, pyarrow.string()) for column in columns]
        places = pyarrow.array(range(number + 1, number + len(batch) + 1), pyarrow.int64())
        number += len(batch)
        arrow = pyarrow.table([places, *arrays], ["row", *(f"c{place}" for place in range(1, width + 1))])
        connection.register("arriving", arrow)
        connection.execute(f"INSERT INTO {table} SELECT * FROM arriving")  # noqa: S608 - our names
        connection.unregister("arriving")


def _create(connection: DuckDBPyConnection, table: str, width: int) -> None:
    cells = ", ".join(f"c{place} VARCHAR" for place in range(1, width + 1))
    connection.execute(f"CREATE OR REPLACE TABLE {table} (row BIGINT, {cells})")


def _batches(rows: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    while batch := list(islice(rows, BATCH_ROWS)):
        yield batch


def _fitted(row: list[str], width: int) -> list[str | None]:
    if len(row) > width:
        row = [*row[: width - 1], ",".join(row[width - 1 :])]
    return [_clean(cell) for cell in row] + [None] * (width - len(row))


def _clean(cell: str) -> str | None:
    """Text that Arrow takes: a lone surrogate, which UTF-16 can hold, is no letter."""
    if not cell:
        return None
    return cell if cell.isascii() or cell.isprintable() else cell.encode("utf-8", "replace").decode("utf-8")


def _stage_fast(connection: DuckDBPyConnection, grid: Grid, table: str) -> bool:
    """The rows above the data as they are, the rest by the engine; False where the engine meets anything odd."""
    import duckdb

    width, dialect = len(grid.names), grid.dialect
    above = list(islice(grid.rows(), grid.layout.first))
    skipped = _lines(grid, grid.layout.first)
    columns = ", ".join(f"'c{place}': 'VARCHAR'" for place in range(1, width + 1))
    quote = '"' if dialect.quoted else ""
    source = (
        f"read_csv({literal(str(grid.file.path))}, auto_detect = false, header = false, skip = {skipped}, "
        f"delim = {literal(dialect.delimiter)}, quote = {literal(quote)}, escape = {literal(quote)}, "
        f"columns = {{{columns}}}, strict_mode = true, max_line_size = 16777216)"
    )
    try:
        _stage_rows(connection, iter(above), width, table)
        connection.execute(
            f"INSERT INTO {table} SELECT {len(above)} + row_number() OVER (), * FROM {source}"  # noqa: S608 - our names
        )
    except duckdb.InterruptException:
        raise
    except duckdb.Error:
        return False
    return True


def _lines(grid: Grid, rows: int) -> int:
    """How many lines of the file the first `rows` rows take."""
    count = 0

    def counted(lines: Iterable[str]) -> Iterator[str]:
        nonlocal count
        for line in lines:
            count += 1
            yield line

    with grid.file.path.open("rb") as raw, grid.encoding.open(raw) as text:
        for _ in islice(grid.dialect.rows(counted(text)), rows):
            pass
    return count


def widths(connection: DuckDBPyConnection, table: str) -> list[int]:
    """How many rows have something in each cell."""
    count = _width(connection, table)
    cells = ", ".join(f"count(CASE WHEN {trimmed(f'c{place}')} <> '' THEN 1 END)" for place in range(1, count + 1))
    return list(first_row(connection, f"SELECT {cells} FROM {table}"))  # noqa: S608 - our names


def _width(connection: DuckDBPyConnection, table: str) -> int:
    columns = connection.execute(f"DESCRIBE {quoted(table)}").fetchall()
    return len(columns) - 1


def trimmed(sql: str) -> str:
    return f"trim({sql}, ' \t\r\n\u00a0\ufeff')"
