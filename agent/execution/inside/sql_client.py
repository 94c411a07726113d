"""SQL as generated code sees it: `execute_sql` asks the host, which holds the warehouse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from agent.execution.inside.line import AskError, Line

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
    """`execute_sql` may be called from any thread of the run."""

    def __init__(self, line: Line) -> None:
        self._line = line

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
        rows = None if as_pandas else max(0, preview_rows)
        try:
            table, answer = self._line.ask("sql", _read_table, sql=sql, rows=rows, catalog=catalog, schema=schema)
        except AskError as error:
            raise SqlError(str(error)) from None
        return _result(table, answer, as_pandas, preview_rows)


def _read_table(file: BinaryIO) -> pyarrow.Table | None:
    import pyarrow

    return pyarrow.ipc.open_stream(file).read_all() if file.peek(1) else None  # type: ignore[attr-defined]


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
