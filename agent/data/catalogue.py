"""The tables as the analyst sees them: quoted names, types, values and gaps, within a share of the prompt."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Protocol

from agent.data.facts import WHICH_FILE, Column
from agent.data.reading.found import Aside
from agent.data.reading.names import as_written

CHARS = 9_000
"""How much of the prompt the tables may take: about 2,500 tokens."""
MOST_COLUMNS = 24
LEAST_COLUMNS = 3
NO_ROOM = 40
"""With fewer characters left no line is made longer."""
SHOWN_VALUES = 3
SHOWN_NOTES = 4
SHOWN_ASIDE = 5
WORD_CHARS = 3
SHORT_TYPES = {
    "VARCHAR": "text",
    "BIGINT": "int",
    "INTEGER": "int",
    "DOUBLE": "float",
    "BOOLEAN": "bool",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
}
EMPTY_WORDS = frozenset(
    re.split(
        "[|]",
        "which|what|how|many|much|the|are|for|has|have|doe|did|wa|were|and|with|from|per|all|any|each|over|than|who|when|"
        "where|that|this|there|most|best|least|into|out|our|their|your|you|show|give|list|number|count|not|is|it",
    )
)
"""Words that name nothing, as `words_of` leaves them."""
SEARCH = "metadata_keyword_search"


class Listed(Protocol):
    """A table as a catalog lists it. `rows` may be unknown; `parts` are its files when there are several."""

    @property
    def catalog(self) -> str: ...
    @property
    def schema(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def columns(self) -> Sequence[Column]: ...
    @property
    def rows(self) -> int | None: ...
    @property
    def source(self) -> str: ...
    @property
    def parts(self) -> Sequence[str]: ...
    @property
    def alone(self) -> Sequence[str]: ...
    @property
    def notes(self) -> Sequence[str]: ...
    @property
    def has_raw(self) -> bool: ...


def catalogue(tables: Sequence[Listed], question: str = "", aside: Sequence[Aside] = (), chars: int = CHARS) -> str:
    """A line a table, in at most about `chars` characters; what `question` names is told first and in most detail."""
    if not tables:
        return "\n".join([f"Tables\nnone are listed here; {SEARCH} finds what there is.", *_aside(aside)])
    words = words_of(question) - EMPTY_WORDS
    shown, rest = _within(tables, words, chars)
    lines = ["Tables (as SQL writes their names; a value is shown as it stands)"]
    for place, head in dict.fromkeys(((one.catalog, one.schema), f"{one.catalog}.{one.schema}") for one in tables):
        own = [shown[id(one)] for one in tables if (one.catalog, one.schema) == place and id(one) in shown]
        lines += [f"in {head}:", *own] if own else []
    if any(" | … " in line for line in lines):
        lines.append(f"Columns that are not shown are found by {SEARCH}.")
    if rest:
        lines.append(f"… and {rest:,} more: {SEARCH} finds them.")
    if any(one.has_raw for one in tables):
        lines.append(
            "A table of files.data is in files.raw under the same name, too, with every cell as it stands in the file "
            "(text: file, row, c1, c2, …)."
        )
    return "\n".join([*lines, *_aside(aside)])


def _aside(aside: Sequence[Aside]) -> list[str]:
    if not aside:
        return []
    shown = "; ".join(f"{one.name} ({_clip(one.reason, 80)})" for one in aside[:SHOWN_ASIDE])
    more = f"; and {len(aside) - SHOWN_ASIDE} more" if len(aside) > SHOWN_ASIDE else ""
    return [f"Handed over and not loaded: {shown}{more}."]


def _within(tables: Sequence[Listed], words: frozenset[str], chars: int) -> tuple[dict[int, str], int]:
    """Each table's line, in as much detail as there is room for, and how many have none."""
    weights = {id(one): relevance(one, words) for one in tables}
    most = max(weights.values()) / 2
    meant = [one for one in tables if weights[id(one)] > most]
    named = sorted((one for one in tables if weights[id(one)]), key=lambda one: -weights[id(one)])
    steps = [(detail, one) for group in (meant, named, tables) for detail in (_short, _typed, _whole) for one in group]
    shown: dict[int, str] = {}
    used = 0
    for detail, one in [*((_named, one) for one in (*named, *tables)), *steps]:
        if chars - used < NO_ROOM:
            break
        line = detail(one, words)
        if len(line) <= len(shown.get(id(one), "")):
            continue
        more = len(line) - len(shown.get(id(one), "")) + (id(one) not in shown)
        if used + more <= chars and (detail is _named or id(one) in shown):
            shown[id(one)] = line
            used += more
    return shown, len(tables) - len(shown)


