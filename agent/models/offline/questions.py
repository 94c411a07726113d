"""From a question to SQL: what is counted or added up, by what, of which rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agent.models.offline.catalog import best_table, columns_in, full, is_number, literal, quoted
from agent.models.offline.words import FILLER, QUOTED, likeness, quotes, tokens, words

AGGREGATES = {
    "avg": r"\b(?:average|mean|avg)\b",
    "median": r"\bmedian\b",
    "sum": r"\b(?:total|sum|how much|spen[dt]|spending)\b",
    "max": r"\bmax(?:imum)?\b|^what is the (?:highest|largest)",
    "min": r"\bmin(?:imum)?\b|^what is the (?:lowest|smallest)",
}
USUAL = ("amount", "total", "value", "revenue", "cost", "price", "quantity")
KEYS = ("tax", "vat", "email", "phone", "isbn", "iban", "number")
BY = r"\b(?:by|per|for each|for every|in each|each|across)\b"
LEAST = r"\b(?:bottom|fewest|least|lowest|smallest)\b"
TOP = rf"\b(?:top|most|highest|largest|biggest)\b|{LEAST}"
SPREAD = r"\bcounts\b|\bdistribution|\bbreakdown|\bcompare"
UNIT = r"\b(?:da[iy]|week|month|quarter|year)"
TIME = rf"\b(?:by|per|each|every|over|over the|which) (?:time|{UNIT}s?)\b|{UNIT}ly\b|\btrend"
YEAR = r"\b(in|during|of|for|from|since|after|before) ((?:19|20)\d\d)\b"
COUNTED = r"\b(?:how many|number of|count of) (?:different |distinct |unique )?(\w+)"
GAPS = r"\bmissing|\bnulls?\b|\bempty|\bgaps?\b|\bincomplete|\bwithout\b|\b(?:have|has) no\b"
LEGAL = r"\b(inc|incorporated|ltd|limited|llc|corp|corporation|co|company|gmbh|plc)\b|[^a-z0-9 ]"
PER_COLUMN = """SELECT {name} AS column_name, {type} AS type, count(DISTINCT {column}) AS different, \
count(*) - count({column}) AS missing FROM {table} AS t"""
MONTHS = """\
WITH m AS (SELECT {silo} AS silo, {month} AS month FROM {table} AS t)
SELECT silo, missing_month FROM (SELECT DISTINCT silo FROM m),
    (SELECT unnest(generate_series(min(month), max(month), INTERVAL 1 MONTH))::DATE AS missing_month FROM m)
