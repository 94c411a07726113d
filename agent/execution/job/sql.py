"""`execute_sql` in a job: a SQL warehouse by its statement API when one is named, else the run's own Spark session."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from agent.execution.inside.sql_client import MOST_ROWS, SqlError, SqlResult, _result
from agent.workspace.statements import Statements
from graph.errors import AgentError

if TYPE_CHECKING:
    import pyarrow

Place = tuple[str | None, str | None]


class JobSql:
    """`catalog` and `schema` are where unqualified names are looked up; `cancel` ends the statements that run."""

    def __init__(self, spark: Any, warehouse_id: str | None, place: Place) -> None:
        self._spark, self._warehouse_id, self._place = spark, warehouse_id, place
        self._lock = threading.Lock()
        self._opened: list[Statements] = []
        self._statements = cache(self._open)

    def execute_sql(
        self,
        sql: str,
        as_pandas: bool = False,
        preview_rows: int = 20,
        catalog: str | None = None,
        schema: str | None = None,
        profile: str | None = None,
    ) -> SqlResult:
        """Run SQL and wait for it. Raises SqlError.

        `catalog` and `schema` are where unqualified names are looked up first. `profile` names a profile of the
        machine's ~/.databrickscfg, for a workspace other than the run's own.
        """
        rows = None if as_pandas else max(MOST_ROWS, preview_rows)
        place = (catalog or self._place[0], schema or self._place[1])
        if self._warehouse_id is None and profile is None:
            table, trailer = self._by_spark(sql, rows, place)
        else:
            table, trailer = self._by_warehouse(sql, rows, place, profile)
        return _result(table, trailer, as_pandas, preview_rows)

    def cancel(self) -> None:
        for statements in self._opened:
            statements.cancel()

    def _by_warehouse(
        self, sql: str, rows: int | None, place: Place, profile: str | None
    ) -> tuple[Any, dict[str, Any]]:
        try:
            answer = self._statements(profile).run(sql, rows=rows, catalog=place[0], schema=place[1])
        except AgentError as error:
            raise SqlError(str(error)) from None
        return answer.table, {"row_count": answer.row_count, "statement_id": answer.statement_id}

    def _by_spark(self, sql: str, rows: int | None, place: Place) -> tuple[Any, dict[str, Any]]:
        """The session's own place is another than the statement's for its time only, one statement after the other."""
        with self._lock, looking_in(self._spark, place):
            try:
                frame = self._spark.sql(sql)
                table = to_arrow(frame if rows is None else frame.limit(rows + 1))
            except Exception as error:  # noqa: BLE001 - the edge: Spark's errors have no class in common
                raise SqlError(str(error)) from None
        whole = rows is None or table.num_rows <= rows
        trailer = {"row_count": table.num_rows if whole else None, "statement_id": ""}
        return (table if whole else table.slice(0, rows)), trailer

    def _open(self, profile: str | None) -> Statements:
        from databricks.sdk import WorkspaceClient

        if self._warehouse_id is None:
            raise SqlError("profile needs a SQL warehouse: data.warehouse_id names none")
        client = WorkspaceClient(profile=profile) if profile else WorkspaceClient()
        opened = Statements(lambda: client, self._warehouse_id)
        self._opened.append(opened)
        return opened


class looking_in:  # noqa: N801 - reads as a `with`
    """Spark's current catalog and schema, for the time of a `with`."""

    def __init__(self, spark: Any, place: Place) -> None:
        self._spark, self._place = spark, place
        self._before: Place = (None, None)

    def __enter__(self) -> None:
        if not any(self._place):
            return
        self._before = (self._spark.catalog.currentCatalog(), self._spark.catalog.currentDatabase())
        self._look(self._place)

    def __exit__(self, *error: object) -> None:
        if any(self._place):
            self._look(self._before)

    def _look(self, place: Place) -> None:
        catalog, schema = place
        if catalog and catalog != self._spark.catalog.currentCatalog():
            self._spark.catalog.setCurrentCatalog(catalog)
        if schema:
            self._spark.catalog.setCurrentDatabase(schema)


def to_arrow(frame: Any) -> pyarrow.Table:
    import pyarrow

    convert: Callable[[], pyarrow.Table] | None = getattr(frame, "toArrow", None)
    if convert is not None:
        return convert()
    return pyarrow.Table.from_pandas(frame.toPandas(), preserve_index=False)
