"""Rows for people or for programs: aligned on a terminal, with tabs between when piped, JSON when asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.terminal.progress import one_line

UNITS = ("B", "KB", "MB", "GB", "TB")


def show_rows(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], as_json: bool = False, console: Console | None = None
) -> None:
    """Cells are shown as texts; as JSON, each row is an object by column."""
    console = console or Console(highlight=False)
    if as_json:
        write(
            json.dumps([dict(zip(columns, row, strict=True)) for row in rows], ensure_ascii=False, default=str), console
        )
    elif console.is_terminal:
        console.print(render_table(columns, rows))
    else:
        for row in rows:
            write("\t".join(cell(value) for value in row), console)


def render_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for place, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[place], int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="ellipsis", no_wrap=place == 0)
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    return table


def cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else one_line(str(value))


def write(text: str, console: Console) -> None:
    """As it is: not wrapped, no markup."""
    console.file.write(text.rstrip("\n") + "\n")


def size(count: int) -> str:
    """Bytes for people."""
    value, unit = float(count), 0
    while value >= 1000 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {UNITS[unit]}" if unit else f"{count} B"
