"""A table as a question's words may mean it: its name, its columns by what kind of value they hold, its dates."""

import re
from collections.abc import Sequence
from typing import Any

from agent.models.offline.words import OPERATORS, SYNONYMS, stem, tokens, words_of

KINDS = (("N", r"U?(?:BIG|SMALL|TINY|HUGE)?INT|DOUBLE|FLOAT|DECIMAL|REAL"), ("D", "DATE|TIMESTAMP"), ("B", "BOOL"))
LABELS = {"id", "number", "code", "zip", "year", "congress"}
"""Numbers with one of these in their names are names themselves; adding them up says nothing."""
GENERIC = {"id", "date", "name", "number", "code", "on", "at", "term", "time", "no", "day"}
KEPT = words_of("create created update updated modified loaded birth birthday due expire expired expiry end valid")
"""Dates that are not when a row happened: they are meant only when they are named."""
MONEY = ("amount", "total", "value", "revenue", "cost")
ADDS = {*MONEY, "quantity", "unit", "sale", "spend", "profit"}
"""What adds up: a price, an age or a rate does not."""


def quote(name: str) -> str:
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def full(table: Any) -> str:
    return ".".join(map(quote, (table.catalog, table.schema, table.name)))


def sql(column: Any) -> str:
    return f"t.{quote(column.name)}"


def kind(column: Any) -> str:
    """N for what can be added or averaged, D for times, B for yes or no, C for everything else."""
    found = next((letter for letter, types in KINDS if re.match(types, column.type)), "C")
    return "C" if found == "N" and LABELS & set(tokens(column.name)) else found


def texts(table: Any) -> list[Any]:
    return [column for column in table.columns if column.type == "VARCHAR"]


def money(table: Any) -> Any:
    """The column that a row's worth is in, or None."""
    numbers = [column for column in table.columns if kind(column) == "N"]
    return next((column for part in MONEY for column in numbers if tokens(column.name)[-1:] == [part]), None)


def date(table: Any) -> Any:
    """The date that a row is about, if there is no doubt which: the only one, or the one with the table's name."""
    dates = [c for c in table.columns if kind(c) == "D" and not KEPT & set(tokens(c.name))]
    own = [c for c in dates if set(tokens(c.name)) <= {*tokens(table.name), "date", "on", "at", "time"}]
    return next((found[0] for found in (dates, own) if len(found) == 1), None)


def meant(words: Sequence[str], table: Any) -> Any:
    """What the words, which follow each other, are the name of: "T" for the table, a column, or None."""
    said = [stem(word) for word in words]
    found = named(said, table)
    return found if found is not None else named([SYNONYMS.get(word, word) for word in said], table)


def named(said: list[str], table: Any) -> Any:
    names = [(column, tokens(column.name)) for column in table.columns]
    if exact := [column for column, parts in names if "".join(said) == "".join(parts)]:
        return exact[0]
    own = {part for part in tokens(table.name) if len(part) > 2 and part not in {"data", "all", "date", "name"}}
    if "".join(said) == "".join(tokens(table.name)) or (len(said) == 1 and said[0] in {*own, "row", "entry"}):
        return "T"
    if said[0] in OPERATORS:
        return None
    if len(said) > 1 or said[0] in ("value", "spend"):
        return money(table) if len(said) == 1 else None
    heads = [(column, next((p for p in reversed(parts) if p not in GENERIC), "-")) for column, parts in names]
    forms = ("", "d", "ed", "al", "ment", "ing")
    found = [column for column, head in heads if said[0] in [head + more for more in forms]]
    return found[0] if len(found) == 1 else None
