"""What a question asks of one table. Each word is used by one phrase; what no phrase uses is kept, to be told.

Words that mean the table become `T`, columns `N1`, `D1`, `B1` or `C1` by kind, units of time `U1month`, quoted texts
`Q1`, what is counted or added up `M`; phrases are patterns over these. A phrase that was used leaves a `;`.
"""

import re
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from agent.models.offline import catalog
from agent.models.offline.catalog import money, sql
from agent.models.offline.words import FILLER, OPERATORS, PRONOUNS, quotes, spoken, tokens

UNITS = {f"{unit}{more}": unit for unit in ("day", "week", "month", "quarter", "year") for more in ("", "s", "ly")}
UNITS |= {"daily": "day", "annual": "year", "annually": "year"}
ADDING = {
    "average": "avg",
    "mean": "avg",
    "avg": "avg",
    "median": "median",
    "total": "sum",
    "sum": "sum",
    "much": "sum",
}
ADD = rf"(?:how )?({'|'.join(ADDING)})"
LEAST = ("fewest", "least", "lowest", "smallest", "bottom", "minimum", "min")
COUNTS = ("most", "fewest", "least")
MOST = rf"(most|highest|largest|biggest|greatest|maximum|max|{'|'.join(LEAST)})"
BY = r"(?:by|per|for each|in each|each|every|broken down by|grouped by|split by|compare|distribution of|breakdown of)"
GROUP = r"[CNB]\d+|U\d+\w+"
SIGNS = {"over": ">", "above": ">", "more than": ">", "greater than": ">", "at least": ">=", "at most": "<="}
SIGNS |= {"under": "<", "below": "<", "less than": "<"}
SINCE = {"since": ">=", "after": ">", "before": "<"}
IN = r"(?:(?P<date>D\d+) )?(?P<how>in|during|of|for|from|since|after|before) (?:the )?(?:U\d+year )?"
MONTHS = "january february march april may june july august september october november december".split()  # noqa: SIM905
LATE = r"(?! (?:on|onwards?|to|until|through|and (?:19|20)|[NCDT]))"
PERIOD = rf"{IN}(?:(?P<month>{'|'.join(MONTHS)}) )?(?P<year>(?:19|20)\d\d){LATE}"
RECENT = rf"(?:{IN})?(?:the )?(?P<back>last|previous|this) U\d+(?P<unit>year|month)"
SIGN = rf"(?: (?:that|which|is|are|was|were|of|with|worth|;))* (?P<sign>{'|'.join(SIGNS)})"
NO = r"without|with no|have no|has no|had no|missing|lacking|no"
CONDITIONS = (
    (rf"(?:{NO}) (?:an? |any |the )?(?P<mark>[CNBD]\d+)", "nullif({sql}::VARCHAR, '') IS NULL", "without {name}"),
    (
        rf"(?:(?:with|where|having|have|has|an?|the) )*(?P<mark>N\d+){SIGN} (?P<number>NUMBER)",
        "{sql} {sign} {number}",
        "",
    ),
    (rf"(?P<mark>T){SIGN} (?P<number>NUMBER)", "{sql} {sign} {number}", ""),
    (r"(?P<mark>[CN]\d+) (?:is |= |of |equal to )?(?P<number>NUMBER)", "{sql} = '{number}'", "{name} = {number}"),
    (r"(?P<mark>B\d+)(?: ;)*(?= T(?!\S))|(?:are|is|were|was) (?P<last>B\d+)(?! \S)", "{sql}", "{name}"),
)
"""Which rows are meant: the phrase, its SQL and, where they differ, its words."""


@dataclass
class Ask:
    """`tests` are conditions by what they are about, each with its words; `values` words that may be values of the
    data, by turn, each with the column that was named beside it; `unused` what can't be used at all.
    """

    table: Any
    today: date
    text: str = ""
    marks: dict[str, tuple[Any, str]] = field(default_factory=dict)
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
    order: str = ""
    size: int | None = None
    tests: dict[str, tuple[str, str]] = field(default_factory=dict)
    values: tuple[tuple[tuple[str, str], ...], ...] = ()
    unused: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return bool(self.kind or (self.fn and (self.of is not None or self.fn == "count")))

    def take(self, pattern: str) -> re.Match[str] | None:
        """Use the first phrase like this; its group `keep` stays to be used by others."""
        if found := re.search(rf"(?<!\S)(?:{pattern})(?!\S)", self.text):
            left = f" ; {found.groupdict().get('keep') or ''} ; "
            self.text = " ".join(f"{self.text[: found.start()]}{left}{self.text[found.end() :]}".split())
        return found

    def column(self, mark: str | None) -> Any:
        return self.marks[mark][0] if mark else None


