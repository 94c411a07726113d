"""What is known of a table and its columns besides names and types: how full, from where to where, which values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from agent.data.reading.engine import first_row
from agent.data.reading.names import quote

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SAMPLE_ROWS = 2_000
SHOWN_VALUES = 5
VALUE_CHARS = 40
WHICH_FILE = "the file that the row is from"
MEASURED = ("BIGINT", "INTEGER", "DOUBLE", "FLOAT", "DECIMAL", "DATE", "TIMESTAMP", "TIME", "SMALLINT", "UBIGINT")


@dataclass(frozen=True)
class Column:
    """`nulls` is a share, None where it is not known. `values` are frequent ones, all of them when `is_all`;
    `least` and `most` are of numbers and dates."""

    name: str
    type: str
    nulls: float | None = None
    values: tuple[str, ...] = ()
    is_all: bool = False
    least: str | None = None
    most: str | None = None
    hint: str = ""


@dataclass(frozen=True)
class TableFacts:
    """`notes` say what was guessed and what is odd; `aside` are parts that could not be read, with their reasons."""

    rows: int
    columns: tuple[Column, ...]
    notes: tuple[str, ...] = ()
    aside: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def facts_from_json(saved: Mapping[str, Any]) -> TableFacts:
    columns = tuple(Column(**{**one, "values": tuple(one["values"])}) for one in saved["columns"])
    aside = tuple((name, reason) for name, reason in saved["aside"])
    return TableFacts(saved["rows"], columns, tuple(saved["notes"]), aside)


def look_at(
    connection: DuckDBPyConnection,
    source: str,
    hints: Mapping[str, str],
    notes: Sequence[str] = (),
    aside: Sequence[tuple[str, str]] = (),
) -> TableFacts:
    """`source` is a relation as it stands after FROM. All rows are counted; values come from an even sample."""
    described = connection.execute(f"DESCRIBE FROM {source}").fetchall()
    asked = ["count(*)"]
    for name, type_, *_ in described:
        column = quote(name)
        measured = type_.split("(")[0].split(" ")[0] in MEASURED
        asked.append(f"count({column})")
        asked += [f"CAST({way}({column}) AS VARCHAR)" if measured else "NULL" for way in ("min", "max")]
    found = first_row(connection, f"SELECT {', '.join(asked)} FROM {source}")  # noqa: S608 - our names
    rows = int(found[0])
    values = _values(connection, source, [name for name, *_ in described], rows)
    columns = []
    for place, (name, type_, *_) in enumerate(described):
        count, least, most = found[1 + 3 * place : 4 + 3 * place]
        shown, is_all = values[name]
        nulls = 1 - count / rows if rows else None
        columns.append(Column(name, type_, nulls, shown, is_all, _clip(least), _clip(most), hints.get(name, "")))
    return TableFacts(rows, tuple(columns), tuple(notes), tuple(aside))


def _values(
    connection: DuckDBPyConnection, source: str, names: Sequence[str], rows: int
) -> dict[str, tuple[tuple[str, ...], bool]]:
    """Frequent values of each column, and whether there are no others."""
    texts = ", ".join(f"CAST({quote(name)} AS VARCHAR) AS {quote(name)}" for name in names)
    share = f"USING SAMPLE reservoir({SAMPLE_ROWS} ROWS) REPEATABLE (42)" if rows > SAMPLE_ROWS else ""
    sample = connection.sql(f"SELECT {texts} FROM {source} {share}").to_arrow_table()  # noqa: S608 - our names
    found = {}
    for name in names:
        counts = Counter(value for value in sample.column(name).to_pylist() if value is not None)
        common = [str(_clip(value)) for value, _ in counts.most_common(SHOWN_VALUES)]
        found[name] = (tuple(common), len(counts) <= SHOWN_VALUES)
    return found


def _clip(value: str | None) -> str | None:
    if value is None:
        return None
    line = " ".join(value.split())
    return line if len(line) <= VALUE_CHARS else f"{line[: VALUE_CHARS - 1]}…"
