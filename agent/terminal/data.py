"""The data that can be asked about: its tables, and what is known of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from agent.terminal.options import Options, load
from agent.terminal.tables import show_rows

if TYPE_CHECKING:
    from agent.tools.services import Table

COLUMNS = ("table", "rows", "columns")


def tables(options: Options, part: str) -> None:
    import os

    from agent.core import open_agent

    with open_agent(load(options).settings, secrets=os.environ.get) as agent:
        show_tables(agent.catalog.tables(), part, options.json)


def show_tables(listed: Iterable[Table], part: str, as_json: bool = False, console: Any = None) -> None:
    """A line a table; of one that `part` names, its columns."""
    chosen = [table for table in listed if part.lower() in table.full_name.lower()]
    show_rows(COLUMNS, [row(table) for table in chosen], as_json, console)


def row(table: Table) -> Sequence[Any]:
    return (table.full_name, table.rows, ", ".join(column.name for column in table.columns))
