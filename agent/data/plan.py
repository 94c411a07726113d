"""Which tables people's files make: looked at, put together with their like, not yet loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.data.facts import Column
from agent.data.reading.alike import Group, ParquetRows, Part, group
from agent.data.reading.columns import guess_types
from agent.data.reading.found import Aside, DataFile, DataUnreadable, find_files
from agent.data.reading.grids import Grid, survey_delimited, survey_sheets
from agent.data.reading.json_rows import survey_json
from agent.data.reading.values import literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True)
class Plan:
    """`files` are all that were found, by name, also those that make no table."""

    groups: tuple[Group, ...]
    aside: tuple[Aside, ...]
    files: tuple[DataFile, ...]


def plan_tables(paths: Sequence[Path], connection: DuckDBPyConnection) -> Plan:
    """Raises DataUnreadable for a path that is not there, and when no file can be read at all."""
    found = find_files(paths)
    parts: list[Part] = []
    aside = list(found.aside)
    for file in found.files:
        try:
            parts += survey(file, connection)
        except DataUnreadable as error:
            aside.append(Aside(file.name, str(error).removeprefix(file.name).strip()))
    if not parts and aside and paths:
        raise DataUnreadable("; ".join(f"{one.name}: {one.reason}" for one in aside[:5]))
    return Plan(group(parts), tuple(aside), found.files)


def survey(file: DataFile, connection: DuckDBPyConnection) -> Iterator[Part]:
    """What is in one file, from its beginning; raises DataUnreadable."""
    match file.kind:
        case "delimited":
            yield survey_delimited(file)
        case "workbook":
            yield from survey_sheets(file)
        case "json":
            yield from survey_json(file)
        case _:
            yield _survey_parquet(file, connection)


def _survey_parquet(file: DataFile, connection: DuckDBPyConnection) -> ParquetRows:
    import duckdb

    if file.packed:
        raise DataUnreadable(f"{file.name} is a packed Parquet file: unpack it, Parquet is compressed by itself")
    try:
        rows = connection.execute(f"DESCRIBE FROM read_parquet({literal(str(file.path))})").fetchall()
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise DataUnreadable(f"{file.name} can't be read as Parquet ({reason}): repair it or leave it out") from error
    return ParquetRows(file, tuple(name for name, *_ in rows))


def first_look(one: Group) -> tuple[Column, ...]:
    """The columns as they will probably be, before the table is loaded."""
    first = one.parts[0]
    if isinstance(first, Grid):
        types = guess_types(first.names, first.head)
        return tuple(Column(name, type_) for name, type_ in zip(first.names, types, strict=True))
    return tuple(Column(name, "VARCHAR") for name in first.names)