def read(question: str, table: Any, today: date) -> Ask:
    ask = Ask(table, today)
    ask.text = marked(question, ask)
    for phrase in (opening, measure, conditions, period, particular, ranking, grouping, default, leftovers):
        phrase(ask)
    return ask


def marked(question: str, ask: Ask) -> str:
    """The question with marks for names, units of time and quoted texts."""
    for said in quotes(question):
        ask.marks[f"Q{len(ask.marks)}"] = (said, said)
        question = question.replace(said, f" q{len(ask.marks) - 1} ", 1)
    words, out = [w.upper() if w.upper() in ask.marks else w for w in spoken(question.lower().replace("_", " "))], []
    while words:
        spans = [words[:size] for size in (4, 3, 2, 1) if size <= len(words) and words[0] not in FILLER]
        found, span = next(((f, s) for s in spans if (f := catalog.meant(s, ask.table)) is not None), (None, words[:1]))
        mark, words, unit = span[0], words[len(span) :], UNITS.get(span[0])
        if found == "T":
            mark, ask.named = "T", ask.named or mark not in ("row", "rows", "entry", "entries")
        elif found is not None or unit:
            mark = f"{catalog.kind(found) if found is not None else 'U'}{len(ask.marks)}{unit if found is None else ''}"
            ask.marks[mark] = (unit if found is None else found, " ".join(span))
            mark = f"by {mark}" if found is None and span[0] not in (unit, f"{unit}s") else mark
        out.append(mark)
    return " ".join(out)


def opening(ask: Ask) -> None:
    if found := ask.take(rf"(?:of )?({PRONOUNS})(?: (?:ones|T))?"):
        ask.pronoun = found[1]
    ask.elliptic = bool(ask.take(r"^(?:and )?(?:what|how) about|^and|^then") or ask.pronoun)
    ask.take(r"in total|altogether|are there|is there")
    ask.take(r"(?:across|in|over|of|for) all(?: the| of the| our)? C\d+")


def conditions(ask: Ask) -> None:
    """Empty values, comparisons with a number, and a yes or no before the table or after `are`."""
    for pattern, condition, told in CONDITIONS:
        while found := ask.take(pattern.replace("NUMBER", r"\d+(?:\.\d+)?(?! (?:T|[CNDBU]\d))")):
            parts = found.groupdict()
            column = money(ask.table) if parts["mark"] == "T" else ask.column(parts["mark"] or parts["last"])
            if column is None:
                ask.unused.append(found[0])
                return
            said = {"name": column.name, "sign": SIGNS.get(parts.get("sign") or ""), "number": parts.get("number")}
            told = (told or "{name} {sign} {number}").format(**said)
            ask.tests[f"{column.name} {said['sign']}"] = (condition.format(sql=sql(column), **said), told)


