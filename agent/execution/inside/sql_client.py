"""SQL as generated code sees it: `execute_sql` asks the host, which holds the warehouse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, overload

from agent.execution.inside.line import AskError, Line

if TYPE_CHECKING:
    import pandas
    import pyarrow

CELL_WIDTH = 60
MOST_ROWS = 10_000
"""How many rows of a result are fetched when all of them were not asked for."""


class SqlError(Exception):
    """The statement was refused or failed; the text is the engine's or the guard's."""


SqlError.__module__ = "builtins"  # so that a traceback calls it by the name that code sees


class CutRows(Sequence[tuple[Any, ...]]):
    """The first rows of a longer result. Whoever walks past them gets an SqlError instead of a wrong count or sum."""

    def __init__(self, rows: list[tuple[Any, ...]], count: int | None) -> None:
        self.first = rows
        self._count = count

    @overload
    def __getitem__(self, place: int) -> tuple[Any, ...]: ...

    @overload
    def __getitem__(self, place: slice) -> list[tuple[Any, ...]]: ...

    def __getitem__(self, place: int | slice) -> tuple[Any, ...] | list[tuple[Any, ...]]:
        known = range(len(self.first))
        if isinstance(place, slice):
            ends = (place.start or 0, -1 if place.stop is None else place.stop)
            inside = all(0 <= end <= len(known) for end in ends) and (place.step or 1) > 0
        else:
            inside = place in known
        if not inside:
            raise self._cut()
        return self.first[place]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        yield from self.first
        raise self._cut()

    def __len__(self) -> int:
        raise self._cut()

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<the first {len(self.first):,} of {self._total()} rows>"

    def _total(self) -> str:
        return "more than were counted" if self._count is None else f"{self._count:,}"

    def _cut(self) -> SqlError:
        return SqlError(
            f".rows holds the first {len(self.first):,} of {self._total()} rows: let SQL count or sum them, "
            "take a slice such as .rows[:100], or ask as_pandas=True for all of them in .df"
        )


@dataclass(frozen=True)
class SqlResult:
    """`rows` are all rows as tuples, CutRows when there are more than MOST_ROWS; `df` has all when asked `as_pandas`.

    `row_count` is the whole result's, None when it is too long to be counted; `truncated`: there are more than `rows`.
    `shown` is how many are printed.
    """

    columns: list[str]
    rows: Sequence[tuple[Any, ...]]
    df: pandas.DataFrame | None
    truncated: bool
    row_count: int | None
    statement_id: str
    shown: int = 20

    @property
    def head(self) -> list[tuple[Any, ...]]:
        """The rows that are printed."""
        rows = self.rows.first if isinstance(self.rows, CutRows) else self.rows
        return list(rows[: self.shown])

    def __str__(self) -> str:
        head = self.head
        cells = [[str(cell)[:CELL_WIDTH] for cell in row] for row in (self.columns, *head)]
        widths = [max(len(row[place]) for row in cells) for place in range(len(self.columns))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        total = "more than were counted" if self.row_count is None else f"{self.row_count:,} in all"
        return "\n".join([*lines, f"({len(head):,} rows shown, {total})"])


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

        `preview_rows` is how many rows are printed. `catalog` and `schema` are where unqualified names are looked up
        first. `profile` names a workspace profile; the local warehouse has none and takes no notice.
        """
        rows = None if as_pandas else max(MOST_ROWS, preview_rows)
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
    first = table.slice(0, max(MOST_ROWS, preview_rows))
    columns = [column.to_pylist() for column in first.columns]
    rows = list(zip(*columns, strict=True)) if columns else []
    row_count = trailer["row_count"]
    truncated = row_count is None or row_count > len(rows)
    return SqlResult(
        columns=list(table.column_names),
        rows=CutRows(rows, row_count) if truncated else rows,
        df=_frame(table) if as_pandas else None,
        truncated=truncated,
        row_count=row_count,
        statement_id=trailer["statement_id"],
        shown=max(0, preview_rows),
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
