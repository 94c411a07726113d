"""The tables as a person is told of them: a line a table at loading, a line a column when asked."""

from __future__ import annotations

from collections.abc import Iterable

from agent.data.catalogue import Listed, short_type
from agent.data.loading import Progress
from agent.data.reading.found import Aside
from agent.data.reading.names import as_written

COLUMN_HEADINGS = ("column", "type", "nulls", "values", "hint")


def report_lines(tables: Iterable[Listed], aside: Iterable[Aside] = ()) -> list[str]:
    """What a person is told at loading: a line a table, then a line for each file that was set aside."""
    lines = []
    for one in tables:
        size = "being loaded" if one.rows is None else f"{one.rows:,} rows × {len(one.columns)} columns"
        odd = [column for column in one.columns if column.hint.startswith("looks like")]
        hints = [f"{as_written(column.name)} {column.hint}" for column in odd[:2]]
        hints += [f"{len(odd) - 2} more such columns"] if len(odd) > 2 else []
        lines.append(" · ".join([f"{one.name}: {size}, from {one.source}", *one.notes, *hints]))
    return [*lines, *(f"not loaded: {one.name}: {one.reason}" for one in aside)]


def column_rows(one: Listed) -> list[tuple[str, str, str, str, str]]:
    """Under COLUMN_HEADINGS: name, type, share of nulls, a few values or the range, and what is odd."""
    rows = []
    for column in one.columns:
        span = f"{column.least} to {column.most}" if column.least is not None else ", ".join(column.values)
        nulls = "" if column.nulls is None else f"{column.nulls:.0%}"
        rows.append((as_written(column.name), short_type(column.type), nulls, span, column.hint))
    return rows


def progress_line(progress: Progress) -> str:
    """`loaded 12 of 300 tables, 0.4 of 2.0 GB: sales_2019`."""
    done, total = (f"{size / 10**9:.1f}" for size in (progress.bytes_done, progress.bytes_total))
    size = f", {done} of {total} GB" if progress.bytes_total >= 10**8 else ""
    return f"loaded {progress.done:,} of {progress.total:,} tables{size}: {progress.table}"
