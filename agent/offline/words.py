"""A question's words, and the tables and columns that they mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

SYNONYMS = {"hospital": "silo", "supplier": "vendor", "spend": "amount", "spent": "amount", "spending": "amount"}
QUOTED = re.compile(r"(?<!\w)([\"'`‘“])(.{2,80}?)(?:\1|[’”])")
NUMERIC = re.compile(r"(?:U?(?:BIG|SMALL|TINY|HUGE)?INT|DOUBLE|FLOAT|DECIMAL|REAL)", re.IGNORECASE)
LABELS = {"id", "number", "code", "zip", "year", "congress"}
"""Numbers with one of these in their names are names themselves; adding them up says nothing."""
FILLER = set(
    """a all an and any are as at be been by count counts did different distinct do does each every few find first for
    from get give had has have how i in is it list look like many me more most much my no number of on or our over per
    please rows show some tell than that the their there these they this three to top two unique us was we were what
    which who whose why with within without your average mean median sum total highest lowest largest smallest across
    missing data database dataset detail general file sample system table so far one now""".split()  # noqa: SIM905
)


def quotes(text: str) -> list[str]:
    return [found.group(2) for found in QUOTED.finditer(text)]


def words(text: str) -> list[str]:
    return [known(word) for word in re.findall(r"[^\W_]+", text.lower())]


def known(word: str) -> str:
    """The word in singular, by the catalog's name for it."""
    stem = word[:-3] + "y" if word.endswith("ies") else word
    stem = stem[:-1] if len(stem) > 3 and re.search(r"[^sui]s$", stem) else stem
    return SYNONYMS.get(stem, stem)


def tokens(name: str) -> list[str]:
    return words(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))


def likeness(asked: Iterable[str], token: str) -> float:
    """1 when one of the words is the token, less when one begins the other, else 0."""
    pairs = [sorted((word, token), key=len) for word in asked]
    loose = any(len(short) > 3 and long.startswith(short) and len(long) - len(short) <= 5 for short, long in pairs)
    return 1.0 if [token, token] in pairs else 0.5 * loose


def first(table: Any, test: Callable[[Any], Any]) -> Any:
    """The first column that passes, or None."""
    return next((column for column in table.columns if test(column)), None)


def is_number(column: Any) -> bool:
    return bool(NUMERIC.match(column.type)) and not LABELS & set(tokens(column.name))


def is_name(column: Any) -> bool:
    return tokens(column.name)[-1:] == ["name"]


def is_id(column: Any) -> bool:
    return tokens(column.name)[-1:] == ["id"]


def quoted(name: str) -> str:
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def full(table: Any) -> str:
    return ".".join(map(quoted, (table.catalog, table.schema, table.name)))


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


def best_table(text: str, counted: str, tables: Sequence[Any], adds: bool) -> Any:
    """The table that fits the question's words best, or None; the words for what is counted weigh more.

    What several schemas have is asked of the one whose name begins with `all`, unless the question names another.
    """
    asked, much = words(text), words(counted)

    def score(table: Any) -> float:
        parts = {part for column in table.columns for part in tokens(column.name)}
        total = sum(3 * likeness(asked, name) + 2 * likeness(much, name) for name in tokens(table.name))
        total += sum(max((likeness([word], part) for part in parts), default=0) for word in set(asked))
        named = set(tokens(table.schema)) - {"silo", "all", "data"} & set(asked)
        total += 4 * bool(total and named & set(asked))
        return total - 4 * (adds and first(table, is_number) is None)

    def rank(table: Any) -> tuple[float, bool, bool]:
        return score(table), table.schema.startswith("all"), table.source != "sample"

    best = max(tables, key=rank, default=None)
    return best if best is not None and score(best) > 0 else None
