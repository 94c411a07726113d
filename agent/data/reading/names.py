"""Names that people can write: of tables without quotes, of columns as they stand but distinct and not endless."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

LONGEST_COLUMN = 63
"""As PostgreSQL has it. What a longer heading says in its middle is in the raw table."""
RESERVED = re.compile(
    "all|analyse|analyze|and|anti|any|array|as|asc|asof|asymmetric|at|authorization|binary|both|by|case|cast|"
    "check|collate|collation|column|concurrently|constraint|create|cross|default|deferrable|desc|describe|"
    "distinct|do|else|end|except|false|fetch|for|foreign|freeze|from|full|glob|group|having|ilike|in|initially|"
    "inner|intersect|into|is|isnull|join|lambda|lateral|leading|left|like|limit|natural|not|notnull|null|offset|"
    "on|only|or|order|outer|overlaps|pivot|pivot_longer|pivot_wider|placing|positional|primary|qualify|"
    "references|returning|right|select|semi|show|similar|some|summarize|symmetric|table|tablesample|then|to|"
    "trailing|true|union|unique|unpack|unpivot|user|using|values|variadic|verbose|when|where|window|with"
)
"""Words that DuckDB 2.0 does not take as a table's or column's name without quotes."""


def table_name(text: str) -> str:
    """A name that needs no quotes: `2024 Sales-Q1` becomes `t_2024_sales_q1`."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "data"
    return f"t_{name}" if name[0].isdigit() or RESERVED.fullmatch(name) else name


def distinct(name: str, taken: Iterable[str]) -> str:
    """`name`, or with a number where it is taken, whatever the case."""
    lowered = {one.lower() for one in taken}
    number, candidate = 2, name
    while candidate.lower() in lowered:
        candidate, number = f"{name}_{number}", number + 1
    return candidate


def column_names(headings: Sequence[str]) -> tuple[str, ...]:
    """One line each, distinct; without a heading `column_3`, the third. A long heading keeps its end."""
    names: list[str] = []
    for number, heading in enumerate(headings, 1):
        name = " ".join(heading.split()) or f"column_{number}"
        names.append(distinct(_clip(name), names))
    return tuple(names)


def _clip(name: str) -> str:
    if len(name) <= LONGEST_COLUMN:
        return name
    half = (LONGEST_COLUMN - 3) // 2
    return f"{name[:half].rstrip()}...{name[-half:].lstrip()}"


def quote(name: str) -> str:
    """As SQL needs it: always right, also where quotes could be left out."""
    return '"' + name.replace('"', '""') + '"'


def as_written(name: str) -> str:
    """With quotes only where SQL needs them."""
    plain = re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) and not RESERVED.fullmatch(name.lower())
    return name if plain else quote(name)