EXCEPT SELECT silo, month FROM m ORDER BY 1, 2"""


@dataclass(frozen=True)
class Ask:
    """A question in lower case and the table it is about. The answers are SQL by what it finds out."""

    text: str
    table: Any

    def has(self, pattern: str) -> bool:
        return bool(re.search(pattern, self.text))

    def query(self, title: str, fields: Sequence[str], tail: str) -> dict[str, str]:
        tests = self.tests()
        where = f"WHERE {' AND '.join(tests)}\n" if tests else ""
        sql = f"SELECT {', '.join(fields)}\nFROM {full(self.table)} AS t\n{where}{tail}"
        return {self.titled(" ".join([title, *tests.values()])): sql.rstrip()}

    def titled(self, title: str) -> str:
        """With the words that mean nothing here: they are named, not passed over."""
        table = self.table
        known = tokens(" ".join([table.schema, table.name, *(column.name for column in table.columns), *FILLER]))
        rules = [YEAR if self.moment("year") else UNIT, UNIT, *(f"(?:{kind})" for kind, _ in KINDS)]
        text = re.sub("|".join(rf"{rule}\w*" for rule in rules), " ", QUOTED.sub("", self.text))
        unused = ", ".join(w for w in re.findall(r"[a-z]{3,}|\d{4,}", text) if not likeness([w, *words(w)], known))
        return f"{table.schema}.{table.name}: {title}{f' (not used: {unused})' if unused else ''}"

    def tests(self) -> dict[str, str]:
        """Which rows are meant, in words by the SQL: those of a year, those with a quoted value."""
        year, date = re.search(YEAR, self.text), self.moment("year")
        sign = {"since": ">=", "after": ">", "before": "<"}.get(year[1], "=") if year else ""
        tests = {f"{date} {sign} {year[2]}": year[0]} if year and date else {}
        texts = ", ".join(f"lower({self.sql(column)})" for column in self.table.columns if column.type == "VARCHAR")
        return tests | {f"{literal(value)} IN ({texts})": f"with '{value}'" for value in quotes(self.text) if texts}

    def sql(self, column: Any) -> str:
        return f"t.{quoted(column.name)}"

    def first(self, *parts: str) -> str:
        """The first column that has one of these in its name, as SQL; or nothing."""
        return next((self.sql(c) for part in parts for c in self.table.columns if part in tokens(c.name)), "")

    def columns(self, text: str) -> list[Any]:
        """The columns that the text names, but for the table's own id or date, which its noun names by chance."""
        own, kinds = set(tokens(self.table.name)), {"id", "date", "number"}
        named = [(column, set(tokens(column.name))) for column in columns_in(text, self.table.columns)]
        return [column for column, parts in named if not kinds & parts or parts - own - kinds]

    def moment(self, unit: str) -> str:
        """The day, month, ... of a row as SQL; nothing when the table has no time."""
        times = [column for column in self.table.columns if re.match("DATE|TIMESTAMP", column.type)]
        if not times:
            return f"TRY_CAST({self.first('year')} AS INTEGER)" if self.first("year") else ""
        date = self.sql((columns_in(self.text, times) or times)[0])
        return f"year({date})" if unit == "year" else f"date_trunc('{unit}', {date})::DATE"

    def groups(self) -> dict[str, str]:
        """What is grouped by, a time or columns: the names by their SQL."""
        unit = re.search(UNIT, self.text)
        name = unit[0].replace("dai", "day") if unit else "month"
        groups = {self.moment(name): name} if self.has(TIME) and self.moment(name) else {}
        before, *after = re.split(BY, re.sub(TIME, " by ", self.text), maxsplit=1)
        texts = [before, *after] if self.has(TOP) else [*after, *[before] * self.has(SPREAD)]
        named = next(filter(None, ([c for c in self.columns(text) if not is_number(c)] for text in texts)), [])
        return groups | {self.sql(column): column.name for column in named[: 1 if self.has(TOP) else 2]}

    def measure(self) -> tuple[str, str]:
        """The function, and what it is of."""
        fn = next((fn for fn, pattern in AGGREGATES.items() if self.has(pattern)), "")
        counted, groups = re.search(COUNTED, self.text), self.groups()
        usual = [c for part in USUAL for c in self.table.columns if part in tokens(c.name)]
        usual = usual if fn or (self.has(TOP) and not groups) else []
        if numbers := [c for c in [*self.columns("" if counted else self.text), *usual] if is_number(c)]:
            return fn or "sum", self.sql(numbers[0])
        noun = counted[1] if counted and not groups else ""
        named = [] if likeness(words(noun), tokens(self.table.name)[-1:]) else self.columns(noun)
        return "count", f"DISTINCT {self.sql(named[0])}" if named else "*"

    def summary(self) -> dict[str, str]:
        """Counts, sums, ... by group or time, the top ones first; the top rows when no group is named."""
        groups, (fn, of), number = self.groups(), self.measure(), re.search(r"\b\d{1,3}\b", self.text)
        best = f"{'ASC' if self.has(LEAST) else 'DESC'} NULLS LAST, 1"
        size = f"\nLIMIT {number[0] if number else 10}" if self.has(TOP) else ""
        if size and not groups and not self.has("^what is the"):
            return self.query("its rows", ["*"], f"ORDER BY {of} {best}{size}".replace("ORDER BY * ", "ORDER BY 1 "))
        value = f"count({of})" if fn == "count" else f"round({fn}({of}), 2)"
        name = "number" if of == "*" else "_".join([fn, *tokens(of.rpartition("t.")[2])])
        fields = [*(f"{sql} AS {quoted(group)}" for sql, group in groups.items()), f"{value} AS {name}"]
        order = "1" if self.has(TIME) and not size else f"{name} {best}{size}"
        tail = f"GROUP BY ALL\nORDER BY {order}" if groups else ""
        return self.query(" by ".join([name, *groups.values()]), fields, tail)

    def duplicates(self) -> dict[str, str]:
        """By a key that should be unique and by the name spelled plainly; else rows that are equal but for the id."""
        key, name, silo = self.first(*KEYS), self.first("name"), self.first("silo")
        label = f"{name or self.first('id') or 'NULL'}::VARCHAR"
        fields = ["count(*) AS records", *["count(DISTINCT t.silo) AS silos"] * bool(silo)]
        fields.append(f"string_agg(DISTINCT {label}, ' | ' ORDER BY {label}) AS names")
        apart = "silos" if silo and "silo" in words(self.text) else "records"
        tail = f"GROUP BY 1\nHAVING {apart} > 1 AND shared IS NOT NULL\nORDER BY records DESC, 1"
        spelled = f"trim(regexp_replace(lower({name}), '{LEGAL}', '', 'g'))" if name else ""
        rest = ", ".join(sql for sql in map(self.sql, self.table.columns) if sql != self.first("id")) or "t"
        named = [(key, f"the same {key[2:]}"), (spelled, f"nearly the same {name[2:]}")]
        shared = [why for why in named if why[0]] or [(f"row({rest})", "the same values but for the id")]
        made = [self.query(f"groups with {why}", [f"{sql} AS shared", *fields], tail) for sql, why in shared]
        return made[0] | made[-1]

    def gaps(self) -> dict[str, str]:
        """Empty values by column, and the months in which there is nothing."""
        month, silo = self.moment("month"), self.first("silo") or "'all'"
        sql = MONTHS.format(silo=silo, month=month, table=full(self.table))
        months = {self.titled("months without any"): sql} if "trunc" in month and self.has("month|gap|time") else {}
        return months if months and not self.has("gap") else self.described() | months

    def described(self) -> dict[str, str]:
        """How many different values each column has, and in how many rows it has none."""
        parts = [
            PER_COLUMN.format(name=literal(c.name), type=literal(c.type), column=self.sql(c), table=full(self.table))
            for c in self.table.columns[:40]
        ]
        return {self.titled("its columns"): "\nUNION ALL ".join(parts) + "\nORDER BY missing DESC, 1"}

    def rows(self) -> dict[str, str]:
        return self.query("some rows", ["*"], "LIMIT 10")


def queries(question: str, tables: Sequence[Any]) -> dict[str, str]:
    """SQL by what it finds out, two when one is not enough; empty when the words fit no table."""
    text = " ".join(question.lower().split())
    table = best_table(text, tables, any(re.search(pattern, text) for pattern in AGGREGATES.values()))
    makers = [make for pattern, make in KINDS if re.search(pattern, text)]
    return makers[0](Ask(text, table)) if makers and table is not None else {}


KINDS = (
    (r"\bduplicat|\bmore than on(?:c?e)\b|\btwice|\brepeated|\b(?:the|have) same\b", Ask.duplicates),
    (GAPS, Ask.gaps),
    (r"\bdescribe|\bcolumns?\b|\bschema of|\bstructure|\btell me about\b", Ask.described),
    ("|".join([TOP, TIME, BY, SPREAD, COUNTED, *AGGREGATES.values()]), Ask.summary),
    (r"\bshow|\blist|\bsample|\bexamples?\b|\bfirst|\brows\b", Ask.rows),
)
"""What is asked for, by how it is asked; the more particular first."""
