"""The tables and columns that a question's words mean, and their names in SQL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from agent.models.offline.words import likeness, tokens, words

NUMERIC = re.compile(r"U?(?:BIG|SMALL|TINY|HUGE)?INT|DOUBLE|FLOAT|DECIMAL|REAL")
LABELS = {"id", "number", "code", "zip", "year", "congress"}
"""Numbers with one of these in their names are names themselves; adding them up says nothing."""


def is_number(column: Any) -> bool:
    return bool(NUMERIC.match(column.type)) and not LABELS & set(tokens(column.name))


def quoted(name: str) -> str:
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def full(table: Any) -> str:
    return ".".join(map(quoted, (table.catalog, table.schema, table.name)))


def columns_in(text: str, columns: Sequence[Any]) -> list[Any]:
    """The columns that the text names, in its order; each word means the one column that it fits best."""
    asked = words(text)

    def fit(word: str, column: Any) -> tuple[float, float, bool]:
        parts = tokens(column.name)
        own, whole = likeness([word], parts), sum(likeness(asked, [part]) for part in parts) / (len(parts) or 1)
        return (whole, own, "name" in parts) if own and whole >= 0.5 else (0, 0, False)

    best = [(word, max(columns, key=lambda column: fit(word, column))) for word in asked if columns]
    return list(dict.fromkeys(column for word, column in best if fit(word, column)[0]))


def best_table(text: str, tables: Sequence[Any], adds: bool) -> Any:
    """The table that fits the question's words best, or None; one with numbers if the question adds something up.

    What several schemas have is asked of the one whose name begins with `all`, unless the question names another.
    """
    asked = set(words(text))

    def score(table: Any) -> float:
        parts = [part for column in table.columns for part in tokens(column.name)]
        total = sum(3 * likeness(asked, [name]) for name in tokens(table.name))
        total += sum(likeness([word], parts) for word in asked)
        total += 4 * bool(total and (set(tokens(table.schema)) - {"silo", "all", "data"}) & asked)
        return total - 4 * (adds and not any(map(is_number, table.columns)))

    best = max(tables, key=lambda t: (score(t), t.schema.startswith("all"), t.source != "sample"), default=None)
    return best if best is not None and score(best) > 0 else None
