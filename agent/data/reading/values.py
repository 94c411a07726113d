"""How a column's texts are read as values: one way that fits them all, or they stay text.

Each way says both which texts it fits and how SQL makes values of them; the regular expressions mean the same to Python
and to RE2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from agent.data.reading.cells import NOTHING

CURRENCIES = "$€£¥₹"
SPACES = " \u00a0\u202f"
LONGEST_INTEGER = 18
NEAR = 0.9
"""From this share of fitting values on, the few others are worth a hint."""


@dataclass(frozen=True)
class Way:
    """`sql` is of `{v}`, a trimmed text, and NULL where it does not fit. `told` is what a person should know of it."""

    type: str
    pattern: str
    sql: str
    told: str = ""
    noun: str = "a number"
    fits_calendar: Callable[[str], bool] | None = None

    def fits(self, value: str) -> bool:
        if _compile(self.pattern).fullmatch(value) is None:
            return False
        return self.fits_calendar is None or self.fits_calendar(value)

    def read(self, value_sql: str) -> str:
        made = self.sql.replace("{v}", value_sql)
        return f"CASE WHEN regexp_full_match({value_sql}, {literal(self.pattern)}) THEN {made} END"


@cache
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


TRUTH = Way("BOOLEAN", "(?i:true|false)", "CAST({v} AS BOOLEAN)", noun="true or false")
INTEGER = Way("BIGINT", "[+-]?(0|[1-9][0-9]{0,17})", "TRY_CAST({v} AS BIGINT)")
DECIMAL = Way("DOUBLE", r"[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", "TRY_CAST({v} AS DOUBLE)")


@dataclass(frozen=True)
class Separators:
    """How numbers are written: what parts thousands, and what the fraction."""

    pattern: str
    group: str
    point: str
    told: str


PLAIN = Separators(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", "", ".", "")
ENGLISH = Separators(r"[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?|[0-9]+(\.[0-9]*)?|\.[0-9]+", ",", ".", "thousands separators")
EUROPEAN = Separators(r"[0-9]{1,3}(\.[0-9]{3})+(,[0-9]+)?|[0-9]+(,[0-9]+)?|,[0-9]+", ".", ",", "decimal commas")
SPACED = Separators(
    rf"[0-9]{{1,3}}([{SPACES}][0-9]{{3}})+([.,][0-9]+)?|[0-9]+([.,][0-9]+)?", SPACES, ",", "thousands parted by spaces"
)
SWISS = Separators(r"[0-9]{1,3}(['’][0-9]{3})+(\.[0-9]*)?|[0-9]+(\.[0-9]*)?", "'’", ".", "thousands separators")
SURELY_EUROPEAN = re.compile(r"[^0-9]*([0-9]{1,3}(\.[0-9]{3})+,[0-9]+|0*,[0-9]+|[0-9]+,([0-9]{1,2}|[0-9]{4,}))[^0-9]*")
DOTTED_THOUSANDS = re.compile(r"[^0-9]*[1-9][0-9]{0,2}(\.[0-9]{3})+[^0-9]*")


@dataclass(frozen=True)
class Writing:
    """What is known of how the file's people write: from its other columns."""

    decimal_comma: bool = False
    day_first: bool | None = None


def numbers(values: Sequence[str], writing: Writing) -> Iterator[Way]:
    """Ways to read `values` as written numbers: with separators, a currency, a percent sign, or brackets for minus."""
    symbol = next((sign for sign in CURRENCIES if any(sign in value for value in values)), "")
    percent = any(value.endswith("%") for value in values)
    brackets = any(value.startswith("(") for value in values)
    for separators in _separators(values, writing):
        if separators is not PLAIN or symbol or percent or brackets:
            yield _number(separators, symbol, percent, brackets, values)


def _separators(values: Sequence[str], writing: Writing) -> tuple[Separators, ...]:
    if any(SURELY_EUROPEAN.fullmatch(value) for value in values):
        return (EUROPEAN, SPACED)
    if writing.decimal_comma and any("," in value or DOTTED_THOUSANDS.fullmatch(value) for value in values):
        return (EUROPEAN, SPACED, PLAIN)
    return (PLAIN, ENGLISH, SPACED, SWISS, EUROPEAN)


