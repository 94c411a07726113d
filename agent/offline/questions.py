"""From a question to SQL: what is counted or added up, by what, of which rows."""

# ruff: noqa: S608 - names in SQL are quoted and the catalog's own, values are literals

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from agent.offline.words import (
    FILLER,
    QUOTED,
    best_table,
    columns_in,
    first,
    full,
    is_id,
    is_name,
    is_number,
    likeness,
    literal,
    quoted,
    quotes,
    tokens,
    words,
)

AGGREGATES = (
    ("avg", "average", re.compile(r"\b(?:average|mean|avg)\b")),
    ("median", "median", re.compile(r"\bmedian\b")),
    ("sum", "total", re.compile(r"\b(?:total|sum|how much|spen[dt]|spending)\b")),
    ("max", "highest", re.compile(r"\b(?:maximum|max|what is the (?:highest|largest))\b")),
    ("min", "lowest", re.compile(r"\b(?:minimum|min|what is the (?:lowest|smallest))\b")),
)
USUAL = ("amount", "total", "value", "revenue", "cost", "price", "quantity")
KEYS = {"tax", "vat", "email", "phone", "isbn", "iban"}
BY = re.compile(r"\b(?:by|per|for (?:each|every)|in each|each|across)\s+(.+)")
TOP = re.compile(r"\b(top|bottom|most|fewest|least|highest|lowest|largest|biggest|smallest)\b")
LEAST = {"bottom", "fewest", "least", "lowest", "smallest"}
SPREAD = re.compile(r"\bcounts\b|\bdistribution|\bbreakdown|\bcompare")
COUNTED = re.compile(r"\b(?:how many|number of|most|fewest)\s+((?:different |distinct |unique )?\w+)")
PERIODS = {"dail": "day", "day": "day", "week": "week", "quarter": "quarter", "year": "year", "annual": "year"}
LEGAL = r"\b(inc|incorporated|ltd|limited|llc|corp|corporation|co|company|gmbh|plc)\b"
COUNT = ("count(*)", "number")
VALUE = r"\b(?:on|for|in|from|at|named|called|were|was|are|is) (?:the )?([a-z]+)\b"


@dataclass(frozen=True)
class Query:
    """`shown` rows of the result are enough."""

    title: str
    sql: str
    shown: int = 40


