"""`execute_sql` in a job: a SQL warehouse by its statement API when one is named, else the run's own Spark session."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from agent.execution.inside.line import AskError, Take
from agent.workspace.statements import Statements
from graph.errors import AgentError

if TYPE_CHECKING:
    import pyarrow

Place = tuple[str | None, str | None]


class JobLine:
    """Implements agent.execution.inside.line.Line in a job: SQL is answered here, the host can't be reached.

    `catalog` and `schema` are where unqualified names are looked up; `cancel` ends the statements that run.
    """

    def __init__(self, spark: Any, warehouse_id: str | None, place: Place) -> None:
        self._spark, self._warehouse_id, self._place = spark, warehouse_id, place
        self._lock = threading.Lock()
        self._opened: list[Statements] = []
        self._statements = cache(self._open)

    def ask(self, kind: str, take: Take | None = None, **request: Any) -> tuple[Any, dict[str, Any]]:
        """Raises AskError for what only a host could answer."""
        if kind == "progress":
            return None, {}
        if kind != "sql":
            raise AskError(f"{kind} is not there in a job of a workspace: use SQL, Spark, and what is printed")
        rows, place = request["rows"], (request["catalog"] or self._place[0], request["schema"] or self._place[1])
        if self._warehouse_id is None:
            table, answer = self._by_spark(str(request["sql"]), rows, place)
        else:
            table, answer = self._by_warehouse(str(request["sql"]), rows, place)
        return (take(as_stream(table)) if take else None), answer

    def cancel(self) -> None:
        for statements in self._opened:
            statements.cancel()

    def _by_warehouse(self, sql: str, rows: int | None, place: Place) -> tuple[Any, dict[str, Any]]:
        try:
            answer = self._statements().run(sql, rows=rows, catalog=place[0], schema=place[1])
        except AgentError as error:
            raise AskError(str(error)) from None
        return answer.table, {"row_count": answer.row_count, "statement_id": answer.statement_id}

    def _by_spark(self, sql: str, rows: int | None, place: Place) -> tuple[Any, dict[str, Any]]:
        """The session's own place is another than the statement's for its time only, one statement after the other."""
        with self._lock, looking_in(self._spark, place):
            try:
                frame = self._spark.sql(sql)
                table = to_arrow(frame if rows is None else frame.limit(rows + 1))
            except Exception as error:  # noqa: BLE001 - the edge: Spark's errors have no class in common
                raise AskError(str(error)) from None
        whole = rows is None or table.num_rows <= rows
        trailer = {"row_count": table.num_rows if whole else None, "statement_id": ""}
        return (table if whole else table.slice(0, rows)), trailer

    def _open(self) -> Statements:
        from databricks.sdk import WorkspaceClient

        client = WorkspaceClient()
        opened = Statements(lambda: client, str(self._warehouse_id))
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


def as_stream(table: pyarrow.Table) -> BinaryIO:
    """The rows as a host sends them."""
    import pyarrow

    sink = io.BytesIO()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return cast(BinaryIO, io.BufferedReader(cast(Any, io.BytesIO(sink.getvalue()))))
