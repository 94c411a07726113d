"""Tables and columns by information_schema, with bound parameters, through a SQL warehouse."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from agent.data.facts import Column
from agent.data.warehouse import Matches
from agent.tools.services import Operator, TableType
from agent.workspace.statements import SETTING, Statements
from graph.errors import InvalidRequest

MOST_COLUMNS = 5_000
KEPT_SECONDS = 300.0
"""How long the list of tables is kept: the analyst's instructions hold it in each turn."""


@dataclass(frozen=True)
class Table:
    """As agent.data.catalogue lists it; what only files have is empty."""

    catalog: str
    schema: str
    name: str
    columns: tuple[Column, ...]
    kind: str
    rows: int | None = None
    source: str = "Unity Catalog"
    parts: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    has_raw: bool = False

    @property
    def full_name(self) -> str:
        return f"{self.catalog}.{self.schema}.{self.name}"


COLUMNS = """
SELECT c.table_catalog, c.table_schema, c.table_name, t.table_type, c.column_name, c.data_type
FROM {place}.information_schema.columns AS c
JOIN {place}.information_schema.tables AS t
  ON t.table_catalog = c.table_catalog AND t.table_schema = c.table_schema AND t.table_name = c.table_name
WHERE c.table_schema <> 'information_schema'{where}
ORDER BY c.table_catalog, c.table_schema, c.table_name, c.ordinal_position"""

TEXT = "lower(concat_ws(' ', c.table_catalog, c.table_schema, c.table_name, c.column_name, c.data_type))"


@dataclass
class UnityCatalog:
    """`catalog` and `schema` bound what is looked through; without a catalog it is all that the metastore shows."""

    statements: Callable[[], Statements]
    catalog: str | None
    schema: str | None
    _kept: tuple[float, tuple[Table, ...]] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def tables(self) -> tuple[Table, ...]:
        """What is there to ask about; none without a catalog and schema: a metastore has too many to list."""
        if self.catalog is None:
            return ()
        with self._lock:
            if self._kept is None or monotonic() - self._kept[0] > KEPT_SECONDS:
                self._kept = (monotonic(), self._read())
            return self._kept[1]

    def search(
        self, keyword: str, table_type: TableType | None = None, operator: Operator = "LIKE", *, limit: int = 5
    ) -> Matches:
        """Columns whose table, name or type is like `keyword`. `|` separates alternatives (with NOT LIKE all of them
        must be absent), `%` is put around what has none.
        """
        patterns = [pattern(word) for word in keyword.split("|") if word.strip()] or ["%"]
        bound = {f"word{number}": text for number, text in enumerate(patterns)}
        chosen = "NOT LIKE" if operator == "NOT LIKE" else "LIKE"
        joint = " AND " if chosen == "NOT LIKE" else " OR "
        where = " AND (" + joint.join(f"{TEXT} {chosen} :{name}" for name in bound) + ")"
        if table_type is not None:
            where += " AND t.table_type IN (:kind, :kind2)"
            bound |= {"kind": table_type, "kind2": "MANAGED" if table_type == "BASE TABLE" else "VIEW"}
        where, bound = self._within(where, bound)
        sql = COLUMNS.format(place=self._place, where=where)
        counted = self._run(f"SELECT count(*) AS n FROM ({sql})", bound, 1).to_pylist()  # noqa: S608 - values are bound
        found = self._run(sql, bound, limit).to_pylist()
        return Matches(tuple(tuple(map(str, row.values())) for row in found), int(counted[0]["n"]), sql)

    @property
    def _place(self) -> str:
        return quote(self.catalog or "system")

    def _within(self, where: str, bound: dict[str, str]) -> tuple[str, dict[str, str]]:
        if self.schema is None:
            return where, bound
        return f"{where} AND c.table_schema = :place", {**bound, "place": self.schema}

    def _read(self) -> tuple[Table, ...]:
        where, bound = self._within("", {})
        columns: dict[tuple[str, ...], list[Column]] = defaultdict(list)
        for row in self._run(COLUMNS.format(place=self._place, where=where), bound, MOST_COLUMNS).to_pylist():
            catalog, schema, name, kind, column, of = map(str, row.values())
            columns[catalog, schema, name, kind].append(Column(column, of))
        return tuple(Table(key[0], key[1], key[2], tuple(found), key[3]) for key, found in columns.items())

    def _run(self, sql: str, bound: dict[str, str], rows: int) -> Any:
        return self.statements().run(sql, bound, rows=rows).table


@dataclass(frozen=True)
class NoCatalog:
    """In place of one that needs a SQL warehouse."""

    def tables(self) -> tuple[Table, ...]:
        return ()

    def search(
        self, keyword: str, table_type: TableType | None = None, operator: Operator = "LIKE", *, limit: int = 5
    ) -> Matches:
        raise InvalidRequest(f"searching needs a SQL warehouse: set {SETTING}. SHOW TABLES works in delegated code.")


def pattern(word: str) -> str:
    word = word.strip().lower()
    return word if "%" in word else f"%{word}%"


def quote(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