@dataclass(frozen=True)
class Ask:
    """A question and the table it is about. `careful` takes numbers and dates to be text that may hold others."""

    text: str
    table: Any
    others: Sequence[Any]
    careful: bool = False

    def query(self, title: str, fields: Sequence[str], tail: str = "", join: str = "", shown: int = 40) -> Query:
        where, said = self.where()
        sql = f"SELECT {', '.join(fields)}\nFROM {full(self.table)} AS t{join}{where}{tail}"
        return Query(self.titled(f"{title}{said}"), sql, shown)

    def titled(self, title: str) -> str:
        alone = self.table.schema.startswith("all") or [t.name for t in self.others].count(self.table.name) == 1
        return f"{'' if alone else self.table.schema + ' '}{self.table.name}: {title}".replace("_", " ")

    def columns(self, text: str) -> list[Any]:
        """The columns that the text names, but for its own id or date, which its noun names by chance."""
        own, kinds = set(tokens(self.table.name)), {"id", "date", "number"}
        found = [(column, set(tokens(column.name))) for column in columns_in(text, self.table.columns)]
        return [column for column, parts in found if not (parts & kinds and parts <= own | kinds)]

    def grouped(self) -> list[Any]:
        found = BY.search(self.text)
        named = [
            self.columns(found.group(1)) if found else [],
            self.columns(self.text * bool(SPREAD.search(self.text))),
        ]
        return next(filter(None, ([c for c in columns if not is_number(c)] for columns in named)), [])[:2]

    def usual(self) -> Any:
        """The number that is meant when none is named, or None."""
        numbers = [column for column in self.table.columns if is_number(column)]
        return next((column for word in USUAL for column in numbers if word in tokens(column.name)), None)

    def cast(self, column: Any, type_: str) -> str:
        return f"TRY_CAST(t.{quoted(column.name)} AS {type_})" if self.careful else f"t.{quoted(column.name)}"

    def measure(self) -> tuple[str, str]:
        """What is computed, and its name."""
        fn, name = next(((fn, name) for fn, name, pattern in AGGREGATES if pattern.search(self.text)), ("", "total"))
        texts = [self.text] if TOP.search(self.text) else [BY.sub("", self.text), self.text * bool(fn)]
        number = next((column for text in texts for column in self.columns(text) if is_number(column)), None)
        if number is None and fn in ("sum", "avg", "median"):
            number = self.usual()
        if number is not None:
            return f"round({fn or 'sum'}({self.cast(number, 'DOUBLE')}), 2)", f"{name}_{'_'.join(tokens(number.name))}"
        noun = COUNTED.search(self.text)
        if noun is None or likeness(words(noun.group(1))[-1:], tokens(self.table.name)[-1]) or self.grouped():
            return COUNT
        column = next((c for c in self.columns(noun.group(1)) if not TOP.search(self.text)), None)
        return (
            (f"count(DISTINCT t.{quoted(column.name)})", f"different_{'_'.join(tokens(column.name))}")
            if column
            else COUNT
        )

    def date(self) -> tuple[str, bool] | None:
        """The time as SQL, and whether it is a year only."""
        times = [column for column in self.table.columns if re.match("DATE|TIMESTAMP", column.type)]
        dated = [column for column in times if "birth" not in column.name.lower()]
        if dated:
            return self.cast((columns_in(self.text, dated) or dated)[0], "TIMESTAMP"), False
        year = first(self.table, lambda column: "year" in tokens(column.name))
        return (f"TRY_CAST(t.{quoted(year.name)} AS INTEGER)", True) if year else None

    def where(self) -> tuple[str, str]:
        """Which rows are meant, as SQL and in words. Words that mean nothing here are named, not passed over."""
        date, year = (
            self.date(),
            re.search(r"\b(in|during|of|for|from|since|after|before)\s+((?:19|20)\d\d)\b", self.text),
        )
        tests, said = [], ""
        if date and year:
            sign = {"since": ">=", "after": ">", "before": "<"}.get(year.group(1), "=")
            tests, said = [f"{date[0] if date[1] else f'year({date[0]})'} {sign} {year.group(2)}"], f" {year.group(0)}"
        texts = ", ".join(f"lower(t.{quoted(c.name)})" for c in self.table.columns if c.type == "VARCHAR")
        adjectives = self.unknown(rf"\b([a-z]+) (?={tokens(self.table.name)[-1]}s?\b)")
        values = dict.fromkeys([*quotes(self.text), *adjectives, *self.unknown(VALUE)])
        unused = self.unknown(r"\b(?:of|about|than|with) ([a-z]+)\b")
        for value in values if texts else ():
            tests.append(f"{literal(value)} IN ({texts})")
            said += f" with the value '{value}' in a column"
        said += f" (I could not use: {', '.join(unused)})" if unused else ""
        return ("\nWHERE " + " AND ".join(tests) if tests else ""), said

    def unknown(self, pattern: str) -> list[str]:
        """The words so placed that mean nothing here: no column, no table, no kind of question."""
        columns, tables = (column.name for column in self.table.columns), (table.name for table in self.others)
        parts = {*tokens(" ".join([self.table.schema, *columns, *tables])), *FILLER}
        found = [word for word in re.findall(pattern, QUOTED.sub("", self.text)) if not WORDS.search(word)]
        return [word for word in found if not any(likeness([word, *words(word)], part) for part in parts)]


def question_to_sql(question: str, tables: Sequence[Any]) -> str | None:
    """SQL for a question about the tables; None when its words fit none."""
    return next((query.sql for query in queries(question, tables)), None)


def queries(question: str, tables: Sequence[Any], careful: bool = False) -> list[Query]:
    """What to ask the data, several queries when one is not enough; empty when the words fit no table."""
    text = " ".join(question.lower().split())
    counted = COUNTED.search(text)
    adds = any(pattern.search(text) for _, _, pattern in AGGREGATES)
    table = best_table(text, counted.group(1) if counted else "", tables, adds)
    if table is None:
        return []
    ask = Ask(text, table, tables, careful)
    return next((made for pattern, make in KINDS if pattern.search(text) and (made := make(ask))), [])


