"""The change feed of the table of tasks: which were added for, or newly assigned to, one assignee."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.workspace.statements import Statements
from graph.errors import InvalidRequest

KEYS = ("issue_key", "key")
NAME = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """A task as it was after the commit that gave it to the assignee."""

    key: str
    version: int
    row: Row


@dataclass(frozen=True)
class ChangeFeed:
    """`table` has three parts and `delta.enableChangeDataFeed`. Raises InvalidRequest, which names the parameter."""

    statements: Statements
    table: str

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.table):
            raise InvalidRequest(f"ADK_TASK_TABLE is {self.table!r}: name a table as catalog.schema.table.")

    @property
    def quoted(self) -> str:
        return quote(self.table)

    def latest(self) -> int:
        """The table's version now."""
        history = self.statements.run(f"DESCRIBE HISTORY {self.quoted}").table.to_pylist()
        return max(int(one["version"]) for one in history)

    def read(self, first: int, last: int, assignee: str) -> list[Change]:
        """What came to the assignee from version `first` to `last`, both included, in the order of the commits."""
        if last < first:
            return []
        key = self._check_columns()
        rows = self.statements.run(
            f"SELECT * FROM table_changes('{self.table}', {first:d}, {last:d}) "  # noqa: S608 - a checked name, numbers
            "WHERE assignee = :assignee AND _change_type IN ('insert', 'update_preimage', 'update_postimage') "
            f"ORDER BY _commit_version, {key}",
            {"assignee": assignee},
        ).table.to_pylist()
        return list(newly_assigned(rows, key))

    def _check_columns(self) -> str:
        """The name of the column with a task's key."""
        sample = self.statements.run(f"SELECT * FROM {self.quoted}", rows=1)  # noqa: S608 - a checked name
        names = [name.lower() for name in sample.table.column_names]
        if "assignee" not in names:
            raise InvalidRequest(
                f"{self.table} has no column assignee, so it can't be told whose tasks are meant: check ADK_TASK_TABLE."
            )
        key = next((name for name in KEYS if name in names), None)
        if key is None:
            raise InvalidRequest(f"{self.table} has no column {' or '.join(KEYS)}: check ADK_TASK_TABLE.")
        return key


def newly_assigned(rows: Sequence[Row], key: str) -> Iterable[Change]:
    """Added rows, and changed ones whose assignee was another before; the first for each task. `rows` are all one
    assignee's: a change of a task that stays with him has him before and after.
    """
    stayed = {(one["_commit_version"], one[key]) for one in rows if one["_change_type"] == "update_preimage"}
    seen: set[str] = set()
    for one in rows:
        changed = one["_change_type"] == "update_postimage"
        if one["_change_type"] == "update_preimage" or (changed and (one["_commit_version"], one[key]) in stayed):
            continue
        name = str(one[key])
        if name not in seen:
            seen.add(name)
            yield Change(name, int(one["_commit_version"]), one)


def quote(name: str) -> str:
    return ".".join(f"`{part}`" for part in name.split("."))
