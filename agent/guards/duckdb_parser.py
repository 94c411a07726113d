"""DuckDB's own parser on what was let through: it has to see one statement, of an allowed kind, and no file in it.

Two parsers are harder to fool: sqlglot takes the file of `FROM (TABLE 'x.csv')` for an alias, DuckDB does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

from agent.guards.engines import BLOCKED, FILE_NAME, TABLE_FUNCTIONS
from agent.guards.rules import block, unreadable
from graph.types import Rejection

if TYPE_CHECKING:
    import duckdb

PARSING = Lock()


@cache
def parser() -> duckdb.DuckDBPyConnection:
    """An empty database that only parses."""
    import duckdb

    return duckdb.connect()


def kinds_of(sql: str) -> list[str]:
    """The kind of each statement, as DuckDB calls it. Raises duckdb.Error for what it can't read."""
    with PARSING:
        return [str(statement.type).rpartition(".")[2] for statement in parser().extract_statements(sql)]


def refuse_kind(sql: str, allowed: set[str]) -> Rejection | None:
    import duckdb

    try:
        kinds = kinds_of(sql)
    except duckdb.Error as error:
        return unreadable(error)
    if len(kinds) == 1 and kinds[0] in allowed:
        return None
    return block(", ".join(kinds) or "nothing", "the engine reads the statement differently than it looks")


def refuse_reach(query: str) -> Rejection | None:
    """A query that reads files or changes data in any of its parts. Statements that are no query pass."""
    with PARSING:
        row = parser().execute("SELECT json_serialize_sql(?::VARCHAR)", [query]).fetchone()
    tree = json.loads(row[0]) if row else {}
    return next((refusal for node in nodes(tree) if (refusal := refuse_node(node))), None)


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def refuse_node(node: dict[str, Any]) -> Rejection | None:
    kind, function = str(node.get("type")), str(node.get("function_name", "")).lower()
    if kind.endswith("_QUERY_NODE"):
        return block(kind.split("_")[0], "a query must not change data")
    if function in BLOCKED["duckdb"]:
        return block(f"{function}()", "it reaches files, secrets, other systems or unchecked SQL")
    if kind == "TABLE_FUNCTION" and (called := node["function"].get("function_name", "")) not in TABLE_FUNCTIONS:
        return block(f"{called}() as a table", "only range, unnest, json_each and the catalog's functions are known")
    if kind == "BASE_TABLE" and FILE_NAME.search(name := ".".join(node["qualified_name"]["path"])):
        return block(f"the table name {name!r}", "it is read as a file; use the catalog's tables")
    return None
