"""SQL inside the code's texts: what is surely destructive goes back at once instead of failing at run time."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from agent.guards.source import Code, dotted_name, read_code, text_of
from agent.guards.sql import SqlRules, check_sql
from graph.program import Program
from graph.types import Rejection

RUNS_SQL = {"execute_sql", "spark.sql"}
MAY_RUN_SQL = {"execute", "executemany", "executescript", "sql", "query", "read_sql", "read_sql_query", "execute_sql"}
IN_MEMORY = {"duckdb.connect", "sqlite3.connect"}
SHOWN = {"print", "display", "ValueError", "RuntimeError", "Exception", "input", "warnings.warn"}
SHOWN_METHODS = {
    "info",
    "warning",
    "debug",
    "error",
    "append",
    "write",
    "set_title",
    "title",
    "search",
    "match",
    "findall",
}

DESTRUCTIVE = re.compile(
    r"(?i)^\s*(?:drop\s+(?:table|view|schema|database|catalog|function|volume|materialized)\b|delete\s+from\s+\S"
    r"|truncate\s+(?:table\s+)?\S|alter\s+(?:table|schema|catalog|view)\s|update\s+\S+\s+set\s|insert\s+(?:into|overwrite)\s"
    r"|merge\s+into\s|create\s+or\s+replace\s+table\s|grant\s.+\sto\s|revoke\s.+\sfrom\s|vacuum\s+\S|restore\s+table\s"
    r"|copy\s+\S.*\sto\s'|attach\s+'|install\s+\w+\s*;?$)"
)


@dataclass(frozen=True)
class Text:
    """A text in the code: whether it is surely run as SQL, and where it stands."""

    sql: str
    line: int
    run: bool


def check_literals(program: Program, rules: SqlRules) -> Rejection | None:
    code = read_code(program)
    if code is None:
        return None
    for found in texts(code):
        refusal = refuse(found, rules)
        if refusal is not None:
            message = f"Line {found.line}: the SQL {shorten(found.sql)!r}: {refusal.message}"
            return Rejection("SAFETY_BLOCK", message, {**refusal.details, "lineno": found.line, "sql": found.sql[:500]})
    return None


def refuse(text: Text, rules: SqlRules) -> Rejection | None:
    """A text that is run must only read; one that merely stands there is refused when it surely destroys."""
    if not text.run and (not DESTRUCTIVE.match(text.sql) or is_title(text.sql)):
        return None
    refusal = next(filter(None, (check_sql(part, rules) for part in statements(text.sql))), None)
    return refusal if refusal is not None and refusal.code == "SAFETY_BLOCK" else None


def statements(sql: str) -> list[str]:
    """The statements of a script, so that each is judged by itself; the whole text when it can't be told."""
    if ";" not in sql:
        return [sql]
    import sqlglot

    try:
        tokens = sqlglot.tokenize(sql, read="duckdb")
    except sqlglot.errors.SqlglotError:
        return [sql]
    ends = [token.start for token in tokens if token.token_type.name == "SEMICOLON"] + [len(sql)]
    starts = [0] + [end + 1 for end in ends[:-1]]
    return [sql[start:end] for start, end in zip(starts, ends, strict=True) if sql[start:end].strip()]


def is_title(sql: str) -> bool:
    """`Delete from cart` is a caption; SQL is written DELETE or delete."""
    word = sql.split(maxsplit=1)[0]
    return word[:1].isupper() and word[1:].islower()


def texts(code: Code) -> Iterator[Text]:
    ignored = private(code)
    for node in ast.walk(code.tree):
        if isinstance(node, ast.Call):
            ignored |= template_arguments(code, node)
            yield from run_texts(code, node)
    for node in ast.walk(code.tree):
        if isinstance(node, (ast.Constant, ast.JoinedStr)) and id(node) not in ignored:
            sql = render(code, node)
            if sql:
                yield Text(sql, node.lineno, run=False)


def run_texts(code: Code, node: ast.Call) -> Iterator[Text]:
    if dotted_name(code, node.func) not in RUNS_SQL:
        return
    given = node.args[:1] or [keyword.value for keyword in node.keywords if keyword.arg in ("sql", "sqlQuery")]
    for value in (value for argument in given for value in values_of(code, argument)):
        if sql := render(code, value):
            yield Text(sql, node.lineno, run=True)


def values_of(code: Code, node: ast.expr) -> list[ast.expr]:
    return code.assigned.get(node.id, []) if isinstance(node, ast.Name) else [node]


def render(code: Code, node: ast.AST) -> str | None:
    """The text, with `x` for what is filled in at run time."""
    text = text_of(code, node)
    if text is not None or not isinstance(node, ast.JoinedStr):
        return text
    parts = [text_of(code, part) for part in node.values]
    return "".join("x" if part is None else part for part in parts)


def private(code: Code) -> set[int]:
    """Texts that nobody runs: docstrings and bare texts, comparisons, and all of them when the only databases are
    in memory and the code's own.
    """
    found: set[int] = set()
    for node in ast.walk(code.tree):
        if isinstance(node, ast.Expr):
            found.add(id(node.value))
        elif isinstance(node, ast.Compare):
            found.update(id(side) for side in (node.left, *node.comparators))
        elif isinstance(node, ast.JoinedStr):
            found.update(id(part) for part in node.values)
        elif isinstance(node, ast.Call) and in_memory(code, node):
            found.update(
                id(part) for argument in node.args for value in values_of(code, argument) for part in ast.walk(value)
            )
    return found


def template_arguments(code: Code, node: ast.Call) -> set[int]:
    """The texts that a call shows to people or searches for."""
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if dotted_name(code, node.func) not in SHOWN and method not in SHOWN_METHODS:
        return set()
    return {id(part) for argument in (*node.args, *(k.value for k in node.keywords)) for part in ast.walk(argument)}


def in_memory(code: Code, node: ast.Call, depth: int = 0) -> bool:
    """Whether the call goes to a database that the code made for itself in memory."""
    if depth > 5 or not isinstance(node.func, ast.Attribute) or node.func.attr not in (*MAY_RUN_SQL, "cursor"):
        return False
    if dotted_name(code, node.func) in ("duckdb.sql", "duckdb.query", "duckdb.execute"):
        return True
    given = values_of(code, node.func.value)[:3]
    return bool(given) and all(isinstance(value, ast.Call) and opens_memory(code, value, depth) for value in given)


def opens_memory(code: Code, node: ast.Call, depth: int) -> bool:
    if dotted_name(code, node.func) in IN_MEMORY:
        return not node.args or text_of(code, node.args[0]) == ":memory:"
    return in_memory(code, node, depth + 1)


def shorten(sql: str) -> str:
    one_line = " ".join(sql.split())
    return one_line if len(one_line) <= 120 else one_line[:117] + "..."