def duplicates(ask: Ask) -> list[Query]:
    """By a key that should be unique and by the name spelled plainly; without a name, rows equal but for their id."""
    table, said = ask.table, "rows that are there more than once, but for their id"
    name, silo = first(table, is_name), first(table, lambda column: column.name == "silo")
    if name is None:
        rest = [f"t.{quoted(column.name)}" for column in table.columns if column is not first(table, is_id)]
        tail = "\nGROUP BY ALL\nHAVING count(*) > 1\nORDER BY copies DESC, 1, 2"
        return [ask.query(said, [*rest, "count(*) AS copies"], tail, shown=8)]
    label, plain = f"t.{quoted(name.name)}", f"regexp_replace(lower(t.{quoted(name.name)}), '[^a-z0-9 ]', '', 'g')"
    plain = f"trim(regexp_replace({plain}, '{LEGAL}', '', 'g'))"
    keys = {f"the same {name.name}, but for spelling and legal form": plain}
    if key := first(table, lambda column: KEYS & set(tokens(column.name))):
        keys = {f"the same {key.name}": f"t.{quoted(key.name)}", **keys}
    apart = "count(DISTINCT t.silo)" if silo and "silo" in words(ask.text) else "count(*)"
    fields = ["count(*) AS records", *([f"{apart} AS silos"] if "silo" in apart else [])]
    fields.append(f"string_agg(DISTINCT {label}, ' | ' ORDER BY {label}) AS names")
    tail = f"\nGROUP BY 1\nHAVING {apart} > 1 AND shared IS NOT NULL\nORDER BY records DESC, 1"
    return [ask.query(f"groups with {why}", [f"{sql} AS shared", *fields], tail, shown=12) for why, sql in keys.items()]


def gaps(ask: Ask) -> list[Query]:
    """Empty values by column, and the months in which there is nothing."""
    months, date = re.search(r"\bmonths?|\bgaps?\b|\btime", ask.text), ask.date()
    wanted = ask.columns(re.split(r"\b(?:missing|without|null|empty|no)\b", ask.text)[-1].split(" of ")[0])
    made = [per_column(ask, "missing values", wanted)] if not months or "gap" in ask.text else []
    if months and date and not date[1]:
        silo = "t.silo" if first(ask.table, lambda column: column.name == "silo") else "'all'"
        month = f"date_trunc('month', {date[0]})::DATE"
        sql = f"""WITH m AS (SELECT DISTINCT {silo} AS silo, {month} AS month FROM {full(ask.table)} AS t),
    s AS (SELECT DISTINCT silo FROM m),
    c AS (SELECT unnest(generate_series(min(month), max(month), INTERVAL 1 MONTH))::DATE AS month FROM m)
SELECT s.silo, c.month AS missing_month FROM s CROSS JOIN c ANTI JOIN m ON m.silo = s.silo AND m.month = c.month
ORDER BY 1, 2"""
        made.append(Query(ask.titled("months without any"), sql))
    return made


def per_column(ask: Ask, title: str, wanted: Sequence[Any]) -> Query:
    columns = [(f"t.{quoted(c.name)}", literal(c.name), literal(c.type)) for c in wanted or ask.table.columns]
    parts = [
        f"SELECT {name} AS column_name, {type_} AS type, count(DISTINCT {column}) AS different, "
        f"count(*) - count({column}) AS missing FROM {full(ask.table)} AS t"
        for column, name, type_ in columns[:40]
    ]
    return Query(ask.titled(title), "\nUNION ALL ".join(parts) + "\nORDER BY missing DESC, 1")


def trend(ask: Ask) -> list[Query]:
    date, (value, name) = ask.date(), ask.measure()
    if date is None:
        return []
    unit = next((unit for word, unit in PERIODS.items() if re.search(rf"\b{word}", ask.text)), "month")
    when = date[0] if date[1] else f"year({date[0]})" if unit == "year" else f"date_trunc('{unit}', {date[0]})::DATE"
    unit = "year" if date[1] else unit
    return [ask.query(f"{name} by {unit}", [f"{when} AS {unit}", f"{value} AS {name}"], "\nGROUP BY ALL\nORDER BY 1")]