def _number(separators: Separators, symbol: str, percent: bool, brackets: bool, values: Sequence[str]) -> Way:
    sign = f"[{SPACES}]*[{re.escape(symbol)}]?[{SPACES}]*" if symbol else ""
    core = f"{sign}[+-]?{sign}({separators.pattern}){sign}"
    pattern = f"{core}[{SPACES}]*%?" if percent else core
    if brackets:
        pattern = rf"{pattern}|\({pattern}\)"
    drop = [*separators.group, *symbol, *(SPACES if symbol or percent else ""), *("%" if percent else "")]
    sql = "{v}"
    for letter in dict.fromkeys(drop):
        sql = f"replace({sql}, {literal(letter)}, '')"
    if separators.point == ",":
        sql = f"replace({sql}, ',', '.')"
    if brackets:
        bare = f"replace(replace({sql}, '(', ''), ')', '')"
        sql = f"CASE WHEN starts_with({{v}}, '(') THEN concat('-', {bare}) ELSE {bare} END"
    whole = not percent and not any(_has_fraction(value, separators) for value in values)
    type_ = "BIGINT" if whole else "DOUBLE"
    told = [separators.told if _uses(separators, values) else ""]
    told += [f"amounts in {symbol}" if symbol else "", "percent: 12.5 means 12.5%" if percent else ""]
    told += ["brackets for minus" if brackets else ""]
    return Way(type_, pattern, f"TRY_CAST({sql} AS {type_})", ", ".join(filter(None, told)))


def _uses(separators: Separators, values: Sequence[str]) -> bool:
    return any(mark in value for mark in (*separators.group, ",") for value in values)


def _has_fraction(value: str, separators: Separators) -> bool:
    return separators.point in value or (separators is SPACED and "." in value)


def _calendar(format_: str) -> Callable[[str], bool]:
    def fits(value: str) -> bool:
        try:
            return 1000 <= datetime.strptime(value, format_).year <= 2300
        except ValueError:
            return False

    return fits


def moment(format_: str, pattern: str, type_: str = "DATE", told: str = "") -> Way:
    sql = f"CAST(try_strptime({{v}}, {literal(format_)}) AS {type_})"
    noun = "a time" if type_ == "TIME" else "a date"
    return Way(type_, pattern, sql, told, noun, _calendar(format_))


D, Y, YY, B = "[0-9]{1,2}", "[0-9]{4}", "[0-9]{2}", "[A-Za-z]{3}"
LONG = "[A-Za-z]{3,9}"
CLOCKS = (
    (" %H:%M:%S", f" {D}:{YY}:{YY}"),
    (" %H:%M", f" {D}:{YY}"),
    (" %I:%M %p", f" {D}:{YY} [AaPp][Mm]"),
    (" %I:%M:%S %p", f" {D}:{YY}:{YY} [AaPp][Mm]"),
)

ISO_STAMP = rf"{Y}-[0-9]{{2}}-[0-9]{{2}}[T ][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}(\.[0-9]{{1,9}})?)?"
ZONED = Way(
    "TIMESTAMP WITH TIME ZONE",
    ISO_STAMP + " ?(Z|[+-][0-9]{2}(:?[0-9]{2})?)",
    "TRY_CAST(regexp_replace(regexp_replace({v}, '([+-][0-9]{2})([0-9]{2})$', '\\1:\\2'), ' ?Z$', '+00')"
    " AS TIMESTAMPTZ)",
    "times with a zone, shown in UTC",
    "a time",
)
STAMP = Way("TIMESTAMP", ISO_STAMP, "TRY_CAST({v} AS TIMESTAMP)", noun="a time")

ISO_DATES = (
    moment("%Y-%m-%d", f"{Y}-{D}-{D}"),
    moment("%Y/%m/%d", f"{Y}/{D}/{D}"),
    moment("%Y.%m.%d", f"{Y}[.]{D}[.]{D}"),
)
WORDED = (
    moment("%d-%b-%Y", f"{D}-{B}-{Y}"),
    moment("%d-%b-%y", f"{D}-{B}-{YY}"),
    moment("%d %b %Y", f"{D} {B} {Y}"),
    moment("%d %B %Y", f"{D} {LONG} {Y}"),
    moment("%b %d, %Y", f"{B} {D}, {Y}"),
    moment("%B %d, %Y", f"{LONG} {D}, {Y}"),
    moment("%d/%b/%Y", f"{D}/{B}/{Y}"),
)


def _slashed(first: str, second: str, told: str) -> tuple[Way, ...]:
    ways = []
    for sep in "/-.":
        mark = f"[{sep}]"
        for year, digits in (("%Y", Y), ("%y", YY)):
            date, shape = f"%{first}{sep}%{second}{sep}{year}", f"{D}{mark}{D}{mark}{digits}"
            ways.append(moment(date, shape, told=told))
            ways += [moment(date + clock, shape + form, "TIMESTAMP", told) for clock, form in CLOCKS]
    return tuple(ways)


DAY_FIRST = _slashed("d", "m", "dates read as day/month/year")
MONTH_FIRST = _slashed("m", "d", "dates read as month/day/year")
TIMES = (moment("%H:%M:%S", f"{D}:{YY}:{YY}", "TIME"), moment("%H:%M", f"{D}:{YY}", "TIME"))
STAMPS = tuple(
    moment(date.sql.split("'")[1] + clock, date.pattern + form, "TIMESTAMP")
    for date in (*ISO_DATES, *WORDED)
    for clock, form in CLOCKS
)