def period(ask: Ask) -> None:
    """A year, a month of a year, or the last or this one, of the date that is named before it."""
    if found := ask.take(RECENT):
        unit, back = found["unit"], found["back"] != "this"
        count = (ask.today.year - back) * 12 if unit == "year" else ask.today.year * 12 + ask.today.month - 1 - back
        start = date(count // 12, count % 12 + 1, 1)
    elif found := ask.take(PERIOD):
        unit = "month" if found["month"] else "year"
        start = date(int(found["year"]), MONTHS.index(found["month"]) + 1 if found["month"] else 1, 1)
    else:
        return
    sign = SINCE.get(found["how"] or "", "=")
    told = f"{'in' if sign == '=' else sign} {str(start)[: 4 if unit == 'year' else 7]}"
    year = next((c for c in ask.table.columns if tokens(c.name) == ["year"] and unit == "year"), None)
    ask.moment = ask.column(found["date"]) or catalog.date(ask.table)
    if ask.moment is not None:
        condition = f"date_trunc('{unit}', {sql(ask.moment)}) {sign} DATE '{start}'"
        ask.tests["period"] = (condition, f"{ask.moment.name} {told}")
    elif year is not None:
        ask.tests["period"] = (f"TRY_CAST({sql(year)} AS INTEGER) {sign} {start.year}", f"{year.name} {told}")
    else:
        ask.unused.append(told)


def particular(ask: Ask) -> None:
    """Questions of a kind of their own: duplicates, and months without anything."""
    found = ask.take(r"appear in more than one (C\d+)")
    if found or ask.take(r"appear (?:more than once|twice)|duplicated?s?"):
        across = found or ask.take(r"(?:across|in more than one|in several) (?:all )?(?:the )?(C\d+)")
        ask.kind, ask.of = "duplicates", ask.column(across[1]) if across else None
        ask.take("look like|possible")
    elif ask.take(r"(?:which |what )?U\d+month (?:are |is |were )?missing|missing U\d+month|gaps?"):
        ask.kind = "months"


def measure(ask: Ask) -> None:
    """What is counted or added up becomes M."""
    keep = r"(?P<keep>(?: (?!(?:are|is|do|did|does|were|was|have|has|in|by|per|from|with|for|of)\b)\S+)*?)"
    count = r"(?:how many|(?:the )?(?:total )?(?:number|count) of|count(?: the)?)"
    if found := ask.take(
        rf"{count}( different| distinct| unique)?{keep}(?:(?= T(?!\S| [TCNDB]\b| [CNDB]\d))| ([CN]\d+)(?! [TCNDB]))"
    ):
        ask.of, number = ask.column(found[3]), (found[3] or "T")[0] == "N"
        ask.fn = "sum" if number else "count"
        ask.unused += [found[1].strip()] if found[1] and ask.of is None else []
        ask.unused += [ask.of.name] if number and tokens(ask.of.name)[-1] not in catalog.ADDS else []
    elif ask.take(r"how many(?= (?:;|are|is|were|was|have|has|in|from)(?!\S))|counts?"):
        ask.fn, ask.elliptic = "count", True
    elif found := ask.take(rf"{ADD}(?: of)?(?: (?:the|all|our|did|we|is|was))*{keep} (N\d+)"):
        ask.fn, ask.of = ADDING[found[1]], ask.column(found[3])
    elif found := ask.take(rf"{ADD}(?P<keep> T)?(?= ;| by| per| in|$)"):
        ask.fn, ask.of = ADDING[found[1]], money(ask.table) if found["keep"] else None
    ask.text = f"M {ask.text}" if ask.fn else ask.text


def ranking(ask: Ask) -> None:
    """Which group has the most or the least of something; the highest or lowest number."""
    top = r"(?P<end>top|bottom|most common|most frequent)(?: (?P<size>\d{1,3}))?"
    if found := ask.take(rf"(?:{top}|which|what) (?:the )?(?P<mark>C\d+|U\d+\w+|T)(?! [CDB]\d)"):
        ask.which, ask.kind = True, ask.kind or ("rows" if found["mark"] == "T" else "")
        group_by(ask, [found["mark"]])
        if found["end"]:
            ask.order, ask.size = ("ASC" if found["end"] in LEAST else "DESC"), int(found["size"] or 10)
    best = ask.take(rf"(?:(?:by|with|has|have|had|of|the) )*{MOST}(?: (?:the|T|M|;|often|frequently))*(?: (N\d+))?")
    grouped, bare = bool(ask.groups or ask.unit), re.findall(r"N\d+", ask.text)
    if best is None:
        return
    number = ask.column(best[2] or (bare[0] if len(bare) == 1 and ask.take(bare[0]) else None))
    ask.order = "ASC" if best[1] in LEAST else "DESC"
    if grouped and best[1] in COUNTS:
        ask.fn = ask.fn or ("" if number else "count")
        add_up(ask, number)
    elif not grouped and number is not None and best[1] not in COUNTS and not ask.kind and not ask.fn:
        ask.fn, ask.of, ask.order = ("min" if best[1] in LEAST else "max"), number, ""
    elif not grouped or number is not None or not ask.fn:
        ask.unused.append(best[1] + (f" {number.name}: its total, or its average" if grouped and number else ""))


def add_up(ask: Ask, number: Any) -> None:
    """Groups go by the number's sum, if it is something that adds up."""
    if number is not None and not ask.fn and not ask.kind and tokens(number.name)[-1] in catalog.ADDS:
        ask.fn, ask.of = "sum", number
    elif number is not None:
        ask.unused.append(number.name)


def group_by(ask: Ask, marks: list[str]) -> None:
    for mark in marks:
        if mark[0] == "U":
            ask.unused += [ask.marks[mark][1]] if ask.unit else []
            ask.unit = ask.marks[mark][0]
        elif mark[0] == "N":
            add_up(ask, ask.column(mark)) if ask.order else ask.unused.append(ask.marks[mark][1])
        elif mark != "T":
            ask.groups[sql(ask.column(mark))] = ask.column(mark).name


def grouping(ask: Ask) -> None:
    while found := ask.take(rf"{BY}((?: (?:the|and|T|M|;|{GROUP}))+)"):
        group_by(ask, re.findall(GROUP, found[1]))
        if not re.search(r"\d", found[1]) and not (ask.fn and ask.order):
            ask.unused.append(found[0].split()[0])
    if ask.take(r"over time|trend(?: of)?") and not ask.unit:
        ask.unit = "month"
    if ask.unit and (found := ask.take(r"(?:of |by |on )?(?:the )?(D\d+)")):
        ask.moment = ask.column(found[1])
    ask.unused += [ask.unit] if ask.unit and (ask.moment or catalog.date(ask.table)) is None else []
    groups = len(ask.groups) + bool(ask.unit)
    if (ask.order and groups != 1) or (ask.kind == "rows" and (groups or ask.fn)):
        ask.unused.append("the most or the least of several groups")


def default(ask: Ask) -> None:
    """A number without a function is added up if it can be; a list is of rows; else rows are counted."""
    own, bare = catalog.date(ask.table), re.findall(r"N\d+", ask.text)
    for mark in re.findall(r"D\d+", ask.text):
        if ask.column(mark) == own and ask.take(mark):
            ask.tests.setdefault(own.name, (f"{sql(own)} IS NOT NULL", f"with {own.name}"))
    if len(bare) == 1 and not ask.fn and not ask.kind and tokens(ask.column(bare[0]).name)[-1] in catalog.ADDS:
        ask.take(bare[0])
        ask.fn, ask.of = "" if ask.elliptic else "sum", ask.column(bare[0])
    listed = ask.take(r"show|list|display|examples? of")
    if not ask.fn and not ask.kind and not ask.elliptic and (listed or ask.which or ask.named):
        ask.kind, ask.fn = ("rows", "") if listed and not (ask.groups or ask.unit) else ("", "count")
    if ask.kind in ("months", "duplicates"):
        by_silo = ask.kind == "months" and list(ask.groups.values()) == ["silo"]
        ask.unused += ["how many, or by what"] if ask.fn or ask.unit or (ask.groups and not by_silo) else []
    if ask.kind == "months":
        ask.unused += [told for _, told in ask.tests.values()]
        ask.unused += ["months"] if own is None else []


def leftovers(ask: Ask) -> None:
    """What no phrase used: words that may be values of the data, and those that can't be used at all."""
    plain = [";" if mark in ("T", "M") or mark in FILLER else mark for mark in ask.text.split()]
    columns = {mark: ask.column(mark) for mark in plain if mark in ask.marks}
    found, beside = list[tuple[str, str]](), list[str]()
    for run in " ".join(plain).split(";"):
        names = [mark for mark in run.split() if columns.get(mark) in catalog.texts(ask.table)]
        words = [ask.marks.get(mark, (0, mark))[1] for mark in run.split() if mark not in names]
        signs = [word for word in words if word in OPERATORS or not re.match(r"\w", word)]
        words = [word for word in words if word not in signs]
        beside += names
        if not beside and "".join(words).isdigit():
            signs, words = [*signs, *words], []
        ask.unused += signs
        if words:
            ask.unused += [ask.marks[name][1] for name in beside[:-1]]
            found.append((" ".join(words), columns[beside[-1]].name if beside else ""))
            beside = []
    ask.unused += [ask.marks[name][1] for name in beside]
    ask.values = (tuple(found),) if found else ()
    ask.unused += [words for words, _ in found if ask.kind == "months"]
