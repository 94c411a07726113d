"""How a delimited text is cut into cells: the delimiter, the quote, the escape."""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent.data.reading.cells import kind

DELIMITERS = (",", ";", "\t", "|", "\x1f", "\x01")
TABBED = (".tsv", ".tab")
CLEAN_ROWS = 40
LONGEST_RECORD = 400
"""Lines that a quoted cell may span. A quote that is opened and never closed would swallow the rest of the file."""

csv.field_size_limit(sys.maxsize)


@dataclass(frozen=True)
class Dialect:
    delimiter: str = ","
    quoted: bool = True
    escaped: bool = False
    declared: bool = False
    """`sep=;` stands in the first line, as Excel writes it."""

    def rows(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """Each record, blank lines as empty ones. Raises csv.Error for a quote that is never closed."""
        reader = csv.reader(
            lines,
            delimiter=self.delimiter,
            quoting=csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE,
            doublequote=not self.escaped,
            escapechar="\\" if self.escaped else None,
            strict=False,
        )
        before = 0
        for row in reader:
            if reader.line_num - before > LONGEST_RECORD:
                raise csv.Error(f"line {before + 1} opens a quote that is never closed")
            if not (self.declared and before == 0):
                yield row
            before = reader.line_num


def find_dialect(head: str, suffix: str = "") -> Dialect:
    """By which delimiter the lines of `head` fall into rows of one width."""
    first = head.split("\n", 1)[0].strip().strip('"').lower()
    if first.startswith("sep=") and len(first) == 5:
        return Dialect(first[4], declared=True)
    escaped = '\\"' in head and '""' not in head.replace(',"",', "")
    usual = Dialect("\t" if suffix in TABBED else ",", escaped=escaped)
    found = [Dialect(delimiter, True, escaped) for delimiter in DELIMITERS if delimiter in head]
    found += [Dialect(delimiter, False) for delimiter in DELIMITERS if delimiter in head]
    best = max(found, key=lambda one: _score(head, one, suffix), default=usual)
    return best if _score(head, best, suffix) > 0 else usual


def _score(head: str, dialect: Dialect, suffix: str) -> float:
    """The share of rows of the most usual width; else the same, wider before narrower, with quotes before without."""
    try:
        rows = list(dialect.rows(io.StringIO(head, newline="")))
    except csv.Error:
        return 0.0
    if len(rows) > 2 and not head.endswith("\n"):
        rows = rows[:-1]
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    widths = Counter(len(row) for row in rows)
    if not widths:
        return 0.0
    width, count = max(widths.items(), key=lambda item: (item[1] * min(item[0], 2), item[0]))
    if width < 2:
        return 0.0
    score = count / len(rows) + 0.1 * (1 - 1 / width)
    score -= 0.3 * _split_quotes(rows) if not dialect.quoted else -0.02
    expected = {"\t": TABBED, ",": (".csv",)}.get(dialect.delimiter, ())
    return score + 0.3 * _clean(rows) + 0.01 * (suffix in expected)


def _clean(rows: list[list[str]]) -> float:
    """The share of cells without other delimiters, unless in a number: a decimal comma is none, `5;2` shows one."""
    cells = [cell for row in rows[:CLEAN_ROWS] for cell in row if cell.strip()]
    odd = [cell for cell in cells if any(mark in cell for mark in DELIMITERS)]
    return 1 - sum(kind(cell) == "text" for cell in odd) / max(1, len(cells))


def _split_quotes(rows: list[list[str]]) -> float:
    """The share of rows in which a quoted cell was cut, or kept its quotes: reading without quotes is wrong there."""
    return sum(any(cell.startswith('"') and cell.count('"') > 0 for cell in row) for row in rows) / len(rows)
