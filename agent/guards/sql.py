"""What SQL may do. Used where a statement is about to run, so whatever is not understood is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from agent.guards.duckdb_parser import refuse_kind, refuse_reach
from agent.guards.engines import BLOCKED, FILE_FORMATS, FILE_NAME, TABLE_FUNCTIONS, Dialect
from agent.guards.forbidden import words
from agent.guards.rules import READ_ONLY, SESSION, SqlRules, block, unreadable
from graph.types import Rejection

if TYPE_CHECKING:
    from sqlglot import exp

MAX_CHARS = 200_000
MAX_TOKENS = 40_000
"""Words and signs of a statement: what is counted before anything is parsed."""
MAX_DEPTH = 200
"""Of brackets within brackets: parsers go as deep as the text does."""
PIECES = re.compile(r"\w+|[^\s\w]")

__all__ = ["SESSION", "SqlRules", "check_sql"]


def check_sql(sql: str, rules: SqlRules = READ_ONLY) -> Rejection | None:
    """None when the statement only reads, or writes to scratch only.

    SAFETY_BLOCK says what is not allowed; SYNTAX_ERROR that the text can't be read as one statement. Whatever goes
    wrong on the way to a decision is a refusal.
    """
    try:
        return refuse_size(sql) or decide(sql, rules)
    except Exception as error:  # noqa: BLE001 - the edge: what can't be decided is refused
        return unreadable(f"{type(error).__name__}: {error}".encode("utf-8", "replace").decode())


def refuse_size(sql: str) -> Rejection | None:
    """Bounds that hold before any parser sees the text."""
    if len(sql) > MAX_CHARS or "\x00" in sql:
        return block("the statement", f"it is longer than {MAX_CHARS:,} characters or holds a NUL character")
    count = depth = deepest = 0
    for piece in PIECES.finditer(sql):
        count += 1
        depth += (piece[0] in "([{") - (piece[0] in ")]}")
        deepest = max(deepest, depth)
    if count > MAX_TOKENS:
        return block("the statement", f"it has {count:,} words and signs, more than {MAX_TOKENS:,}")
    return block("the statement", f"it is nested more than {MAX_DEPTH} deep") if deepest > MAX_DEPTH else None


@lru_cache(maxsize=64)
def decide(sql: str, rules: SqlRules) -> Rejection | None:
    explained, text = without_explain(sql)
    if explained and first_word(text) not in READS:
        return block(f"EXPLAIN {first_word(text).upper()}", "only queries can be explained")
    if PLAIN_LOOKS[rules.dialect].match(text):
        return None
    refusal = refuse_word(text, rules) or refuse_parsed(text, rules)
    if refusal is None and rules.dialect == "duckdb":
        refusal = second_opinion(sql, text if explained else sql, explained)
    return refusal


def second_opinion(sql: str, query: str, explained: bool) -> Rejection | None:
    """The engine judges the text as it will be run; what EXPLAIN explains is looked into by itself."""
    word = first_word(without_leading_comments(query))
    allowed = {"EXPLAIN"} if explained else KINDS.get(word, {"SELECT"})
    return refuse_kind(sql, allowed) or refuse_reach(query)


KINDS: Mapping[str, set[str]] = {"use": {"SET"}, "pivot": {"SELECT", "MULTI"}, "unpivot": {"SELECT", "MULTI"}} | {
    word: {word.upper()} for word in ("create", "drop", "insert", "update", "delete")
}
"""What DuckDB calls a statement, by its first word; other reads are a SELECT."""


READS = words("select with from values table summarize pivot unpivot describe desc show use list (")
WRITES = words("create drop insert update delete")

WHY: Mapping[str, str] = {
    "copy": "it reads or writes files",
    "export": "it writes files",
    "import": "it reads files",
    "attach": "it opens other databases",
    "detach": "it takes a database away from everyone",
    "install": "it loads foreign code",
    "load": "it loads foreign code",
    "pragma": "it changes the engine; use DESCRIBE, SHOW TABLES or SUMMARIZE to look at tables",
    "set": "it changes the engine for everyone",
    "reset": "it changes the engine for everyone",
    "call": "procedures can do anything",
    "truncate": "it destroys data",
    "drop": "it destroys data",
    "delete": "it destroys data",
    "alter": "it changes a table for everyone",
    "grant": "it changes who may do what",
    "revoke": "it changes who may do what",
}


def without_explain(sql: str) -> tuple[bool, str]:
    """EXPLAIN ANALYZE runs what it explains, so the statement behind it is what counts."""
    text = EXPLAIN.sub("", without_leading_comments(sql), count=1)
    return text != without_leading_comments(sql), without_leading_comments(text)


EXPLAIN = re.compile(
    r"(?is)^explain\b\s*(?:\([^)]{0,100}\)|analyze\b|extended\b|formatted\b|cost\b|codegen\b|verbose\b)?\s*"
)
COMMENT = re.compile(r"(?s)^(?:\s+|--[^\n]*(?:\n|$)|/\*(?:(?!/\*).)*?\*/)+")


def without_leading_comments(sql: str) -> str:
    return COMMENT.sub("", sql)


def first_word(sql: str) -> str:
    found = re.match(r"\(|\w+", sql)
    return found.group().lower() if found else ""


def refuse_word(sql: str, rules: SqlRules) -> Rejection | None:
    word = first_word(sql)
    if word in READS or (word in WRITES and rules.scratch):
        return None
    if not word:
        return Rejection("SYNTAX_ERROR", "There is no SQL statement. Send one query.")
    reason = WHY.get(word, "it changes data; only queries are allowed")
    return block(word.upper(), reason, rules)


def refuse_parsed(sql: str, rules: SqlRules) -> Rejection | None:
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        statements = [part for part in sqlglot.parse(sql, dialect=rules.dialect) if part is not None]
        if len(statements) != 1:
            return block(f"{len(statements)} statements at once", "send one statement per call")
        return refuse_tree(sql, statements[0], rules)
    except SqlglotError as error:
        return unreadable(str(error))
    except RecursionError:
        return unreadable("it is nested too deeply")


def refuse_tree(sql: str, root: exp.Expr, rules: SqlRules) -> Rejection | None:
    from sqlglot import exp

    if isinstance(root, exp.Command):
        return block(first_word(sql).upper(), "it can't be checked")
    if isinstance(root, (exp.Summarize, exp.Describe)) and not isinstance(root.this, (exp.Table, exp.Query)):
        return block(f"{root.key.upper()} of this", "only tables and queries can be looked at")
    if not isinstance(root, reading_roots()) and (refusal := refuse_write(root, rules)):
        return refusal
    return next(objections(root, rules), None)


def reading_roots() -> tuple[type, ...]:
    from sqlglot import exp

    query = (exp.Select, exp.SetOperation, exp.Subquery, exp.Values)
    return (*query, exp.Describe, exp.Show, exp.Summarize, exp.Pivot, exp.Use)


PLAIN_LOOKS: Mapping[Dialect, re.Pattern[str]] = {
    "duckdb": re.compile(r"(?is)^(?:show\s+(?:all\s+)?(?:tables|databases|schemas)|show|describe)\s*;?\s*$"),
    "databricks": re.compile(
        r"(?is)^(?:show\s+[\w\s.`'*%|-]+|list\s+'[\w./ -]+'|desc(?:ribe)?\s+(?:history|detail)\s+[\w.`-]+)\s*;?\s*$"
    ),
}
"""Looks at the catalog that the parser does not understand."""


def refuse_write(root: exp.Expr, rules: SqlRules) -> Rejection | None:
    from sqlglot import exp

    name = root.key.upper()
    if not isinstance(root, (exp.Create, exp.Drop, exp.Insert, exp.Update, exp.Delete)):
        return block(name, "only queries are allowed", rules)
    kind = str(root.args.get("kind") or "TABLE").upper()
    if kind not in ("TABLE", "VIEW"):
        return block(f"{name} {kind}", "only tables and views can be made", rules)
    if isinstance(root, exp.Create) and (odd := odd_property(root)):
        return block(f"{name} with {odd}", "it can point outside of the scratch schema", rules)
    return refuse_target(root, rules)


def odd_property(create: exp.Create) -> str | None:
    from sqlglot import exp

    found = create.args.get("properties")
    harmless = (exp.TemporaryProperty, exp.FileFormatProperty)
    return next((p.key for p in (found.expressions if found else []) if not isinstance(p, harmless)), None)


def refuse_target(root: exp.Expr, rules: SqlRules) -> Rejection | None:
    from sqlglot import exp

    implied = "temp" if root.find(exp.TemporaryProperty) is not None else ""
    targets = targets_of(root)
    if not targets:
        return block(root.key.upper(), "its target can't be seen", rules)
    outside = (target for target in targets if not rules.is_scratch(target.catalog, target.db or implied))
    kind = f"{root.args['kind']} " if root.args.get("kind") else ""
    named = next((f"{root.key.upper()} {kind}{target.sql(rules.dialect)}" for target in outside), None)
    why = "it destroys data" if isinstance(root, (exp.Drop, exp.Delete)) else "it changes data"
    return block(named, why, rules) if named else None


def targets_of(root: exp.Expr) -> list[exp.Table]:
    """The tables that a statement writes to; empty when one of them is not a plain table."""
    from sqlglot import exp

    named = root.args.get("tables") or root.expressions if isinstance(root, exp.Drop) else [root.this]
    plain = [part.this if isinstance(part, exp.Schema) else part for part in named]
    return plain if all(isinstance(part, exp.Table) for part in plain) else []


def objections(root: exp.Expr, rules: SqlRules) -> Iterator[Rejection]:
    from sqlglot import exp

    writes = (exp.DML, exp.DDL, exp.Drop, exp.Command, exp.Into, exp.Merge, exp.TruncateTable, exp.Alter, exp.Copy)
    for node in root.walk():
        if node is not root and isinstance(node, writes) and not isinstance(node, exp.Query):
            yield block(node.key.upper(), "a query must not change data", rules)
        elif isinstance(node, exp.Func):
            yield from function_objections(node, rules)
        elif isinstance(node, exp.Table):
            yield from table_objections(node, rules)


def function_objections(node: exp.Func, rules: SqlRules) -> Iterator[Rejection]:
    from sqlglot import exp

    names = function_names(node)
    if found := names & BLOCKED[rules.dialect]:
        yield block(f"{min(found)}()", "it reaches files, secrets, other systems or unchecked SQL")
    elif rules.dialect == "duckdb" and isinstance(node.parent, exp.Table) and not names & TABLE_FUNCTIONS:
        yield block(f"{min(names)}() as a table", "only range, unnest, json_each and the catalog's functions are known")


def function_names(node: exp.Func) -> set[str]:
    """Every name under which the engine may know the function, in lower case."""
    from sqlglot import exp

    written = node.this if isinstance(node, exp.Anonymous) or isinstance(node.this, str) else ""
    named = {str(getattr(written, "name", written)).lower()} - {""}
    return named | {name.lower() for name in node.sql_names()} - {"anonymous"}


def table_objections(node: exp.Table, rules: SqlRules) -> Iterator[Rejection]:
    parts = [part.name for part in node.parts if hasattr(part, "name")]
    name = ".".join(parts)
    if (
        FILE_NAME.search(name)
        or FILE_NAME.search(node.alias)
        or (len(parts) > 1 and parts[-2].lower() in FILE_FORMATS and "/" in parts[-1])
    ):
        yield block(f"the table name {name!r}", "it is read as a file; use the catalog's tables")
