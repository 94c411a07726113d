"""A question's words, and the tables and columns that they mean."""

# ruff: noqa: S608 - names in SQL are quoted, and they are the catalog's own

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

SYNONYMS = {"hospital": "silo", "supplier": "vendor", "spend": "amount", "spent": "amount", "spending": "amount"}
QUOTED = re.compile(r"(?<!\w)([\"'`‘“])(.{2,80}?)(?:\1|[’”])")
NUMERIC = re.compile(r"(?:U?(?:BIG|SMALL|TINY|HUGE)?INT|DOUBLE|FLOAT|DECIMAL|REAL)", re.IGNORECASE)
LABELS = {"id", "number", "code", "zip", "year", "congress"}
"""Numbers with one of these in their names are names themselves; adding them up says nothing."""
FILLER = frozenset(
    re.findall(
        r"\w+",
        """a all an and any are as at be been by count counts did different distinct do does each every few find first
        for from get give had has have how i in is it list look like many me more most much my no number of on or our
        over per please rows show some tell than that the their there these they this three to top two unique us was we
        were what which who whose why with without within your average mean median sum total highest lowest largest
        smallest across missing""",
    )
)


def quotes(text: str) -> list[str]:
    return [found.group(2) for found in QUOTED.finditer(text)]


def words(text: str) -> list[str]:
    return [known(word) for word in re.findall(r"[a-z0-9]+", text.lower())]


def known(word: str) -> str:
    """The word in singular, by the catalog's name for it."""
    stem = word[:-3] + "y" if word.endswith("ies") else word
    stem = stem[:-1] if len(stem) > 3 and re.search(r"[^sui]s$", stem) else stem
    return SYNONYMS.get(stem, stem)


def tokens(name: str) -> list[str]:
    return words(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " "))


def likeness(asked: Iterable[str], token: str) -> float:
    """1 when one of the words is the token, less when one begins the other, else 0."""
    pairs = [sorted((word, token), key=len) for word in asked]
    loose = any(len(short) > 3 and long.startswith(short) and len(long) - len(short) <= 5 for short, long in pairs)
    return 1.0 if [token, token] in pairs else 0.5 * loose


@dataclass(frozen=True)
class Source:
    """A table to ask, or several of one name taken together; `sql` is what stands after FROM."""

    name: str
    schema: str
    sql: str
    columns: tuple[Any, ...]
    own: bool

    def first(self, test: Callable[[Any], Any]) -> Any:
        """The first column that passes, or None."""
        return next((column for column in self.columns if test(column)), None)


def is_number(column: Any) -> bool:
    return bool(NUMERIC.match(column.type)) and not LABELS & set(tokens(column.name))


def is_name(column: Any) -> bool:
    return tokens(column.name)[-1:] == ["name"]


def is_id(column: Any) -> bool:
    return tokens(column.name)[-1:] == ["id"]


def quoted(name: str) -> str:
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else '"' + name.replace('"', '""') + '"'


def sources(tables: Iterable[Any]) -> list[Source]:
    """Each table, and what several schemas have under one name as one, unless an `all_…` schema has it already."""
    named: dict[str, list[tuple[Any, str]]] = {}
    for table in tables:
        full = ".".join(quoted(part) for part in (table.catalog, table.schema, table.name))
        named.setdefault(table.name, []).append((table, full))
    found = [Source(t.name, t.schema, sql, t.columns, t.source != "sample") for ts in named.values() for t, sql in ts]
    for name, alike in named.items():
        if len(alike) > 1 and not any(table.schema.startswith("all") for table, _ in alike):
            parts = " UNION ALL BY NAME ".join(f"SELECT '{t.schema}' AS silo, * FROM {full}" for t, full in alike)
            columns = alike[0][0].columns
            found.append(Source(name, "all", f"({parts})", (type(columns[0])("silo", "VARCHAR"), *columns), True))
    return found


def columns_in(text: str, columns: Sequence[Any]) -> list[Any]:
    """The columns that the text names, in its order; each word means the one column that it fits best."""
    asked, fits = words(text), []
    for place, column in enumerate(columns):
        parts = tokens(column.name)
        hits = {at: max(likeness([word], part) for part in parts) for at, word in enumerate(asked) if parts}
        total = sum(hits.values())
        if total and total / len(parts) >= 0.5:
            whole = all(likeness(asked, part) for part in parts)
            fits.append((whole, total, is_name(column), -place, {at for at in hits if hits[at]}, column))
    chosen: dict[int, Any] = {}
    taken: set[int] = set()
    for *_, hit, column in sorted(fits, key=lambda fit: fit[:4], reverse=True):
        if not hit & taken:
            taken |= hit
            chosen[min(hit)] = column
    return [chosen[at] for at in sorted(chosen)]


def best_source(text: str, counted: str, found: Sequence[Source], wants_number: bool) -> Source | None:
    """The source that fits the question's words best; the words for what is counted weigh more."""
    asked, much = words(text), words(counted)

    def score(source: Source) -> float:
        parts = {part for column in source.columns for part in tokens(column.name)}
        total = sum(3 * likeness(asked, name) + 2 * likeness(much, name) for name in tokens(source.name))
        total += sum(max(likeness([word], part) for part in parts) for word in set(asked))
        special = set(tokens(source.schema)) - {"silo", "all", "data"} & set(asked)
        total += 4 * bool(special & set(asked)) * bool(total)
        return total - 4 * (wants_number and not source.first(is_number))

    best = max(found, key=lambda source: (score(source), source.schema.startswith("all"), source.own), default=None)
    return best if best is not None and score(best) > 0 else None
