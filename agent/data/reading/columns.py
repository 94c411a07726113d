"""The types of a table of texts: guessed from a sample of it, then held against every row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.data.reading.cells import NOTHING
from agent.data.reading.engine import count_rows, first_row
from agent.data.reading.names import quote
from agent.data.reading.values import Chosen, Writing, choose, literal, writing_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SAMPLE_ROWS = 2_000
ROUNDS = 6
ODD_VALUES = 200
WORDS = ", ".join(literal(word) for word in sorted(NOTHING))


@dataclass(frozen=True)
class Typed:
    """`select` makes the typed table from the one of texts; `hints` are by column."""

    select: str
    hints: Mapping[str, str]


def type_columns(connection: DuckDBPyConnection, table: str, as_they_are: Sequence[str] = ()) -> Typed:
    """The one type that fits a whole column, else text. `as_they_are` stay text (a file's name)."""
    names = [row[0] for row in connection.execute(f"DESCRIBE {table}").fetchall()]
    open_ = [name for name in names if name not in as_they_are]
    samples = _samples(connection, table, open_)
    writing = writing_of(samples.values())
    chosen = {name: choose(values, writing) for name, values in samples.items()}
    unsure, nothing = list(open_), dict.fromkeys(open_, 0)
    for _ in range(ROUNDS):
        misfits = _misfits(connection, table, {name: chosen[name] for name in unsure}, nothing)
        unsure = [name for name, count in misfits.items() if count]
        for name in unsure:
            samples[name] = [*samples[name], *_odd_values(connection, table, name, chosen[name])]
            chosen[name] = choose(samples[name], writing)
        if not unsure:
            break
    for name in unsure:
        chosen[name] = Chosen(None)
    columns = [_typed(name, chosen.get(name)) for name in names]
    hints = {name: _hint(chosen[name], nothing[name]) for name in open_}
    return Typed(f"SELECT {', '.join(columns)} FROM {table}", {k: v for k, v in hints.items() if v})  # noqa: S608


def _samples(connection: DuckDBPyConnection, table: str, names: Sequence[str]) -> dict[str, list[str]]:
    """Rows from all over the table; a column that is empty there is looked through."""
    step = max(1, count_rows(connection, table) // SAMPLE_ROWS)
    found = connection.sql(f"SELECT * FROM {table} WHERE rowid % {step} = 0").to_arrow_table()  # noqa: S608
    samples = {name: [value for value in found.column(name).to_pylist() if value is not None] for name in names}
    for name, values in samples.items():
        if not any(value.lower() not in NOTHING for value in values) and step > 1:
            samples[name] = [*values, *_said(connection, table, name)]
    return samples


def _said(connection: DuckDBPyConnection, table: str, name: str) -> list[str]:
    column = quote(name)
    rows = connection.execute(
        f"SELECT DISTINCT {column} FROM {table} WHERE lower({column}) NOT IN ({WORDS}) LIMIT {ODD_VALUES}"  # noqa: S608
    ).fetchall()
    return [row[0] for row in rows]


def _misfits(
    connection: DuckDBPyConnection, table: str, chosen: Mapping[str, Chosen], nothing: dict[str, int]
) -> dict[str, int]:
    """How many values of each column its way does not fit; how many words for nothing it has goes to `nothing`."""
    ways = {name: one.way for name, one in chosen.items() if one.way is not None}
    if not ways:
        return {}
    counts = []
    for name, way in ways.items():
        column = quote(name)
        unread = f"{column} IS NOT NULL AND ({way.read(column)}) IS NULL"
        counts.append(f"count(*) FILTER ({unread} AND lower({column}) NOT IN ({WORDS}))")
        counts.append(f"count(*) FILTER ({unread} AND lower({column}) IN ({WORDS}))")
    found = first_row(connection, f"SELECT {', '.join(counts)} FROM {table}")  # noqa: S608 - our names
    nothing.update(zip(ways, found[1::2], strict=True))
    return dict(zip(ways, found[::2], strict=True))


def _odd_values(connection: DuckDBPyConnection, table: str, name: str, chosen: Chosen) -> list[str]:
    assert chosen.way is not None
    column = quote(name)
    rows = connection.execute(
        f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL AND ({chosen.way.read(column)}) IS NULL "  # noqa: S608
        f"AND lower({column}) NOT IN ({WORDS}) LIMIT {ODD_VALUES}"
    ).fetchall()
    return [row[0] for row in rows]


def _typed(name: str, chosen: Chosen | None) -> str:
    column = quote(name)
    return column if chosen is None or chosen.way is None else f"{chosen.way.read(column)} AS {column}"


def _hint(chosen: Chosen, nothing: int) -> str:
    said = f"{nothing:,} written '-', 'N/A' or the like" if chosen.way and nothing else ""
    return "; ".join(filter(None, (chosen.hint, said)))


def guess_types(names: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """For a look before the table is loaded."""
    columns = [[row[place] for row in rows if place < len(row)] for place in range(len(names))]
    writing: Writing = writing_of(columns)
    ways = [choose(values, writing).way for values in columns]
    return tuple("VARCHAR" if way is None else way.type for way in ways)
