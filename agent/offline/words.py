"""A question's words, and the tables and columns that they mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

SYNONYMS = {"hospital": "silo", "supplier": "vendor", "spend": "amount", "spent": "amount", "spending": "amount"}
QUOTED = re.compile(r"(?<!\w)([\"'`‘“])(.{2,80}?)(?:\1|[’”])")
NUMERIC = re.compile(r"U?(?:BIG|SMALL|TINY|HUGE)?INT|DOUBLE|FLOAT|DECIMAL|REAL")
LABELS = {"id", "number", "code", "zip", "year", "congress"}
"""Numbers with one of these in their names are names themselves; adding them up says nothing."""
FILLER = set(
    """a all an and any appear are as at be been by count did different distinct do does each every exist few find first
    for from get give had has have how i in is it list look like many me more most much my no number of often on or our
    over per please rows show some tell than that the their there these they this three to top two unique us was we were
    what which who whose why with within without across data database dataset file table""".split()  # noqa: SIM905
)


def quotes(text: str) -> list[str]:
    return [found.group(2) for found in QUOTED.finditer(text)]


def words(text: str) -> list[str]:
    """Each word in singular, by the catalog's name for it."""
    stems = [re.sub(r"ies$", "y", word) for word in re.findall(r"[^\W_]+", text.lower())]
    stems = [re.sub(r"(?<=..[^sui])s$", "", stem) for stem in stems]
    return [SYNONYMS.get(stem, stem) for stem in stems]


def tokens(name: str) -> list[str]:
    return words(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))


def likeness(asked: Iterable[str], parts: Iterable[str]) -> float:
    """1 when a word is one of the parts, less when one begins the other, else 0."""
    pairs = [sorted(pair, key=len) for pair in product(asked, parts)]
    loose = any(len(short) > 3 and long.startswith(short) and len(long) - len(short) <= 5 for short, long in pairs)
    return 1.0 if any(short == long for short, long in pairs) else 0.5 * loose


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
