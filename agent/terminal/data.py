"""The data that can be asked about: its tables, and what is known of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from agent.terminal.options import Options, load
from agent.terminal.tables import show_rows, write
from graph.errors import InvalidRequest

if TYPE_CHECKING:
    from agent.data.loading import Progress
    from agent.tools.services import Catalog, Table

COLUMNS = ("table", "rows", "columns", "source")
MOST_LINES = 12
"""Of what is told about files that were handed over."""
PAUSE = 2.0
CLOSE = 3
"""Of so few tables the columns are shown."""


def tables(options: Options, part: str) -> None:
    from agent.core import open_agent

    with open_agent(load(options).settings, secrets=os.environ.get) as agent:
        show_tables(agent.catalog, part, options.json)


def show_tables(catalog: Catalog, part: str, as_json: bool = False, console: Any = None) -> None:
    """A line a table whose name has `part` in it; of a few, their columns with what is known of them."""
    from rich.console import Console

    console = console or Console(highlight=False)
    finish(catalog)
    listed = list(catalog.tables())
    exact = [table for table in listed if part and table.full_name.lower().endswith(f".{part.lower()}")]
    chosen = exact[:1] or [table for table in listed if part.lower() in table.full_name.lower()]
    if part and not chosen:
        raise InvalidRequest(f"There is no table with {part} in its name: `tables` lists {len(listed)}.")
    if len(chosen) <= CLOSE and part and not as_json:
        for table in chosen:
            show_closely(catalog, table, console)
        return
    show_rows(COLUMNS, [row(table) for table in chosen], as_json, console)
    if not as_json:
        for one in getattr(catalog, "aside", tuple)():
            write(f"not loaded: {one.name}: {one.reason}", console)


def finish(catalog: Catalog) -> None:
    """A local catalog may still be loading people's files."""
    if (wait := getattr(catalog, "finish_loading", None)) is not None:
        wait()


def row(table: Table) -> Sequence[Any]:
    return (table.full_name, table.rows, ", ".join(column.name for column in table.columns), table.source)


def show_closely(catalog: Catalog, table: Table, console: Any) -> None:
    from agent.data.report import COLUMN_HEADINGS, column_rows, report_lines

    look = getattr(catalog, "look_closer", None)
    known: Any = look(table) if look is not None else table
    for line in report_lines([known]):
        write(line.replace(known.name, known.full_name, 1), console)
    show_rows(COLUMN_HEADINGS, column_rows(known), console=console)
    write("", console)


def loading_lines(catalog: Catalog) -> list[str]:
    """What became of the files that were handed over: a line a table, and what was set aside with the reason."""
    from agent.data.report import report_lines

    listed: Any = [table for table in catalog.tables() if table.source != "sample"]
    lines = report_lines(listed, getattr(catalog, "aside", tuple)())
    more = [f"… and {len(lines) - MOST_LINES} more: main.py tables lists them"] if len(lines) > MOST_LINES else []
    return [*lines[:MOST_LINES], *more]


def tell_progress(say: Callable[[str], None]) -> Callable[[Progress], None]:
    """A line now and then, of loading that takes long."""
    told = [time.monotonic()]

    def tell(progress: Progress) -> None:
        from agent.data.report import progress_line

        if time.monotonic() - told[0] > PAUSE:
            told[0] = time.monotonic()
            say(progress_line(progress))

    return tell
