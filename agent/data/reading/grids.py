"""Delimited texts and workbooks as what they are alike in: rows of cells, all of them text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import Any

from agent.data.reading.dialect import Dialect, find_dialect
from agent.data.reading.encoding import PROBE, Encoding, find_encoding, looks_binary
from agent.data.reading.found import DataFile, DataUnreadable
from agent.data.reading.layout import HEAD_ROWS, Layout, filled, find_layout
from agent.data.reading.names import column_names
from agent.data.reading.unpacking import open_bytes

DIALECT_CHARS = 10_000


@dataclass(frozen=True)
class Grid:
    """How one file is cut into rows, and where its table is within them."""

    file: DataFile
    layout: Layout
    names: tuple[str, ...]
    head: tuple[tuple[str, ...], ...]
    """The table's first rows, for a look at what is in it before it is loaded."""
    encoding: Encoding = field(default_factory=lambda: Encoding("utf-8"))
    dialect: Dialect = field(default_factory=Dialect)

    def rows(self) -> Iterator[list[str]]:
        """All rows, blank ones included; raises DataUnreadable."""
        if self.file.kind == "workbook":
            yield from sheet_rows(self.file)
            return
        self.encoding.strays.mended = self.encoding.strays.lost = 0
        with _readable(self.file), open_bytes(self.file) as raw, self.encoding.open(raw) as text:
            yield from self.dialect.rows(text)

    def without_quotes(self) -> Grid:
        """For a file with a quote that is never closed."""
        return replace(self, dialect=replace(self.dialect, quoted=False, escaped=False))


@contextmanager
def _readable(file: DataFile) -> Iterator[None]:
    try:
        yield
    except UnicodeError as error:
        raise DataUnreadable(f"{file.name} can't be decoded ({error}): save it as UTF-8") from error


def survey_delimited(file: DataFile) -> Grid:
    """From the first quarter of a megabyte; raises DataUnreadable."""
    with open_bytes(file) as raw:
        head = raw.read(PROBE)
    if not head.strip():
        raise DataUnreadable(f"{file.name} is empty: fill it or leave it out")
    if looks_binary(head):
        raise DataUnreadable(f"{file.name} holds binary data, not text: repair the file or leave it out")
    encoding = find_encoding(head)
    if len(head) == PROBE:
        head = head[: head.rfind(b"\n", PROBE // 2) + 1 or PROBE]
    with _readable(file), Encoding(encoding.name).open(io.BytesIO(head)) as decoded:
        text = decoded.read()
    dialect = find_dialect(text[:DIALECT_CHARS], file.suffix)
    try:
        rows = list(islice(dialect.rows(io.StringIO(text, newline="")), HEAD_ROWS + 1))
    except csv.Error:
        dialect = replace(dialect, quoted=False, escaped=False)
        rows = list(islice(dialect.rows(io.StringIO(text, newline="")), HEAD_ROWS + 1))
    grid = _grid(file, rows)
    if file.may_be_prose and not _is_table(rows, len(grid.names)):
        raise DataUnreadable(f"{file.name} is prose, not a table: hand it over with --text")
    return replace(grid, encoding=encoding, dialect=dialect)


def _is_table(rows: list[list[str]], width: int) -> bool:
    usual = sum(len(row) == width for row in rows)
    return width > 1 and len(rows) > 1 and usual >= 0.9 * len(rows)


def survey_sheets(file: DataFile) -> list[Grid]:
    """Every sheet that has cells; raises DataUnreadable."""
    from python_calamine import SheetTypeEnum

    with _workbook(file) as book:
        names = [sheet.name for sheet in book.sheets_metadata if sheet.typ == SheetTypeEnum.WorkSheet]
        sheets = {name: list(islice(_cells(book, name), HEAD_ROWS + 1)) for name in names}
    used = {name: rows for name, rows in sheets.items() if any(map(filled, rows))}
    if not used:
        raise DataUnreadable(f"{file.name} is a workbook without cells: fill it or leave it out")
    many = len(used) > 1
    return [_grid(replace(file, sheet=name), rows, part=name if many else "") for name, rows in used.items()]


def _grid(file: DataFile, rows: list[list[str]], part: str = "") -> Grid:
    layout = find_layout(rows[:HEAD_ROWS], whole=len(rows) <= HEAD_ROWS)
    names = column_names(layout.names)
    if not names:
        raise DataUnreadable(f"{file.name} has no cells: fill it or leave it out")
    head = tuple(tuple(row) for row in rows[layout.first :] if filled(row))
    return Grid(file, layout, names, head)


def sheet_rows(file: DataFile) -> Iterator[list[str]]:
    with _workbook(file) as book:
        yield from _cells(book, file.sheet)


@contextmanager
def _workbook(file: DataFile) -> Iterator[Any]:
    from python_calamine import CalamineError, CalamineWorkbook

    with open_bytes(file) as raw:
        try:
            book = CalamineWorkbook.from_filelike(io.BytesIO(raw.read()))
            yield book
        except CalamineError as error:
            reason = str(error).splitlines()[0] or type(error).__name__
            raise DataUnreadable(
                f"{file.name} can't be read as a workbook ({reason}): open it, save it anew without a password"
            ) from error


def _cells(book: Any, sheet: str) -> Iterator[list[str]]:
    for row in book.get_sheet_by_name(sheet).to_python(skip_empty_area=False):
        yield [as_text(cell) for cell in row]


def as_text(cell: Any) -> str:
    """As a person would write it, so that a column of a workbook is typed as one of a text."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == time() else cell.isoformat(" ", timespec="seconds")
    if isinstance(cell, date | time):
        return cell.isoformat()
    if isinstance(cell, timedelta):
        hours, rest = divmod(int(cell.total_seconds()), 3600)
        return f"{hours:02d}:{rest // 60:02d}:{rest % 60:02d}"
    return str(cell)
