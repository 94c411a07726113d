"""Makes a group of files one Parquet file with facts beside it; the user's own Parquet files stay where they are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from agent.data.facts import WHICH_FILE, TableFacts, look_at
from agent.data.reading.alike import Group, ParquetRows, label_of
from agent.data.reading.columns import type_columns
from agent.data.reading.engine import count_rows
from agent.data.reading.found import DataUnreadable
from agent.data.reading.grids import Grid
from agent.data.reading.json_rows import JsonRows, stage_json
from agent.data.reading.layout import counted
from agent.data.reading.names import quoted
from agent.data.reading.tables import label_name, take, take_raw
from agent.data.reading.values import literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

TEXTS, RAW = "texts", "raw"
SHOWN_FILES = 3


@dataclass(frozen=True)
class Made:
    """Where a group's rows are: `rows` is a Parquet file, `facts` what is known of it."""

    rows: Path
    facts: Path


def make(connection: DuckDBPyConnection, one: Group, into: Made) -> TableFacts:
    """Raises DataUnreadable when none of its files can be read; those that can't be are set aside."""
    connection.execute(f"DROP TABLE IF EXISTS {TEXTS}; DROP TABLE IF EXISTS {RAW}")
    made = MAKERS[one.kind](connection, one, into)
    _write(into.facts, json.dumps(made.to_json(), ensure_ascii=False))
    return made


def _write(path: Path, text: str) -> None:
    with _draft(path) as draft:
        draft.write_text(text, encoding="utf-8")


def _copy(connection: DuckDBPyConnection, select: str, path: Path) -> None:
    with _draft(path) as draft:
        connection.execute(f"COPY ({select}) TO {literal(str(draft))} (FORMAT parquet, COMPRESSION zstd)")


@contextmanager
def _draft(path: Path) -> Iterator[Path]:
    """Takes the place of `path` when it is whole; a cut off one is left to nobody."""
    draft = path.with_name(f".{uuid4().hex}.draft")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _grids(connection: DuckDBPyConnection, one: Group, into: Made) -> TableFacts:
    grids = [part for part in one.parts if isinstance(part, Grid)]
    many = len(grids) > 1 and not grids[0].file.partitions
    label = label_name([name for grid in grids for name in grid.names]) if many else None
    aside, notes, units = [], [], {}
    for grid in grids:
        try:
            taken = take(connection, grid, TEXTS, grid.file.name if many else None, into.rows.parent)
        except DataUnreadable as error:
            aside.append((grid.file.name, str(error)))
        else:
            notes.append((grid.file.name, taken.notes))
            units.update(dict(taken.units))
    _need_some(aside, len(grids))
    typed = type_columns(connection, TEXTS, [label] if label else [])
    _copy(connection, typed.select, into.rows)
    hints = {**({label: WHICH_FILE} if label else {}), **_with_units(units, typed.hints)}
    connection.execute(f"DROP TABLE {TEXTS}")
    return look_at(connection, _parquet(into.rows), hints, joined(notes), aside)


def _with_units(units: Mapping[str, str], hints: Mapping[str, str]) -> dict[str, str]:
    said = {name: f"in {unit}" for name, unit in units.items()}
    return {name: "; ".join(filter(None, (said.get(name), hints.get(name)))) for name in {**said, **hints}}


def _need_some(aside: Sequence[tuple[str, str]], parts: int) -> None:
    if len(aside) == parts:
        raise DataUnreadable("; ".join(reason for _, reason in aside[:SHOWN_FILES]))


def joined(notes: Sequence[tuple[str, Sequence[str]]]) -> tuple[str, ...]:
    """What holds for several files once, with how many or which."""
    counts = Counter(note for _, each in notes for note in each)
    said = []
    for note, count in counts.items():
        files = [name for name, each in notes if note in each]
        few = f"{', '.join(files[:SHOWN_FILES])}: {note}" if count <= SHOWN_FILES else f"{note} (in {count} files)"
        said.append(note if count == len(notes) else few)
    return tuple(said[:12]) + ((f"{len(said) - 12} more notes",) if len(said) > 12 else ())