@dataclass(frozen=True)
class Chosen:
    """`way` is None for text. `hint` says what a person would see in the column and the type does not say."""

    way: Way | None
    hint: str = ""


def choose(values: Iterable[str], writing: Writing = Writing()) -> Chosen:
    """The way that fits all `values` but those that stand for nothing."""
    seen = [value.strip() for value in values if value.strip()]
    said = [value for value in seen if value.lower() not in NOTHING]
    if not said:
        return Chosen(None)
    if all(value.isdigit() for value in said):
        if any(len(value) > 1 and value[0] == "0" for value in said):
            return Chosen(None, "leading zeros: kept as text")
        if any(len(value) > LONGEST_INTEGER for value in said):
            return Chosen(None, "more digits than a number keeps: kept as text")
    for way in _ways(said, writing):
        if all(map(way.fits, said)):
            return _told(way, said, writing)
    return Chosen(None, _near(said, writing))


def _ways(said: Sequence[str], writing: Writing) -> Iterator[Way]:
    first = said[0]
    if first.lower() in ("true", "false"):
        yield TRUTH
        return
    if not any(map(str.isdigit, first)):
        return
    dotted = writing.decimal_comma and any(DOTTED_THOUSANDS.fullmatch(value) for value in said)
    if not dotted:
        yield from (INTEGER, DECIMAL)
    yield from numbers(said, writing)
    if dotted:
        yield from (INTEGER, DECIMAL)
    yield from (*ISO_DATES, ZONED, STAMP, *WORDED, *STAMPS, *TIMES)
    yield from _order(said, writing)


def _order(said: Sequence[str], writing: Writing) -> tuple[Way, ...]:
    order = order_of(said)
    if (writing.day_first if order is None else order) is False:
        return (*MONTH_FIRST, *DAY_FIRST)
    return (*DAY_FIRST, *MONTH_FIRST)


def _told(way: Way, said: Sequence[str], writing: Writing) -> Chosen:
    if way not in DAY_FIRST and way not in MONTH_FIRST:
        return Chosen(way, way.told)
    if writing.day_first is None and order_of(said) is None:
        return Chosen(None, "dates: day/month or month/day can't be told apart, kept as text")
    return Chosen(way, way.told)


def order_of(said: Sequence[str]) -> bool | None:
    """Whether days come before months in dates like 3/4/2024; None when they can't be told apart, or there are none."""
    parts = [re.match(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d{2})(?:[ ]|$)", value) for value in said]
    pairs = [(int(match[1]), int(match[3])) for match in parts if match]
    if len(pairs) < len(said) or not pairs:
        return None
    firsts, seconds = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}
    if max(firsts) > 12 or max(seconds) > 12:
        return max(firsts) > 12
    if all(match is not None and match[2] == "." for match in parts):
        return True
    if len(firsts) != len(seconds) and min(len(firsts), len(seconds)) == 1 and len(pairs) > 2:
        return len(firsts) == 1
    return None


def _near(said: Sequence[str], writing: Writing) -> str:
    """'looks like a number but for …', when most values fit one way."""
    digits = [value for value in said if any(map(str.isdigit, value))]
    if len(digits) < NEAR * len(said) or len(said) < 5:
        return _sized(said)
    best: tuple[int, Way] | None = None
    for way in _ways(digits, writing):
        count = sum(map(way.fits, said))
        if best is None or count > best[0]:
            best = (count, way)
    if best is None or best[0] < NEAR * len(said):
        return _sized(said)
    odd = next(value for value in said if not best[1].fits(value))
    return f"looks like {best[1].noun} but for '{odd[:30]}'"


def _sized(said: Sequence[str]) -> str:
    sizes = sum(bool(re.fullmatch(r"[$€£]?[0-9.,]+ ?([kKmMbB]|bn|mn|million|billion)", value)) for value in said)
    return "amounts with K, M or B: kept as text" if sizes > 0.5 * len(said) else ""


def writing_of(columns: Iterable[Sequence[str]]) -> Writing:
    """What columns that leave no doubt say about the others."""
    comma = False
    orders: list[bool] = []
    for values in columns:
        said = [value.strip() for value in values if value.strip() and value.strip().lower() not in NOTHING]
        if said and any(map(SURELY_EUROPEAN.fullmatch, said)):
            comma = comma or any(all(map(way.fits, said)) for way in numbers(said, Writing(True)))
        order = order_of(said) if said else None
        orders += [] if order is None else [order]
    day_first = orders[0] if orders and len(set(orders)) == 1 else None
    return Writing(comma, True if comma and day_first is None else day_first)
