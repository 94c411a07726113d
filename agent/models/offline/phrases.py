"""What a question asks of one table. Each word is used by one phrase; what no phrase uses is kept, to be told.

The words that mean the table become `T`, columns `N1`, `D1`, `B1` or `C1` by kind, units of time `U1month`, quoted
texts `Q1` and what is counted or added up `M`; phrases are patterns over these. A phrase that was used leaves a `;`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date as Date
from typing import Any

from agent.models.offline import catalog
from agent.models.offline.catalog import literal, money, sql
from agent.models.offline.words import FILLER, OPERATORS, PRONOUNS, QUOTED, quotes, spoken, stem, tokens

FUNCTIONS = {
    "average": "avg", "mean": "avg", "avg": "avg", "median": "median", "total": "sum", "sum": "sum", "much": "sum",
    "highest": "max", "largest": "max", "biggest": "max", "maximum": "max", "max": "max",
    "lowest": "min", "smallest": "min", "minimum": "min", "min": "min",
}  # fmt: skip
COLUMN = r"[CNB]\d+"
ADDING = r"(average|mean|avg|median|total|sum|how much)"
MOST = r"(?:highest|largest|biggest|most|top|greatest|maximum|max|fewest|least|lowest|smallest|bottom|minimum|min)"
LEAST = ("fewest", "least", "lowest", "smallest", "bottom", "minimum", "min")
BY = r"\b(?:by|per|for each|for every|in each|in every|each|every|broken down by|grouped by|split by)"
SIGNS = {
    "over": ">", "above": ">", "more than": ">", "greater than": ">", "larger than": ">", "higher than": ">", ">": ">",
    "exceeding": ">", "at least": ">=", "under": "<", "below": "<", "less than": "<", "lower than": "<",
    "smaller than": "<", "<": "<", "at most": "<=", "since": ">=", "after": ">", "before": "<",
}  # fmt: skip
THAN = f"({'|'.join(word for word in SIGNS if word not in ('since', 'after', 'before'))}) (\\d+(?:\\.\\d+)?)"
MONTHS = "january february march april may june july august september october november december".split()  # noqa: SIM905
WHEN = r"(?:(D\d+) )?(?:(in|during|of|for|from|since|after|before) )?(?:the )?"
PERIOD = rf"(?:({'|'.join(MONTHS)}) )?((?:19|20)\d\d)(?! (?:on|onwards?|to|until|through|and (?:19|20)|[NCDT]))"
SAME = r"duplicated?s?|more than once|twice"


@dataclass
class Ask:
    """`tests` are conditions by what they are about, each with its words; `values` are words to be found in the data,
    each with the column that was named beside it; `unused` are words that can't be used.
    """

    table: Any
    today: Date
    text: str = ""
    named: bool = False
    elliptic: bool = False
    pronoun: str = ""
    which: bool = False
    kind: str = ""
    fn: str = ""
    of: Any = None
    groups: dict[str, str] = field(default_factory=dict)
    unit: str = ""
    moment: Any = None
    tests: dict[str, tuple[str, str]] = field(default_factory=dict)
    values: tuple[tuple[tuple[str, str], ...], ...] = ()
    order: str = ""
    size: int | None = None
    unused: list[str] = field(default_factory=list)
    marks: dict[str, tuple[Any, str]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return bool(self.kind or (self.fn and (self.of is not None or self.fn == "count")))

    def take(self, pattern: str) -> re.Match[str] | None:
        """Use the first phrase like this; its group `keep` stays to be used by others."""
        found = re.search(rf"(?<!\S)(?:{pattern})(?!\S)", self.text)
        if found:
            left = f" ; {found.groupdict().get('keep') or ''} ; "
            self.text = " ".join(f"{self.text[: found.start()]}{left}{self.text[found.end() :]}".split())
        return found

    def column(self, mark: str | None) -> Any:
        return self.marks[mark][0] if mark else None


def read(question: str, table: Any, today: Date) -> Ask:
    """Raises nothing: what is not understood is in `unused`."""
    ask = Ask(table, today)
    ask.text = marked(question, ask)
    for phrase in (opening, conditions, periods, particular, measures, rankings, groupings, standing, leftovers):
        phrase(ask)
    return ask


def marked(question: str, ask: Ask) -> str:
    """The question with marks for names, times and quoted texts."""
    for text in quotes(question):
        ask.marks[f"Q{len(ask.marks)}"] = (text, f"'{text}'")
    for mark, (_, said) in list(ask.marks.items()):
        question = question.replace(said[1:-1], f" {mark} ", 1)
    words = [w.upper() if f"{w.upper()}" in ask.marks else w for w in spoken(QUOTED.sub(r" \2 ", question))]
    out: list[str] = []
    at = 0
    while at < len(words):
        for size in (4, 3, 2, 1):
            span = words[at : at + size]
            found = catalog.meant(span, ask.table) if len(span) == size and span[0] not in FILLER else None
            if found is not None:
                break
        unit = re.fullmatch(r"da(?:ys?|ily)|(?:week|month|quarter|year)(?:s|ly)?|annual(?:ly)?", words[at])
        if found == "T":
            ask.named, mark = ask.named or span[-1][:3] not in ("row", "rec", "ent"), "T"
        elif found is not None:
            mark = f"{catalog.kind(found)}{len(ask.marks)}"
            ask.marks[mark] = (found, " ".join(span))
        elif unit:
            base = {"dai": "day", "ann": "year"}.get(words[at][:3], re.sub("s$|ly$", "", words[at]))
            mark = f"U{len(ask.marks)}{base}"
            ask.marks[mark] = (base, words[at])
            mark = f"by {mark}" if words[at].endswith("ly") or base not in words[at] else mark
        else:
            mark = words[at]
        out.append(mark)
        at += size if found is not None else 1
    return " ".join(out)


def opening(ask: Ask) -> None:
    if found := ask.take(rf"(?:of )?({PRONOUNS})(?: (?:ones|T))?"):
        ask.pronoun = found[1]
    if ask.take(r"^(?:and )?(?:what|how) about|^and|^then") or ask.pronoun:
        ask.elliptic = True
    ask.take(r"in total|altogether|overall|are there|is there|please")
    ask.take(r"(?:across|in|over|of|for) (?:all|all the|all of the|all our) C\d+")


def conditions(ask: Ask) -> None:
    """Empty values, comparisons with a number, and a yes or no that stands before the table or after `are`."""
    some = r"(?:an? |any |the )?"
    empty = rf"(?:without|with no|with missing|have no|has no|had no|missing|lacking|no) {some}([CNBD]\d+)"
    while found := ask.take(empty) or ask.take(r"([CNBD]\d+) (?:is|are) (?:missing|empty|null)(?! \S)"):
        column = ask.column(found[1])
        test = f"nullif(trim({sql(column)}), '') IS NULL" if column.type == "VARCHAR" else f"{sql(column)} IS NULL"
        ask.tests[column.name] = (test, f"without {column.name}")
    adding = re.search(rf"\b{ADDING} (?:T )?N\d+ (?:is |are |of )*{THAN}", ask.text)
    verbs = r"(?:(?:that|which|is|are|was|were|of|with|worth|been) )*"
    while not adding and (
        found := ask.take(rf"(?:(?:with|where|whose|having|have|has|an?|the) )*(N\d+) {verbs}{THAN}(?! (?:T|[CNDBU]\d))")
    ):
        compare(ask, ask.column(found[1]), found[2], found[3])
    if not adding and money(ask.table) is not None and (
        found := ask.take(rf"(?P<keep>T) {verbs}{THAN}(?! (?:T|[CNDBU]\d))")
    ):
        compare(ask, money(ask.table), found[2], found[3])
    while found := ask.take(r"([CN]\d+) (?:is |= |of |equal to )?(\d+(?:\.\d+)?)(?! [CNDBTU])"):
        column = ask.column(found[1])
        value = literal(found[2]) if column.type == "VARCHAR" else found[2]
        ask.tests[column.name] = (f"{sql(column)} = {value}", f"{column.name} = {found[2]}")
    while found := ask.take(r"(B\d+)(?P<keep> T)") or ask.take(r"(?:are|is|were|was|be) (B\d+)(?! \S)"):
        column = ask.column(found[1])
        ask.tests[column.name] = (sql(column), column.name)


def compare(ask: Ask, column: Any, words: str, number: str) -> None:
    ask.tests[f"{column.name} {SIGNS[words]}"] = (
        f"{sql(column)} {SIGNS[words]} {number}",
        f"{column.name} {SIGNS[words]} {number}",
    )


def periods(ask: Ask) -> None:
    """A year, a month of a year, or the last or this one, of the date that is named before it."""
    year = next((c for c in ask.table.columns if tokens(c.name) == ["year"]), None)
    before = ask.text
    if found := ask.take(WHEN + r"(last|previous|this) U\d+(year|quarter|month)"):
        unit, back = found[4], found[3] != "this"
        start = Date(ask.today.year, {"year": 1, "quarter": (ask.today.month - 1) // 3 * 3 + 1}.get(unit, ask.today.month), 1)
        months = start.year * 12 + start.month - 1 - back * {"year": 12, "quarter": 3, "month": 1}[unit]
        start, sign = Date(months // 12, months % 12 + 1, 1), "="
    elif found := ask.take(WHEN.replace(" )?(?:the", " )(?:the") + r"(?:U\d+year )?" + PERIOD):
        unit, sign = "month" if found[3] else "year", SIGNS.get(found[2], "=")
        start = Date(int(found[4]), MONTHS.index(found[3]) + 1 if found[3] else 1, 1)
    else:
        return
    ask.moment = ask.column(found[1]) or catalog.date(ask.table)
    told = f"{'' if sign == '=' else sign + ' '}{str(start)[: 4 if unit == 'year' else 7]}"
    if ask.moment is not None:
        test = f"date_trunc('{unit}', {sql(ask.moment)}) {sign} DATE '{start}'"
        ask.tests["period"] = (test, f"{ask.moment.name} in {told}")
    elif year is not None and unit == "year":
        ask.tests["period"] = (f"TRY_CAST({sql(year)} AS INTEGER) {sign} {start.year}", f"{year.name} in {told}")
    else:
        ask.text = before


def particular(ask: Ask) -> None:
    """Questions of a kind of their own: duplicates, months without anything, what a table looks like."""
    if found := ask.take(rf"(?:look like |appear |exist )?(?:{SAME})") or ask.take(r"appear in more than one (?P<keep>C\d+)"):
        ask.kind = "duplicates"
        apart = ask.take(r"(?:across|in more than one|in several) (?:all )?(?:the )?(C\d+)|; (C\d+) ;")
        ask.of = ask.column(apart[1] or apart[2]) if apart else None
        ask.take("look like|possible|appear")
    elif ask.take(r"(?:which |what )?U\d+month (?:are |is |were )?missing|missing U\d+month|gaps?"):
        ask.kind = "months"
    elif ask.take(r"(?:describe|(?:which |what )?(?:columns?|fields) (?:of|in|do|does|are in)|structure of) (?:the )?T(?: table)?"):
        ask.kind = "columns"


def measures(ask: Ask) -> None:
    """What is counted or added up becomes M."""
    between = r"(?P<keep>(?: (?!(?:are|is|do|did|does|were|was|have|has|in|by|per|from|with|for|of)\b)\S+)*?)"
    count = rf"(?:how many|(?:the )?(?:total )?(?:number|count) of|count(?: the)?)(?: of the)?( different| distinct| unique)?{between}"
    if found := ask.take(rf"{count} (T|[CN]\d+)(?! (?:T|[CNDB]\d))"):
        column = ask.column(found[3] if found[3] != "T" else None)
        adds = column is not None and found[3][0] == "N"
        ask.fn, ask.of = ("sum" if adds else "count"), column
        ask.unused += [ask.marks[found[3]][1]] if adds and tokens(column.name)[-1] not in catalog.ADDS else []
        ask.text = f"M {ask.text}" if not found[1] or column is not None else f"{found[1]} {ask.text}"
    elif ask.take(r"how many(?: of (?:the T|T))?(?= (?:;|are|is|were|was|have|has|in|from|T)(?!\S))|counts?"):
        ask.fn, ask.elliptic = "count", True
    if not ask.fn and (found := ask.take(rf"{ADDING}(?: of)?(?: (?:the|all|our|did|we|is|was))*{between} (N\d+)")):
        ask.fn, ask.of = FUNCTIONS[found[1].split()[-1]], ask.column(found[3])
        ask.text = f"M {ask.text}"
    elif not ask.fn and (found := ask.take(rf"{ADDING}(?P<keep> T)?(?= ;| by| per| in|$)")):
        ask.fn, ask.of = FUNCTIONS[found[1].split()[-1]], money(ask.table) if "T" in found[0] else None


def rankings(ask: Ask) -> None:
    """Which group or which rows have the most or the least of something."""
    size, shown = r"(?: (\d{1,3}))?", r"(?:which|what|most common|most frequent)"
    top = ask.take(rf"(top|bottom){size} (C\d+|T)") or ask.take(rf"(most common|most frequent){size} (C\d+)")
    if top:
        ask.order, ask.size = ("ASC" if top[1] in LEAST else "DESC"), int(top[2] or 10)
        group = top[3]
    else:
        group = found[1] if (found := ask.take(rf"{shown} (?:the )?(?:\d+ )?(C\d+|U\d+\w+|T)(?! [CDB]\d)")) else ""
    ask.which = bool(group)
    if group and group != "T":
        group_by(ask, group)
    elif group:
        ask.kind = ask.kind or "rows"
    while found := ask.take(rf"(?:by|with|has|have|had|of|the) (?P<keep>(?:the )?{MOST}\b.*)"):
        pass
    if not top and not ask.kind and ask.take(r"(?:how often|most often|most frequently)"):
        ask.order, ask.fn = "DESC", "count"
    rank(ask)


def rank(ask: Ask) -> None:
    """`highest M`, `most T`, `largest N`, by what is grouped."""
    counted = bool(ask.groups or ask.unit)
    found = ask.take(rf"(?:the )?({MOST})(?: (?:the|T|;))* (N\d+)") or ask.take(rf"(?:the )?({MOST})(?: (?:T|M|;))*")
    if found is None:
        if ask.order and (by := ask.take(r"by (?:the )?(?:T )?(N\d+)")):
            measured(ask, by[1])
        return
    word, number = found[1], found[2] if found.re.groups > 1 else None
    if counted and number and not ask.fn and word not in ("most", "least"):
        ask.unused.append(f"{word} {ask.marks[number][1]} (its total, or its average?)")
    elif not counted and word not in ("most", "fewest", "least", "top", "bottom"):
        if number and ask.kind != "rows":
            ask.fn, ask.of = FUNCTIONS.get(word, "max"), ask.column(number)
            return
        ask.kind, ask.of = "rows", ask.column(number) or money(ask.table)
    elif not counted and not (ask.kind == "rows" and number):
        ask.unused.append(word)
    elif number:
        measured(ask, number)
    ask.order = "ASC" if word in LEAST else "DESC"


def measured(ask: Ask, mark: str) -> None:
    column = ask.column(mark)
    if ask.kind == "rows" or (not ask.fn and tokens(column.name)[-1] in catalog.ADDS):
        ask.fn, ask.of = ("" if ask.kind == "rows" else "sum"), column
    else:
        ask.unused.append(ask.marks[mark][1])


def groupings(ask: Ask) -> None:
    while found := ask.take(rf"(?:{BY}|compare|distribution of|breakdown of)((?: (?:the|and|their|its|T|M|;|{COLUMN}|U\d+\w+))+)"):
        for mark in re.findall(rf"{COLUMN}|U\d+\w+", found[1]):
            if mark[0] == "N" and ask.order:
                measured(ask, mark)
            elif mark[0] == "N":
                ask.unused.append(ask.marks[mark][1])
            else:
                group_by(ask, mark)
        if not re.search(rf"{COLUMN}|U\d|M|;", found[1]):
            ask.unused.append(f"{found[0].split()[0]} {tokens(ask.table.name)[-1]}")
    if ask.take(r"over time|trend(?: of)?|over the U\d+year") and not ask.unit:
        ask.unit = "month"
    if ask.unit and (found := ask.take(r"(?:of |by |on )?(?:the |their )?(D\d+)")):
        ask.moment = ask.column(found[1])
    if ask.unit and (ask.moment or catalog.date(ask.table)) is None:
        ask.unused.append(ask.unit)
    if ask.order and (len(ask.groups) + bool(ask.unit) != (ask.kind != "rows")):
        ask.unused.append("the most or the least of several groups")


def group_by(ask: Ask, mark: str) -> None:
    if mark[0] == "U":
        ask.unused += [ask.marks[mark][1]] if ask.unit else []
        ask.unit = ask.marks[mark][0]
    else:
        ask.groups[sql(ask.column(mark))] = ask.column(mark).name


def standing(ask: Ask) -> None:
    """A number without a function is added up if it can be; a list is of rows; else rows are counted."""
    own = catalog.date(ask.table)
    for mark in re.findall(r"D\d+", ask.text):
        if own is not None and ask.column(mark) == own and ask.take(mark):
            ask.tests.setdefault(own.name, (f"{sql(own)} IS NOT NULL", f"with {own.name}"))
    bare = re.findall(r"N\d+", ask.text)
    if len(bare) == 1 and not ask.fn and not ask.kind and tokens(ask.column(bare[0]).name)[-1] in catalog.ADDS:
        ask.take(bare[0])
        ask.fn, ask.of = "" if ask.elliptic else "sum", ask.column(bare[0])
    listed = ask.take(r"show|list|display|examples? of|sample of")
    if not ask.fn and not ask.kind and not ask.elliptic and (listed or ask.which or ask.named):
        ask.kind, ask.fn = ("rows", "") if listed and not (ask.groups or ask.unit) else ("", "count")
    if ask.kind in ("months", "columns", "duplicates"):
        fits = not ask.groups or (ask.kind == "months" and list(ask.groups.values()) == ["silo"])
        ask.unused += [] if fits and not ask.unit and not ask.fn else ["how many, or by what"]
        ask.unused += [words for _, words in ask.tests.values() if ask.kind != "duplicates"]


def leftovers(ask: Ask) -> None:
    """What no phrase used: words that may be values of the data, and those that can't be used at all."""
    run: list[str] = []
    hint = ""
    found: list[tuple[str, str]] = []

    def close() -> None:
        nonlocal run, hint
        if run:
            found.append((" ".join(run), hint))
        run, hint = [], ""

    for mark in [*ask.text.split(), ";"]:
        column, said = ask.marks.get(mark, (None, mark))
        if mark[0] == "C" and column in catalog.texts(ask.table):
            if run and not hint:
                hint = column.name
                close()
            elif re.search(rf"{mark} (?:(?:is|are|was|=|of|named|called|the) )*(?:Q\d+|(?!(?:{'|'.join(FILLER)}) )[a-z])", ask.text + " "):
                close()
                hint = column.name
            else:
                close()
                ask.unused.append(said)
        elif mark[0] == "Q":
            close_hint = hint
            run = run or []
            close()
            found.append((column, close_hint))
        elif mark in (";", "T", "M") or mark in FILLER:
            if run or mark not in FILLER:
                close()
        elif mark in OPERATORS or not re.match(r"\w", mark) or (said.isdigit() and not run and not hint):
            close()
            ask.unused.append(said)
        else:
            run += said.split()
    ask.values = (tuple(found),) if found else ()
    if ask.kind in ("months", "columns"):
        ask.unused += [words for words, _ in found]