def _json(connection: DuckDBPyConnection, one: Group, into: Made) -> TableFacts:
    parts = [part for part in one.parts if isinstance(part, JsonRows)]
    many = len(parts) > 1 and not parts[0].file.partitions
    label = label_name([name for part in parts for name in part.names])
    aside, notes, selects = [], [], []
    for number, part in enumerate(parts):
        table = f"{TEXTS}_{number}"
        try:
            _, said = stage_json(connection, part, table, into.rows.parent)
        except DataUnreadable as error:
            aside.append((part.file.name, str(error)))
        else:
            notes.append((label_of(part), said))
            extra = [f"{literal(label_of(part))} AS {quoted(label)}"] if many else []
            extra += [f"{'NULL' if v is None else literal(v)} AS {quoted(k)}" for k, v in part.file.partitions]
            selects.append(f"SELECT {', '.join([*extra, '*'])} FROM {table}")  # noqa: S608 - our names
    _need_some(aside, len(parts))
    _copy(connection, " UNION ALL BY NAME ".join(selects), into.rows)
    for number in range(len(parts)):
        connection.execute(f"DROP TABLE IF EXISTS {TEXTS}_{number}")
    return look_at(connection, _parquet(into.rows), {label: WHICH_FILE} if many else {}, joined(notes), aside)


def _parquets(connection: DuckDBPyConnection, one: Group, into: Made) -> TableFacts:
    return look_at(connection, f"({parquet_select(one)})", {})


MAKERS = {"grid": _grids, "json": _json, "parquet": _parquets}


def _parquet(path: Path) -> str:
    return f"read_parquet({literal(str(path))})"


def parquet_select(one: Group) -> str:
    """The user's own files as one relation, with the file's name where there are several."""
    files = [part.file for part in one.parts]
    paths = ", ".join(literal(str(file.path)) for file in files)
    if len(files) == 1 and not files[0].partitions:
        return f"SELECT * FROM read_parquet([{paths}])"  # noqa: S608 - quoted
    if files[0].partitions:
        return f"SELECT * FROM read_parquet([{paths}], union_by_name = true, hive_partitioning = true)"  # noqa: S608
    label = quoted(label_name([name for part in one.parts if isinstance(part, ParquetRows) for name in part.names]))
    root = literal(f"{files[0].root}/")
    return (
        f"SELECT replace(filename, {root}, '') AS {label}, * EXCLUDE (filename) "  # noqa: S608 - quoted
        f"FROM read_parquet([{paths}], union_by_name = true, filename = true)"
    )


def select_of(one: Group, made: Made) -> str:
    """The whole table."""
    return parquet_select(one) if one.kind == "parquet" else f"SELECT * FROM {_parquet(made.rows)}"  # noqa: S608


def select_alone(one: Group, place: int, made: Made) -> str:
    """One part of a table of several."""
    names = [name for part in one.parts for name in part.names]
    label = quoted(label_name(names))
    return (
        f"SELECT * EXCLUDE ({label}) FROM ({select_of(one, made)}) "  # noqa: S608 - quoted
        f"WHERE {label} = {literal(one.labels[place])}"
    )


def make_raw(connection: DuckDBPyConnection, one: Group, path: Path) -> int:
    """Every row of the group's grids as it stands, as text; how many. Raises DataUnreadable."""
    connection.execute(f"DROP TABLE IF EXISTS {RAW}")
    for part in one.parts:
        if isinstance(part, Grid):
            take_raw(connection, part, RAW, path.parent)
    _copy(connection, f"SELECT * FROM {RAW}", path)  # noqa: S608 - our names
    rows = count_rows(connection, RAW)
    connection.execute(f"DROP TABLE {RAW}")
    return rows


def described_lines(one: Group) -> str:
    """`3 files: a.csv, b.csv, c.csv`, or the file's name."""
    names = one.labels
    if len(names) == 1:
        return names[0]
    shown = ", ".join(names[:SHOWN_FILES]) + (", …" if len(names) > SHOWN_FILES else "")
    return f"{counted(len(names), 'file')}: {shown}"