def words_of(question: str) -> frozenset[str]:
    """What may name a table, a column or a value; the end of a plural is no part of it."""
    found = re.findall(r"\w+", question.lower())
    return frozenset(_stem(word) for word in found if len(word) >= WORD_CHARS or word.isdigit())


def _stem(word: str) -> str:
    return word[:-3] + "y" if word.endswith("ies") and len(word) > 4 else word.removesuffix("s") or word


def relevance(one: Listed, words: frozenset[str]) -> float:
    """A table's own name weighs more than a column's, and that more than a value's."""
    if not words:
        return 0
    own = words & words_of(f"{one.schema} {one.name} {' '.join(one.alone)} {one.source}".replace("_", " "))
    return 10 * len(own) + sum(_is_named(column.name, column.values, words) for column in one.columns)


@lru_cache(maxsize=1 << 16)
def _is_named(column: str, values: tuple[str, ...], words: frozenset[str]) -> int:
    """Whether the question names a column, or one of its values."""
    if words & words_of(re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", column)):
        return 2
    return 1 if words & words_of(" ".join(values)) else 0


def _named(one: Listed, words: frozenset[str]) -> str:
    return f"- {as_written(one.name)}{_rows(one)}"


def _rows(one: Listed) -> str:
    if one.rows is None:
        return " [being loaded: a statement that names it waits]" if one.columns else ""
    return f" [{one.rows:,} rows]"


def _short(one: Listed, words: frozenset[str]) -> str:
    return _line(one, words, lambda column: as_written(column.name), 300)


def _typed(one: Listed, words: frozenset[str]) -> str:
    return _line(one, words, lambda column: f"{as_written(column.name)} {short_type(column.type)}", 1_000)


def _whole(one: Listed, words: frozenset[str]) -> str:
    return _line(one, words, lambda column: f"{as_written(column.name)}{told(column)}", 2_400, _about(one))


def _line(one: Listed, words: frozenset[str], tell: Callable[[Column], str], chars: int, about: str = "") -> str:
    """As many columns as there is room for in `chars`, at least three; those that the question names before others."""
    kept: dict[int, str] = {}
    for place in _order(one.columns, words)[:MOST_COLUMNS]:
        cell = tell(one.columns[place])
        chars -= len(cell) + 3
        if chars < 0 and len(kept) >= LEAST_COLUMNS:
            break
        kept[place] = cell
    more = len(one.columns) - len(kept)
    rest = [f"… {more} more"] if more > 0 else []
    return f"{_named(one, words)}{about}: {' | '.join([*(kept[place] for place in sorted(kept)), *rest])}"


def _order(columns: Sequence[Column], words: frozenset[str]) -> Sequence[int]:
    places = range(len(columns))
    if not words:
        return places
    return sorted(places, key=lambda place: (-_is_named(columns[place].name, columns[place].values, words), place))


def _about(one: Listed) -> str:
    parts = [f"{len(one.parts)} files as one: {_span(one.parts)}"] if len(one.parts) > 1 else []
    if one.alone:
        parts.append(f"each alone: {_span(one.alone)}")
    parts += [_clip(note, 90) for note in one.notes[:SHOWN_NOTES]]
    return f" ({'; '.join(parts)})" if parts else ""


def _span(names: Sequence[str]) -> str:
    """`sales_2019, sales_2020`, or from the first to the last with what they begin with said once."""
    if len(names) <= 3:
        return ", ".join(names)
    shared = next((place for place, letters in enumerate(zip(*names, strict=False)) if len(set(letters)) > 1), 0)
    listed = ", ".join([names[0], *(f"…{name[shared:]}" for name in names[1:])])
    return listed if len(listed) <= 160 else f"{names[0]} to {names[-1]}"


def told(column: Column) -> str:
    """Type, values or range, gaps, hint."""
    parts = [short_type(column.type)]
    if column.hint == WHICH_FILE:
        return f" {parts[0]} ({WHICH_FILE})"
    if column.least is not None and column.least != column.most:
        parts.append(f"{_plain(column.least)} to {_plain(column.most or '')}")
    elif column.values and column.least is None:
        parts.append(_values(column))
    if column.nulls:
        parts.append("all null" if column.nulls == 1 else f"{max(column.nulls, 0.01):.0%} null")
    return f" {', '.join(filter(None, [*parts, f'({column.hint})' if column.hint else '']))}"


def _values(column: Column) -> str:
    if column.is_all:
        return "/".join(_clip(value, 24) for value in column.values)
    return f"e.g. {'; '.join(_clip(value, 24) for value in column.values[:SHOWN_VALUES])}"


def _plain(number: str) -> str:
    """Without digits that tell nothing."""
    return re.sub(r"(\.\d\d)\d+$", r"\1", number).removesuffix(".0")


def short_type(type_: str) -> str:
    return SHORT_TYPES.get(type_, _clip(type_.lower(), 40))


def _clip(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
