"""What SQL may do. Used where a statement is about to run, so whatever is not understood is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

from agent.guards.forbidden import words
from graph.types import Rejection

if TYPE_CHECKING:
    import duckdb
    from sqlglot import exp

Dialect = Literal["duckdb", "databricks"]

MAX_CHARS = 200_000


@dataclass(frozen=True)
class SqlRules:
    """`scratch` names schemas (`schema` or `catalog.schema`) where tables and views may be made, filled and dropped.

    Temporary tables and views count as schema `temp`.
    """

    dialect: Dialect = "duckdb"
    scratch: tuple[str, ...] = ()

    def is_scratch(self, catalog: str, schema: str) -> bool:
        names = {schema.lower(), f"{catalog}.{schema}".lower()}
        return bool(schema) and any(scratch.lower() in names for scratch in self.scratch)


def check_sql(sql: str, rules: SqlRules = SqlRules()) -> Rejection | None:
    """None when the statement only reads, or writes to scratch only.

    SAFETY_BLOCK says what is not allowed; SYNTAX_ERROR that the text can't be read as one statement.
    """
    if len(sql) > MAX_CHARS or "\x00" in sql:
        return blocked("the statement", f"it is longer than {MAX_CHARS:,} characters or holds a NUL character")
    explained, text = without_explain(sql)
    if explained and first_word(text) not in READS:
        return blocked(f"EXPLAIN {first_word(text).upper()}", "only queries can be explained")
    if PLAIN_LOOKS[rules.dialect].match(text):
        return None
    return refuse_word(text, rules) or refuse_parsed(text, rules)


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
    return blocked(word.upper(), reason, rules)


def refuse_parsed(sql: str, rules: SqlRules) -> Rejection | None:
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        statements = [part for part in sqlglot.parse(sql, dialect=rules.dialect) if part is not None]
        if len(statements) != 1:
            return blocked(f"{len(statements)} statements at once", "send one statement per call")
        return refuse_tree(sql, statements[0], rules) or second_opinion(sql, rules)
    except SqlglotError as error:
        return unreadable(str(error))
    except RecursionError:
        return unreadable("it is nested too deeply")


def refuse_tree(sql: str, root: exp.Expr, rules: SqlRules) -> Rejection | None:
    from sqlglot import exp

    if isinstance(root, exp.Command):
        return blocked(first_word(sql).upper(), "it can't be checked")
    if isinstance(root, (exp.Summarize, exp.Describe)) and isinstance(root.this, exp.Literal):
        return blocked(f"{root.key.upper()} of a text", "it is read as a file; use the catalog's tables")
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
        return blocked(name, "only queries are allowed", rules)
    kind = str(root.args.get("kind") or "TABLE").upper()
    if kind not in ("TABLE", "VIEW"):
        return blocked(f"{name} {kind}", "only tables and views can be made", rules)
    if isinstance(root, exp.Create) and (odd := odd_property(root)):
        return blocked(f"{name} with {odd}", "it can point outside of the scratch schema", rules)
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
        return blocked(root.key.upper(), "its target can't be seen", rules)
    outside = (target for target in targets if not rules.is_scratch(target.catalog, target.db or implied))
    named = next((f"{root.key.upper()} {target.sql(rules.dialect)}" for target in outside), None)
    return blocked(named, "it changes data", rules) if named else None


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
            yield blocked(node.key.upper(), "a query must not change data", rules)
        elif isinstance(node, exp.Func):
            yield from function_objections(node, rules)
        elif isinstance(node, exp.Table):
            yield from table_objections(node, rules)


def function_objections(node: exp.Func, rules: SqlRules) -> Iterator[Rejection]:
    from sqlglot import exp

    names = function_names(node)
    if found := names & BLOCKED[rules.dialect]:
        yield blocked(f"{min(found)}()", "it reaches files, secrets, other systems or unchecked SQL")
    elif rules.dialect == "duckdb" and isinstance(node.parent, exp.Table) and not names & TABLE_FUNCTIONS:
        yield blocked(
            f"{min(names)}() as a table", "only range, unnest, json_each and the catalog's functions are known"
        )


def function_names(node: exp.Func) -> set[str]:
    """Every name under which the engine may know the function, in lower case."""
    from sqlglot import exp

    written = node.this if isinstance(node, exp.Anonymous) or isinstance(node.this, str) else ""
    named = {str(getattr(written, "name", written)).lower()} - {""}
    return named | {name.lower() for name in node.sql_names()} - {"anonymous"}


def table_objections(node: exp.Table, rules: SqlRules) -> Iterator[Rejection]:
    parts = [part.name for part in node.parts if hasattr(part, "name")]
    name = ".".join(parts)
    if FILE_NAME.search(name) or (len(parts) > 1 and parts[-2].lower() in FILE_FORMATS and "/" in parts[-1]):
        yield blocked(f"the table name {name!r}", "it is read as a file; use the catalog's tables")


BLOCKED: Mapping[Dialect, frozenset[str]] = {
    "duckdb": words(
        """read_csv read_csv_auto sniff_csv read_parquet parquet_scan parquet_metadata parquet_schema
        parquet_file_metadata parquet_kv_metadata parquet_bloom_probe parquet_full_metadata read_json read_json_auto
        read_json_objects read_json_objects_auto read_ndjson read_ndjson_auto read_ndjson_objects read_text read_blob
        read_xlsx read_avro read_duckdb glob getenv query query_table json_execute_serialized_sql
        from_substrait duckdb_secrets which_secret sqlite_scan sqlite_attach sqlite_query postgres_scan
        postgres_scan_pushdown postgres_query postgres_attach postgres_execute mysql_scan mysql_query mysql_execute
        iceberg_scan iceberg_metadata delta_scan st_read st_read_osm http_get http_post arrow_scan arrow_scan_dumb
        pandas_scan python_map_function checkpoint force_checkpoint write_log truncate_duckdb_logs
        enable_logging disable_logging enable_profiling disable_profiling set_config pg_sleep"""
    ),
    "databricks": words("""secret try_secret list_secrets http_request reflect try_reflect java_method remote_query"""),
}

TABLE_FUNCTIONS = words(
    """range generate_series unnest explode json_each json_tree duckdb_tables duckdb_columns duckdb_views
    duckdb_schemas duckdb_databases duckdb_functions duckdb_types duckdb_constraints duckdb_indexes
    pragma_table_info pragma_show summary repeat repeat_row"""
)

FILE_NAME = re.compile(
    r"(?i)[/\\*?]|://|\.(?:csv|tsv|txt|parquet|json|jsonl|ndjson|gz|zst|db|duckdb|ddb|sqlite|sqlite3|xlsx|avro|arrow"
    r"|feather|orc|log|py|env|yaml|yml|toml)$"
)
FILE_FORMATS = words("csv json parquet delta text binaryfile orc avro iceberg")


def second_opinion(sql: str, rules: SqlRules) -> Rejection | None:
    """DuckDB's own parser has to see one statement of a kind that was allowed, too: two parsers are harder to fool."""
    if rules.dialect != "duckdb":
        return None
    import duckdb

    try:
        with PARSING:
            kinds = [str(found.type).rpartition(".")[2] for found in engine().extract_statements(sql)]
    except duckdb.Error as error:
        return unreadable(str(error))
    allowed = {"SELECT", "EXPLAIN", "MULTI"} if first_word(sql) in READS - {"use"} else {first_word(sql).upper(), "SET"}
    if len(kinds) == 1 and kinds[0] in allowed:
        return None
    return blocked(", ".join(kinds) or "nothing", "the engine reads the statement differently than it looks")


PARSING = Lock()


@cache
def engine() -> duckdb.DuckDBPyConnection:
    """An empty database that only parses."""
    import duckdb

    return duckdb.connect()


def blocked(what: str, why: str, rules: SqlRules | None = None) -> Rejection:
    advice = ""
    if rules is not None:
        where = " or ".join(rules.scratch)
        advice = (
            f" Write to the scratch schema ({where}) instead." if where else " Compute new tables in Python instead."
        )
    return Rejection("SAFETY_BLOCK", f"{what} is not allowed: {why}.{advice}", {"matched": what, "reason": why})


def unreadable(reason: Any) -> Rejection:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", str(reason)).strip()[:600]
    return Rejection("SYNTAX_ERROR", f"The SQL can't be read as one statement: {plain}", {"reason": plain})
