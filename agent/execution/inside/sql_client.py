"""SQL as generated code sees it: `execute_sql` asks the host, which holds the warehouse."""

from __future__ import annotations

import io
import os
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.execution.inside.framing import FrameReader, receive, receive_json, send_json

if TYPE_CHECKING:
    import pandas
    import pyarrow

CELL_WIDTH = 60


class SqlError(Exception):
    """The statement was refused or failed; the text is the engine's or the guard's."""


SqlError.__module__ = "builtins"  # so that a traceback calls it by the name that code sees


@dataclass(frozen=True)
class SqlResult:
    """`rows` are the first `preview_rows` as tuples, `df` all rows when asked `as_pandas`.

    `row_count` is the whole result's, None when it is too long to be counted; `truncated`: there are more than `rows`.
    """

    columns: list[str]
    rows: list[tuple[Any, ...]]
    df: pandas.DataFrame | None
    truncated: bool
    row_count: int | None
    statement_id: str

    def __str__(self) -> str:
        cells = [[str(cell)[:CELL_WIDTH] for cell in row] for row in (self.columns, *self.rows)]
        widths = [max(len(row[place]) for row in cells) for place in range(len(self.columns))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        total = "more than were counted" if self.row_count is None else f"{self.row_count:,} in all"
        return "\n".join([*lines, f"({len(self.rows):,} rows shown, {total})"])


class SqlClient:
    """One conversation with the host's broker; its `execute_sql` may be called from any thread of the run."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._owner = os.getpid()

    def execute_sql(
        self,
        sql: str,
        as_pandas: bool = False,
        preview_rows: int = 20,
        catalog: str | None = None,
        schema: str | None = None,
        profile: str | None = None,
    ) -> SqlResult:
        """Run SQL in the warehouse and wait for it. Raises SqlError.

        `catalog` and `schema` are where unqualified names are looked up first. `profile` names a workspace profile;
        the local warehouse has none and takes no notice.
        """
        if os.getpid() != self._owner:
            raise SqlError("execute_sql works in the main process of a run, not in processes that it starts")
        request = {
            "kind": "sql",
            "sql": sql,
            "rows": None if as_pandas else max(0, preview_rows),
            "catalog": catalog,
            "schema": schema,
        }
        with self._lock:
            table, trailer = self._ask(request)
        if trailer["error"] is not None:
            raise SqlError(trailer["error"])
        return _result(table, trailer, as_pandas, preview_rows)

    def _ask(self, request: dict[str, Any]) -> tuple[pyarrow.Table | None, dict[str, Any]]:
        try:
            send_json(self._channel, request)
            import pyarrow

            frames = FrameReader(lambda: receive(self._channel))
            stream = io.BufferedReader(frames, 1 << 20)
            table = None
            if stream.peek(1):
                table = pyarrow.ipc.open_stream(stream).read_all()
            frames.drain()
            return table, receive_json(self._channel)
        except (EOFError, OSError) as error:
            raise SqlError(f"the warehouse can't be reached any more: {error}") from None


def _result(table: Any, trailer: dict[str, Any], as_pandas: bool, preview_rows: int) -> SqlResult:
    table = _narrow(table)
    head = table.slice(0, max(0, preview_rows))
    columns = [column.to_pylist() for column in head.columns]
    rows = list(zip(*columns, strict=True)) if columns else []
    row_count = trailer["row_count"]
    return SqlResult(
        columns=list(table.column_names),
        rows=rows,
        df=_frame(table) if as_pandas else None,
        truncated=row_count is None or row_count > len(rows),
        row_count=row_count,
        statement_id=trailer["statement_id"],
    )


def _frame(table: pyarrow.Table) -> pandas.DataFrame:
    """The rows with datetime64 for dates; printed frames show all their columns, since a model reads them."""
    import pandas

    pandas.set_option("display.width", 200, "display.max_columns", 60)
    frame: pandas.DataFrame = table.to_pandas(date_as_object=False)
    return frame


def _narrow(table: pyarrow.Table) -> pyarrow.Table:
    """Sums of integers come as 38-digit decimals; make them integers where they fit."""
    import pyarrow

    for place, field in enumerate(table.schema):
        if pyarrow.types.is_decimal(field.type) and field.type.scale == 0:
            try:
                column = table.column(place).cast(pyarrow.int64())
            except pyarrow.ArrowInvalid:
                continue
            table = table.set_column(place, field.name, column)
    return table
