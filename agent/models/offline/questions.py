"""From what is asked to code: which table, which rows, and the SQL that is run over them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from agent.models.offline import catalog
from agent.models.offline.catalog import full, literal, quote, sql, texts
from agent.models.offline.phrases import Ask, read
from agent.models.offline.words import tokens

KEYS = ("tax", "vat", "email", "phone", "isbn", "iban", "number")
LEGAL = r"\b(inc|incorporated|ltd|limited|llc|corp|corporation|co|company|gmbh|plc)\b|[^a-z0-9 ]"
YES_OR_NO = "('yes', 'no', 'y', 'n', 'true', 'false', '0', '1')"
MONTHS = """\
WITH m AS (SELECT {silo} AS silo, {month} AS month FROM {table} AS t)
SELECT silo, missing_month FROM (SELECT DISTINCT silo FROM m),
    (SELECT unnest(generate_series(min(month), max(month), INTERVAL 1 MONTH))::DATE AS missing_month FROM m)
EXCEPT SELECT silo, month FROM m ORDER BY 1, 2"""
DIFFERENT = "SELECT DISTINCT {name}, lower(trim({column})) AS v FROM {table} AS t"
FORMS = "SELECT * FROM ({parts})\nWHERE v IN ({forms})"
CODE = """\
answer = execute_sql({sql}, preview_rows=40)
rows = [dict(zip(answer.columns, row)) for row in answer.rows[:80 // len(answer.columns) + 1]]
result = {{"row_count": answer.row_count, "rows": rows}}"""
FIND = """\
found = execute_sql({lookup}, preview_rows=500).rows
tests, unknown = {{}}, []
for turn in {asked!r}:
    new = {{}}
    for words, column in turn:
        whole, places = " ".join(words), {{}}
        for said in [whole, *words]:
            forms = (said, said + "s", said.removesuffix("s"))
            places[said] = [row for row in found if row[1] in forms and column in ("", row[0])]
        for said in [whole] if places[whole] else words:
            unknown += [said] if len(places[said]) != 1 or places[said][0][0] in new else []
            new |= dict(places[said])
    tests |= new
where = " AND ".join(f"lower(trim({{c}})) = '" + value.replace("'", "''") + "'" for c, value in tests.items())
"""
FOUND = """
only = ", ".join(column.removeprefix("t.") + " = " + value for column, value in tests.items())
result = {"not_found": unknown} if unknown else {"only": only, **result}"""


def understand(question: str, tables: Sequence[Any], before: Ask | None, today: date) -> Ask:
    """What is asked, of the table that leaves the fewest words unused."""
    asks, last = [read(question, table, today) for table in tables], before.table if before else None

    def fit(ask: Ask) -> tuple[Any, ...]:
        """The less the better. One's own files come first, and then what puts several schemas together."""
        left = len(ask.unused) + len(" ".join(words for turn in ask.values for words, _ in turn).split())
        return (
            left,
            not ask.named,
            ask.table != last,
            getattr(ask.table, "source", "") == "sample",
            not ask.table.schema.startswith("all"),
        )

    best = min(asks, key=fit)
    own = next((ask for ask in asks if ask.table == last), None)
    fresh = best.named and best.complete and not best.pronoun
    if before and own and not fresh and (own.elliptic or not own.complete or own.kind == "rows"):
        best = join(before, own)
    elif best.pronoun:
        best.unused.append(best.pronoun)
    rivals = [f"{ask.table.schema}.{ask.table.name}" for ask in asks if fit(ask) == fit(best)]
    if len(rivals) > 1 and not best.unused:
        best.unused.append(f"which table: {', '.join(rivals[:6])}")
    if not best.unused and not best.complete:
        best.unused.append(f"{best.fn} of what" if best.fn else "what to count or add up")
    if best.unused or not texts(best.table):
        best.unused += [words for turn in best.values for words, _ in turn]
    return best


def join(before: Ask, own: Ask) -> Ask:
    """A follow-up changes what it names; the rest is as before."""
    grouped = bool(own.groups or own.unit)
    unused = [*before.unused, *own.unused, *([own.kind] if own.kind not in ("", before.kind) else [])]
    unused += ["what came before, which was of another kind"] if before.kind else []
    fn = own.fn or (before.fn if own.of is None or before.fn != "count" else "sum")
    of = own.of if own.of is not None or own.fn == "count" else before.of
    by, order = own if grouped else before, own if own.order or grouped else before
    return replace(
        own, kind=before.kind, fn=fn, of=of, order=order.order, size=order.size, groups=by.groups, unit=by.unit,
        moment=own.moment or before.moment, tests=before.tests | own.tests, values=before.values + own.values,
        unused=unused, named=True, elliptic=False,
    )  # fmt: skip


def code(ask: Ask, query: str) -> str:
    """Python that runs the query; words that may be values of the data are looked up first, in the same delegation."""
    shown = repr(query) if '"""' in query else f'r"""\n{query}\n"""'
    if not ask.values:
        return CODE.format(sql=shown)
    columns = {column.name: sql(column) for column in texts(ask.table)}
    asked = [[(words.lower().split(), columns.get(named, "")) for words, named in turn] for turn in ask.values]
    runs = [words for turn in asked for words, _ in turn]
    spans = {span for words in runs for span in [" ".join(words), *words]}
    forms = ", ".join(literal(form) for span in sorted(spans) for form in (span, f"{span}s", span.removesuffix("s")))
    parts = (DIFFERENT.format(name=literal(c), column=c, table=full(ask.table)) for c in columns.values())
    lookup = FORMS.format(parts="\n  UNION ALL ".join(parts), forms=forms)
    found = FIND.format(asked=asked, lookup=repr(lookup) if '"""' in lookup else f'r"""\n{lookup}\n"""')
    return found + CODE.format(sql=f'{shown}.replace("/* found */", where or "false")') + FOUND


def queries(ask: Ask) -> dict[str, str]:
    """SQL by what it finds out, two when one is not enough."""
    if ask.kind == "months":
        silo = next((sql(c) for c in ask.table.columns if c.name == "silo"), "'all'")
        text = MONTHS.format(silo=silo, month=moment(ask, "month"), table=full(ask.table))
        return {f"{ask.table.schema}.{ask.table.name}: months without any": text}
    if ask.kind == "rows":
        return query(ask, "rows", ["*"], "")
    return duplicates(ask) if ask.kind == "duplicates" else summary(ask)


def query(ask: Ask, title: str, fields: Sequence[str], tail: str) -> dict[str, str]:
    tests = [test for test, _ in ask.tests.values()] + ["/* found */"] * bool(ask.values)
    where = f"WHERE {' AND '.join(tests)}\n" if tests else ""
    told = "; ".join([title, *(told for _, told in ask.tests.values())])
    select = f"SELECT {', '.join(fields)}\nFROM {full(ask.table)} AS t\n{where}{tail}".rstrip()
    return {f"{ask.table.schema}.{ask.table.name}: {told}": select}


def moment(ask: Ask, unit: str) -> str:
    at = sql(ask.moment or catalog.date(ask.table))
    return f"year({at})" if unit == "year" else f"date_trunc('{unit}', {at})::DATE"


def summary(ask: Ask) -> dict[str, str]:
    """Counts, sums, ... by group or time, the top ones first."""
    groups = ({moment(ask, ask.unit): ask.unit} if ask.unit else {}) | ask.groups
    of = sql(ask.of) if ask.of is not None else "*"
    value = f"round({ask.fn}({of}), 2)" if ask.fn != "count" else f"count({'DISTINCT ' if of != '*' else ''}{of})"
    if ask.fn == "count" and ask.of in texts(ask.table):
        value = f"CASE WHEN bool_and(lower({of}) IN {YES_OR_NO}) THEN error('it is yes or no') ELSE {value} END"
    name = "number" if of == "*" else "_".join([ask.fn, *tokens(ask.of.name)])
    fields = [*(f"{by} AS {quote(group)}" for by, group in groups.items()), f"{value} AS {name}"]
    order = "1" if ask.unit and not ask.order else f"{name} {ask.order or 'DESC'} NULLS LAST, 1"
    tail = f"GROUP BY ALL\nORDER BY {order}" + (f"\nLIMIT {ask.size}" if ask.size else "") if groups else ""
    about = f" of {(ask.moment or catalog.date(ask.table)).name}" if ask.unit else ""
    return query(ask, " by ".join([name, *groups.values()]) + about, fields, tail)


def duplicates(ask: Ask) -> dict[str, str]:
    """By a key that should be unique and by the name spelled plainly; else rows that are equal but for the id."""
    parts = [(sql(column), tokens(column.name)) for column in ask.table.columns]
    key, name, own = (next((c for p in of for c, names in parts if p in names), "") for of in (KEYS, ["name"], ["id"]))
    label = f"{name or own or 'NULL'}::VARCHAR"
    fields = ["count(*) AS records", f"string_agg(DISTINCT {label}, ' | ' ORDER BY {label}) AS names"]
    over = f"count(DISTINCT {sql(ask.of)})" if ask.of is not None else "records"
    tail = f"GROUP BY 1\nHAVING {over} > 1 AND shared IS NOT NULL\nORDER BY records DESC, 1"
    rest = f"row({', '.join(c for c, _ in parts if c != own) or 't'})"
    spelled = f"trim(regexp_replace(lower({name}), '{LEGAL}', '', 'g'))"
    ways = {f"the same {key[2:]}": key} if key else {}
    ways |= (
        {f"nearly the same {name[2:]}": spelled} if name else {} if key else {"the same values but for the id": rest}
    )
    made = [query(ask, f"groups with {why}", [f"{by} AS shared", *fields], tail) for why, by in ways.items()]
    return made[0] | made[-1]
