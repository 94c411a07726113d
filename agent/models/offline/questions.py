"""From what is asked to code: which table, which rows, and the SQL that is run over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date as Date
from typing import Any

from agent.models.offline.catalog import date, full, literal, money, quoted, sql, texts
from agent.models.offline.phrases import Ask, read
from agent.models.offline.words import tokens

KEYS = ("tax", "vat", "email", "phone", "isbn", "iban", "number")
YES_OR_NO = "('yes', 'no', 'y', 'n', 'true', 'false', '0', '1')"
LEGAL = r"\b(inc|incorporated|ltd|limited|llc|corp|corporation|co|company|gmbh|plc)\b|[^a-z0-9 ]"
PER_COLUMN = """SELECT {name} AS column_name, {type} AS type, count(DISTINCT {column}) AS different, \
count(*) - count({column}) AS missing FROM {table} AS t"""
MONTHS = """\
WITH m AS (SELECT {silo} AS silo, {month} AS month FROM {table} AS t)
SELECT silo, missing_month FROM (SELECT DISTINCT silo FROM m),
    (SELECT unnest(generate_series(min(month), max(month), INTERVAL 1 MONTH))::DATE AS missing_month FROM m)
EXCEPT SELECT silo, month FROM m ORDER BY 1, 2"""
CODE = """\
answer = execute_sql({sql}, preview_rows=40)
rows = [dict(zip(answer.columns, row)) for row in answer.rows[:80 // len(answer.columns) + 1]]
result = {{"row_count": answer.row_count, "rows": rows}}"""
FIND = """\
asked = {asked!r}
found = execute_sql({lookup}, preview_rows=500).rows
tests, unknown = {{}}, []
for turn in asked:
    new = {{}}
    for words, named in turn:
        while words:
            ends = [size for size in range(len(words), 0, -1) if any(row[0] == " ".join(words[:size]) for row in found)]
            phrase = " ".join(words[:ends[0] if ends else 1])
            places = [row[1:] for row in found if row[0] == phrase and named in ("", row[1])]
            words = words[len(phrase.split()):]
            if len(places) == 1 and places[0][0] not in new:
                new[places[0][0]] = places[0][1]
            else:
                unknown.append(phrase)
    tests |= new
where = " AND ".join([f"lower(trim({{column}})) = '" + value.replace("'", "''") + "'" for column, value in tests.items()])
if unknown:
    result = {{"not_found": unknown}}
else:
    answer = execute_sql({sql}.replace("/* found */", where), preview_rows=40)
    rows = [dict(zip(answer.columns, row)) for row in answer.rows[:80 // len(answer.columns) + 1]]
    said = ", ".join(f"{{column[2:]}} = {{value}}" for column, value in tests.items())
    result = {{"only": said, "row_count": answer.row_count, "rows": rows}}"""


def understand(question: str, tables: Sequence[Any], before: Ask | None, today: Date) -> Ask | None:
    """What is asked, of the table that leaves the fewest words unused; None without tables."""
    asks = [read(question, table, today) for table in tables]
    if not asks:
        return None

    def left(ask: Ask) -> tuple[int, bool]:
        return len(ask.unused) + sum(len(words.split()) for words, _ in sum(ask.values, ())), not ask.named

    last = before.table if before else None
    best = min(asks, key=lambda ask: (*left(ask), ask.table != last, *rank(ask.table)))
    own = next((ask for ask in asks if ask.table == last), None)
    if before and own and not (best.named and best.complete and not best.pronoun) and (own.elliptic or not own.complete or own.kind == "rows"):
        return joined(before, own)
    best.unused += [best.pronoun] if best.pronoun else []
    rivals = [a for a in asks if (*left(a), *rank(a.table)) == (*left(best), *rank(best.table)) and best.table != last]
    if len(rivals) > 1 and not best.unused:
        best.unused.append("which table: " + ", ".join(f"{a.table.schema}.{a.table.name}" for a in rivals[:6]))
    return settled(best)


def rank(table: Any) -> tuple[bool, bool]:
    """One's own files come first, and then what puts several schemas together."""
    return table.source == "sample", not table.schema.startswith("all")


def joined(before: Ask, own: Ask) -> Ask:
    """A follow-up changes what it names; the rest is as before."""
    if before.kind not in ("", "rows") or (before.kind == "rows" and (own.groups or own.unit or own.fn)):
        own.unused.append("what came before, which was of another kind")
    if own.kind not in ("", before.kind):
        own.unused.append(own.kind)
    if own.of is not None and not own.fn:
        own.fn = before.fn if before.fn != "count" else "sum"
    if own.fn not in ("", "count") and own.of is None:
        own.of = before.of
    grouped = bool(own.groups or own.unit)
    kept = own if own.fn else before
    order = own if own.order or grouped else before
    ask = replace(
        own, kind=before.kind, fn=kept.fn, of=kept.of, order=order.order, size=order.size,
        groups=own.groups if grouped else before.groups, unit=own.unit if grouped else before.unit,
        moment=own.moment or before.moment, tests=before.tests | own.tests, values=before.values + own.values,
        unused=[*before.unused, *own.unused], named=True, elliptic=False,
    )  # fmt: skip
    return settled(ask)


def settled(ask: Ask) -> Ask:
    """With what makes no question: nothing asked, or a function of nothing."""
    if not ask.unused and not ask.complete:
        ask.unused.append(f"{ask.fn} of what" if ask.fn else "what to count or add up")
    if ask.values and not texts(ask.table):
        ask.unused += [words for words, _ in sum(ask.values, ())]
    return ask


def code(ask: Ask, query: str) -> str:
    """Python that runs the query; words that may be values of the data are looked up first, in the same delegation."""
    shown = repr(query) if '"""' in query else f'r"""\n{query}\n"""'
    if not ask.values:
        return CODE.format(sql=shown)
    asked = [[(words.lower().split(), f't.{quoted(named)}' if named else "") for words, named in turn] for turn in ask.values]
    runs = [words for turn in asked for words, _ in turn]
    spans = {" ".join(run[a:b]) for run in runs for a in range(len(run)) for b in range(a + 1, len(run) + 1)}
    forms = {form: span for span in sorted(spans) for form in (f"{span}s", span.removesuffix("s"), span)}
    words = ", ".join(f"({literal(span)}, {literal(form)})" for form, span in forms.items())
    parts = [
        f"SELECT said, {literal(sql(column))} AS place, form FROM w JOIN (SELECT DISTINCT lower(trim({sql(column)})) AS form\n"
        f"    FROM {full(ask.table)} AS t) USING (form)"
        for column in texts(ask.table)
    ]
    lookup = f"WITH w(said, form) AS (VALUES {words})\n" + "\nUNION ALL ".join(parts)
    return FIND.format(asked=asked, lookup=f'r"""\n{lookup}\n"""', sql=shown)


def queries(ask: Ask) -> dict[str, str]:
    """SQL by what it finds out, two when one is not enough."""
    makers = {"duplicates": duplicates, "months": months, "columns": columns, "rows": rows}
    return makers.get(ask.kind, summary)(ask)


def query(ask: Ask, title: str, fields: Sequence[str], tail: str) -> dict[str, str]:
    tests = [test for test, _ in ask.tests.values()] + ["/* found */"] * bool(ask.values)
    where = f"WHERE {' AND '.join(tests)}\n" if tests else ""
    select = f"SELECT {', '.join(fields)}\nFROM {full(ask.table)} AS t\n{where}{tail}"
    told = "; ".join([title, *(words for _, words in ask.tests.values())])
    return {f"{ask.table.schema}.{ask.table.name}: {told}": select.rstrip()}


def moment(ask: Ask, unit: str) -> str:
    at = sql(ask.moment or date(ask.table))
    return f"year({at})" if unit == "year" else f"date_trunc('{unit}', {at})::DATE"


def summary(ask: Ask) -> dict[str, str]:
    """Counts, sums, ... by group or time, the top ones first."""
    times = {moment(ask, ask.unit): ask.unit} if ask.unit else {}
    groups = times | ask.groups
    of = sql(ask.of) if ask.of is not None else "*"
    value = (f"count(DISTINCT {of})" if of != "*" else "count(*)") if ask.fn == "count" else f"round({ask.fn}({of}), 2)"
    if ask.fn == "count" and ask.of in texts(ask.table):
        value = f"CASE WHEN bool_and(lower({of}) IN {YES_OR_NO}) THEN error('{ask.of.name} is yes or no') ELSE {value} END"
    name = "number" if of == "*" else "_".join([ask.fn, *tokens(ask.of.name)])
    fields = [*(f"{by} AS {quoted(group)}" for by, group in groups.items()), f"{value} AS {name}"]
    best = f"{name} {ask.order or 'DESC'} NULLS LAST, 1"
    order = ("1" if times and not ask.order else best) + (f"\nLIMIT {ask.size}" if ask.size else "")
    about = f" of {(ask.moment or date(ask.table)).name}" if times else ""
    return query(ask, " by ".join([name, *groups.values()]) + about, fields, f"GROUP BY ALL\nORDER BY {order}" if groups else "")


def rows(ask: Ask) -> dict[str, str]:
    by = ask.of or money(ask.table)
    order = f"ORDER BY {sql(by)} {ask.order} NULLS LAST, 1" if ask.order and by is not None else ""
    title = f"rows by {by.name}" if order else "rows"
    return query(ask, title, ["*"], order + (f"\nLIMIT {ask.size}" if ask.size else ""))


def first(ask: Ask, *parts: str) -> str:
    return next((sql(c) for part in parts for c in ask.table.columns if part in tokens(c.name)), "")


def duplicates(ask: Ask) -> dict[str, str]:
    """By a key that should be unique and by the name spelled plainly; else rows that are equal but for the id."""
    key, name, apart = first(ask, *KEYS), first(ask, "name"), ask.of or next((c for c in ask.table.columns if c.name == "silo"), None)
    label = f"{name or first(ask, 'id') or 'NULL'}::VARCHAR"
    fields = ["count(*) AS records", *([f"count(DISTINCT {sql(apart)}) AS {quoted(apart.name)}s"] if apart else [])]
    fields.append(f"string_agg(DISTINCT {label}, ' | ' ORDER BY {label}) AS names")
    over = f"count(DISTINCT {sql(ask.of)})" if ask.of is not None else "records"
    tail = f"GROUP BY 1\nHAVING {over} > 1 AND shared IS NOT NULL\nORDER BY records DESC, 1"
    spelled = f"trim(regexp_replace(lower({name}), '{LEGAL}', '', 'g'))" if name else ""
    rest = ", ".join(sql(c) for c in ask.table.columns if sql(c) != first(ask, "id")) or "t"
    shared = [why for why in ((key, f"the same {key[2:]}"), (spelled, f"nearly the same {name[2:]}")) if why[0]]
    made = [
        query(ask, f"groups with {why}", [f"{by} AS shared", *fields], tail)
        for by, why in shared or [(f"row({rest})", "the same values but for the id")]
    ]
    return made[0] | made[-1]


def months(ask: Ask) -> dict[str, str]:
    text = MONTHS.format(silo=first(ask, "silo") or "'all'", month=moment(ask, "month"), table=full(ask.table))
    return {f"{ask.table.schema}.{ask.table.name}: months without any": text}


def columns(ask: Ask) -> dict[str, str]:
    """How many different values each column has, and in how many rows it has none."""
    parts = [
        PER_COLUMN.format(name=literal(c.name), type=literal(c.type), column=sql(c), table=full(ask.table))
        for c in ask.table.columns[:40]
    ]
    return {f"{ask.table.schema}.{ask.table.name}: columns": "\nUNION ALL ".join(parts) + "\nORDER BY missing DESC, 1"}
