"""A grid's rows as a table of texts: `row` from 1, then `c1`, `c2`, …, trimmed or as they stand in the file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from shutil import copyfileobj
from typing import TYPE_CHECKING
from uuid import uuid4

from agent.data.reading.engine import first_row
from agent.data.reading.grids import Grid
from agent.data.reading.unpacking import open_bytes
from agent.data.reading.values import literal

if TYPE_CHECKING:
    import pyarrow
    from duckdb import DuckDBPyConnection

BATCH_ROWS = 20_000
FAST_BYTES = 1 << 20
"""From this size on a text that is in order is read by the engine, which is many times faster."""
BLANK = "[ \\t\\r\\n\u00a0\ufeff]"
TRIMMED = (
    f"nullif(CASE WHEN regexp_matches({{0}}, '^{BLANK}|{BLANK}$') "
    f"THEN regexp_replace({{0}}, '^{BLANK}+|{BLANK}+$', '', 'g') ELSE {{0}} END, '')"
)
PACKED_TIMES = 4
"""About how much larger a packed text is than its file."""
WIDER = 64
"""How many cells more than its head a row may have; the rest is joined into the last one."""


def stage(connection: DuckDBPyConnection, grid: Grid, table: str, scratch: Path, as_they_stand: bool = False) -> Grid:
    """Make `table` of all rows of `grid`, and return how it was read; raises DataUnreadable.

    Without spaces around cells, empty ones NULL, unless they are wanted `as_they_stand`. `scratch` is a folder for a
    large file's text when it is packed or not in UTF-8.
    """
    cell = "{}" if as_they_stand else TRIMMED
    if _is_large(grid) and _stage_fast(connection, grid, table, scratch, cell):
        return grid
    try:
        _stage_rows(connection, grid.rows(), len(grid.names), table, cell)
    except csv.Error:
        grid = grid.without_quotes()
        _stage_rows(connection, grid.rows(), len(grid.names), table, cell)
    return grid


def _is_large(grid: Grid) -> bool:
    simple = grid.file.kind == "delimited" and not grid.dialect.escaped and not grid.dialect.declared
    return simple and grid.file.size * (PACKED_TIMES if grid.file.packed else 1) >= FAST_BYTES


def _stage_rows(connection: DuckDBPyConnection, rows: Iterator[list[str]], width: int, table: str, cell: str) -> None:
    import pyarrow

    _create(connection, table, width)
    number = 0
    for batch in _batches(rows):
        widest = min(max(map(len, batch)), width + WIDER)
        for column in range(width + 1, widest + 1):
            connection.execute(f"ALTER TABLE {table} ADD COLUMN c{column} VARCHAR")
        width = max(width, widest)
        columns = zip(*(row if len(row) == width else _fitted(row, width) for row in batch), strict=True)
        places = pyarrow.array(range(number + 1, number + len(batch) + 1), pyarrow.int64())
        number += len(batch)
        names = ["row", *(f"c{place}" for place in range(1, width + 1))]
        connection.register("arriving", pyarrow.table([places, *map(_strings, columns)], names))
        connection.execute(f"INSERT INTO {table} SELECT row, {_cells(width, cell)} FROM arriving")  # noqa: S608
        connection.unregister("arriving")


def _strings(cells: Sequence[str | None]) -> pyarrow.Array:
    import pyarrow

    try:
        return pyarrow.array(cells, pyarrow.string())
    except UnicodeEncodeError:  # a lone surrogate, which UTF-16 can hold, is no letter
        clean = [cell and cell.encode("utf-8", "replace").decode("utf-8") for cell in cells]
        return pyarrow.array(clean, pyarrow.string())


def _create(connection: DuckDBPyConnection, table: str, width: int) -> None:
    cells = ", ".join(f"c{place} VARCHAR" for place in range(1, width + 1))
    connection.execute(f"CREATE OR REPLACE TABLE {table} (row BIGINT, {cells})")


def _batches(rows: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    while batch := list(islice(rows, BATCH_ROWS)):
        yield batch


def _fitted(row: list[str], width: int) -> list[str | None]:
    if len(row) > width:
        row = [*row[: width - 1], ",".join(row[width - 1 :])]
    return [*row, *[None] * (width - len(row))]


def _cells(width: int, cell: str) -> str:
    return ", ".join(cell.format(f"c{place}") for place in range(1, width + 1))


def _stage_fast(connection: DuckDBPyConnection, grid: Grid, table: str, scratch: Path, cell: str) -> bool:
    """The rows above the data as they are, the rest by the engine; False where it meets more than short rows."""
    width = len(grid.names)
    above = list(islice(grid.rows(), grid.layout.first))
    skipped = _lines(grid, len(above))
    with _plain_text(grid, scratch) as path:
        for padded in (False, True):
            _stage_rows(connection, iter(above), width, table, cell)
            source = _csv_source(grid, path, skipped, padded)
            rows = f"SELECT {len(above)} + row_number() OVER (), {_cells(width, cell)} FROM {source}"  # noqa: S608
            if _is_inserted(connection, f"INSERT INTO {table} {rows}"):
                return True
    return False


def _is_inserted(connection: DuckDBPyConnection, sql: str) -> bool:
    import duckdb

    try:
        connection.execute(sql)
    except duckdb.InterruptException:
        raise
    except duckdb.Error:
        return False
    return True


def _csv_source(grid: Grid, path: Path, skipped: int, padded: bool) -> str:
    columns = ", ".join(f"'c{place}': 'VARCHAR'" for place in range(1, len(grid.names) + 1))
    quote = literal('"' if grid.dialect.quoted else "")
    return (
        f"read_csv({literal(str(path))}, auto_detect = false, header = false, skip = {skipped}, "
        f"delim = {literal(grid.dialect.delimiter)}, quote = {quote}, escape = {quote}, "
        f"columns = {{{columns}}}, strict_mode = true, null_padding = {str(padded).lower()}, max_line_size = 16777216)"
    )


@contextmanager
def _plain_text(grid: Grid, scratch: Path) -> Iterator[Path]:
    """The file, or its text in UTF-8 as a file for the time being."""
    if grid.encoding.is_utf8 and not grid.file.packed:
        yield grid.file.path
        return
    path = scratch / f".{uuid4().hex}.text"
    try:
        with open_bytes(grid.file) as raw, grid.encoding.open(raw) as text:
            with path.open("w", encoding="utf-8", errors="replace", newline="") as plain:
                copyfileobj(text, plain, 1 << 20)
        yield path
    finally:
        path.unlink(missing_ok=True)


def _lines(grid: Grid, rows: int) -> int:
    """How many lines of the file the first `rows` rows take."""
    count = 0

    def counted(lines: Iterable[str]) -> Iterator[str]:
        nonlocal count
        for line in lines:
            count += 1
            yield line

    with open_bytes(grid.file) as raw, grid.encoding.open(raw) as text:
        for _ in islice(grid.dialect.rows(counted(text)), rows):
            pass
    return count


def widths(connection: DuckDBPyConnection, table: str) -> list[int]:
    """How many rows have something in each cell."""
    columns = [row[0] for row in connection.execute(f"DESCRIBE {table}").fetchall()][1:]
    return list(first_row(connection, f"SELECT {', '.join(f'count({c})' for c in columns)} FROM {table}"))  # noqa: S608