def top(ask: Ask) -> list[Query]:
    """Groups in the order of their count or total; the table's own rows when no group is named."""
    found = TOP.search(ask.text)
    assert found is not None
    number = re.search(r"\b\d{1,3}\b", ask.text)
    size, order = number.group() if number else "10", "" if found.group(1) in LEAST else " DESC"
    before = re.search(r"\b(?:which|what|who)\s+(?:\d+\s+)?(\w+(?: \w+)?)", ask.text)
    after = re.search(rf"\b{found.group(1)}\s+(?:\d+\s+)?(.+?)(?:\s+(?:by|with|in|per|of)\b|$|\?)", ask.text)
    named = [[c for c in ask.columns(match.group(1)) if not is_number(c)] for match in (before, after) if match]
    groups, tail = (next(filter(None, named), None) or ask.grouped())[:2], f"{order} NULLS LAST, 1\nLIMIT {size}"
    if groups:
        return [grouped(ask, groups, f"{found.group(1)} {size} ", tail)]
    column = next((c for c in ask.columns(ask.text) if is_number(c)), None) or ask.usual()
    if column is None or re.match("what is the", ask.text):
        return []
    tail = f"\nORDER BY {ask.cast(column, 'DOUBLE')}{tail}"
    return [ask.query(f"{found.group(1)} {size} by {column.name}", ["*"], tail, shown=10)]


def aggregate(ask: Ask) -> list[Query]:
    value, name = ask.measure()
    groups = ask.grouped()
    return [grouped(ask, groups, "", " DESC, 1\nLIMIT 40") if groups else ask.query(name, [f"{value} AS {name}"])]


def grouped(ask: Ask, groups: Sequence[Any], how: str, tail: str) -> Query:
    """With the name beside an id, from the table that has both."""
    (value, name), join = ask.measure(), ""
    fields = [f"t.{quoted(column.name)}" for column in groups]
    for other in ask.others if is_id(groups[0]) and not first(ask.table, is_name) else ():
        label, key = first(other, is_name), first(other, is_id)
        if label and key.name == groups[0].name and other.schema == ask.table.schema:
            join = f"\nLEFT JOIN {full(other)} AS n ON n.{quoted(key.name)} = {fields[0]}"
            fields.insert(1, f"n.{quoted(label.name)}")
    by = " and ".join(column.name for column in groups)
    tail = f"\nGROUP BY ALL\nORDER BY {name}{tail}"
    return ask.query(f"{how}{name} by {by}", [*fields, f"{value} AS {name}"], tail, join)


KINDS: tuple[tuple[re.Pattern[str], Callable[[Ask], list[Query]]], ...] = tuple(
    (re.compile(pattern), make)
    for pattern, make in (
        (r"\bduplicat|\bmore than on(?:c?e)\b|\btwice|\brepeated|\b(?:the|have) same\b", duplicates),
        (r"\bmissing|\bnulls?\b|\bempty|\bgaps?\b|\bincomplete|\bwithout\b|\b(?:have|has) no\b", gaps),
        (r"\bdescribe|\bcolumns?\b|\bschema of|\bstructure", lambda ask: [per_column(ask, "its columns", ())]),
        (r"\btrend|\bover (?:the )?(?:time|years)|\b(?:by|per|each|every) (?:day|week|month|quarter|year)\b", trend),
        (r"\bmonthly|\byearly|\bweekly|\bdaily|\bannual|\bquarterly", trend),
        (TOP.pattern, top),
        (r"\bhow m(?:any|uch)|\bnumber of|\bby\b|\bper\b|\beach\b|" + SPREAD.pattern, aggregate),
        ("|".join(pattern.pattern for _, _, pattern in AGGREGATES), aggregate),
        (
            r"\bshow|\blist|\bsample|\bexamples?\b|\bfirst|\brows\b",
            lambda ask: [ask.query("the first rows", ["*"], "\nLIMIT 10", shown=10)],
        ),
        (r"\babout\b|\bwhat(?: i|')s in\b|\bexplain", lambda ask: [per_column(ask, "its columns", ())]),
    )
)
"""What is asked for, by how it is asked; the more particular first."""
WORDS = re.compile("|".join(pattern.pattern for pattern, _ in KINDS) + r"|dail|week|month|quarter|year|time|data|table")
