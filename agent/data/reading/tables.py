"""One table from alike grids: their data rows under their names, with what was left out and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agent.data.reading.engine import count_rows, first_row
from agent.data.reading.grids import Grid
from agent.data.reading.layout import counted, filled, find_footer
from agent.data.reading.names import LONGEST_COLUMN, column_names, quoted
from agent.data.reading.staging import stage, widths
from agent.data.reading.values import literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FOOTER_ROWS = 200
FEW = 0.02
"""Up to this share, rows with more cells than the header are taken for broken ones and left out."""
STAGED = "staged"


@dataclass(frozen=True)
class Taken:
    """What became of one grid. `units` are by column name."""

    rows: int
    notes: tuple[str, ...]
    units: tuple[tuple[str, str], ...] = ()


def take(connection: DuckDBPyConnection, grid: Grid, into: str, label: str | None, scratch: Path) -> Taken:
    """Add the grid's rows to the table of texts `into`, with `label` (the file's name) and partitions as columns.

    Raises DataUnreadable.
    """
    grid = stage(connection, grid, STAGED, scratch)
    used = widths(connection, STAGED)
    grid, long_note, long_where = _widened(connection, grid, used)
    footer = _footer(connection, grid)
    kept = [place for place in range(len(grid.names)) if grid.layout.names[place] or used[place]]
    wheres = [*_wheres(grid, footer, len(used)), *long_where]
    extra = [] if label is None else [f"{literal(label)} AS {quoted(label_name(grid.names))}"]
    extra += [f"{'NULL' if v is None else literal(v)} AS {quoted(k)}" for k, v in grid.file.partitions]
    cells = [f"c{place + 1} AS {quoted(grid.names[place])}" for place in kept]
    select = f"SELECT {', '.join([*extra, *cells])} FROM {STAGED} WHERE {' AND '.join(wheres)}"  # noqa: S608
    count = add(connection, into, select)
    notes = [*_letters(grid), *grid.layout.notes, *_again(connection, grid), *_left_out(grid, footer, kept), *long_note]
    connection.execute(f"DROP TABLE {STAGED}")
    units = tuple((grid.names[place], unit.strip("()[]")) for place, unit in enumerate(grid.layout.units) if unit)
    return Taken(count, tuple(notes), units)


def take_raw(connection: DuckDBPyConnection, grid: Grid, into: str, scratch: Path) -> None:
    """Add every row of the grid as it stands. Raises DataUnreadable."""
    stage(connection, grid, STAGED, scratch, as_they_stand=True)
    add(connection, into, f"SELECT {literal(grid.file.name)} AS file, * FROM {STAGED}")  # noqa: S608 - our names
    connection.execute(f"DROP TABLE {STAGED}")


def label_name(names: Sequence[str]) -> str:
    """The column that tells alike files apart."""
    lowered = {name.lower() for name in names}
    return next(name for name in ("file", "source_file", "from_file") if name not in lowered)


def add(connection: DuckDBPyConnection, into: str, select: str) -> int:
    """Columns that only some of the alike files have are added as they come."""
    there = [row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
    if into not in there:
        connection.execute(f"CREATE TABLE {into} AS {select}")
        return count_rows(connection, into)
    have = {row[0].lower() for row in connection.execute(f"DESCRIBE {into}").fetchall()}
    for name, *_ in connection.execute(f"DESCRIBE {select}").fetchall():
        if name.lower() not in have:
            connection.execute(f"ALTER TABLE {into} ADD COLUMN {quoted(name)} VARCHAR")
    return int(first_row(connection, f"INSERT INTO {into} BY NAME {select}")[0])


def _letters(grid: Grid) -> Iterator[str]:
    if grid.file.kind == "delimited":
        yield from grid.encoding.notes
        if not grid.dialect.quoted:
            yield "read without quotes: one is opened and never closed, or stands within words"


def _widened(connection: DuckDBPyConnection, grid: Grid, used: Sequence[int]) -> tuple[Grid, list[str], list[str]]:
    """What to do with rows that have more cells than the header: a few are left out, many make columns of their own."""
    width = len(grid.names)
    note: list[str] = []
    beyond = [place for place in range(width, len(used)) if used[place]]
    if not beyond:
        return grid, [], []
    too_long = " OR ".join(f"c{place + 1} IS NOT NULL" for place in beyond)
    found = connection.execute(
        f"SELECT row FROM {STAGED} WHERE row > {grid.layout.first} AND ({too_long}) ORDER BY row"  # noqa: S608
    ).fetchall()
    if found and len(found) <= max(1, FEW * count_rows(connection, STAGED)):
        shown = ", ".join(str(row) for (row,) in found[:5]) + (", …" if len(found) > 5 else "")
        note = [f"{counted(len(found), 'row')} with more cells than the header left out (row {shown})"]
        return grid, note, [f"NOT ({too_long})"]
    headings = (*grid.layout.names, *[""] * (len(used) - width))
    layout = replace(grid.layout, names=headings)
    if found:
        note = [f"{counted(len(found), 'row')} with more cells than the header: see column_{width + 1}"]
    return replace(grid, layout=layout, names=column_names(headings)), note, []


def _footer(connection: DuckDBPyConnection, grid: Grid) -> dict[int, str]:
    """Rows at the end that are totals or notes: their numbers, and how they begin."""
    found = connection.execute(
        f"SELECT * FROM {STAGED} WHERE row > {grid.layout.first} ORDER BY row DESC LIMIT {FOOTER_ROWS}"  # noqa: S608
    ).fetchall()
    rows = [(row[0], [cell or "" for cell in row[1:]]) for row in reversed(found)]
    if not any(filled(cells) for _, cells in rows):
        return {}
    footer = find_footer([cells for _, cells in rows])
    return {rows[place][0]: next(cell for cell in rows[place][1] if cell.strip()) for place in footer}


def _wheres(grid: Grid, footer: dict[int, str], width: int) -> Iterator[str]:
    yield f"row > {grid.layout.first}"
    yield f"coalesce({', '.join(f'c{place}' for place in range(1, width + 1))}) IS NOT NULL"
    if footer:
        yield f"row NOT IN ({', '.join(map(str, footer))})"
    if grid.layout.header:
        yield f"NOT ({_is_header(grid)})"


def _is_header(grid: Grid) -> str:
    """A row that says the header again, as pages that were joined do: at least most of it."""
    named = [(place, name) for place, name in enumerate(grid.layout.names) if name]
    same = [f"CAST(c{place + 1} IS NOT DISTINCT FROM {literal(name)} AS INTEGER)" for place, name in named]
    return f"{' + '.join(same)} >= {max(min(2, len(named)), 0.6 * len(named))}"


def _again(connection: DuckDBPyConnection, grid: Grid) -> Iterator[str]:
    if not grid.layout.header:
        return
    where = f"row > {grid.layout.first} AND {_is_header(grid)}"
    if again := count_rows(connection, f"{STAGED} WHERE {where}"):
        yield f"the header comes again in {counted(again, 'row')}, left out"


def _left_out(grid: Grid, footer: dict[int, str], kept: Sequence[int]) -> Iterator[str]:
    if footer:
        first = " ".join(next(iter(footer.values())).split())
        more = ", …" if len(footer) > 1 else ""
        yield f"{counted(len(footer), 'row')} below the table left out ('{first[:40]}'{more})"
    dropped = len(grid.names) - len(kept)
    if dropped:
        yield f"{counted(dropped, 'empty column')} without a name left out"
    unnamed = sum(not grid.layout.names[place] for place in kept)
    if unnamed and grid.layout.header:
        yield f"{counted(unnamed, 'column')} without a name"
    long = sum(len(" ".join(name.split())) > LONGEST_COLUMN for name in grid.layout.names)
    if long:
        yield f"{counted(long, 'long column name')} shortened"
    given = [name.lower() for name in (" ".join(name.split()) for name in grid.layout.names) if name]
    if len(set(given)) < len(given):
        yield f"{counted(len(given) - len(set(given)), 'repeated column name')} numbered"
