"""What Sail lacks over its own Delta tables, read with the deltalake library: history, details, the change feed, and
`information_schema`, whose tables are made from the catalog when they are asked for."""

import json
import re
import uuid
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlglot
from deltalake import DeltaTable
from sqlglot import exp
from sqlglot.errors import SqlglotError

from tests.workspace.sql import metadata
from tests.workspace.sql.problems import SqlProblem, not_covered
from tests.workspace.sql.types import normal

if TYPE_CHECKING:
    from tests.workspace.sql.engine import Session, SqlEngine


def location(engine: "SqlEngine", name: str, session: "Session") -> str:
    """Where a table's files are."""
    for row in engine.rows(f"DESCRIBE TABLE EXTENDED {metadata.quoted(*metadata.full_name(name, session.namespace))}"):
        if row["col_name"] == "Location":
            return str(row["data_type"])
    raise SqlProblem("DELTA_MISSING_DELTA_TABLE", f"{name} is not a Delta table.", "42P01")


def find(engine: "SqlEngine", name: str, session: "Session") -> str | None:
    """Where a table's files are, or None when there is no such Delta table."""
    try:
        return location(engine, name, session)
    except SqlProblem:
        return None


def delta(engine: "SqlEngine", name: str, session: "Session") -> DeltaTable:
    """The table for deltalake."""
    return DeltaTable(location(engine, name, session))


def _history(engine: "SqlEngine", match: re.Match[str], session: "Session") -> pa.Table:
    entries = delta(engine, match[1], session).history(int(match[2]) if match[2] else None)
    return pa.table(
        {
            "version": pa.array([entry["version"] for entry in entries], pa.int64()),
            "timestamp": pa.array([entry["timestamp"] * 1000 for entry in entries], pa.timestamp("us", "UTC")),
            "userName": pa.array([session.user] * len(entries), pa.string()),
            "operation": pa.array([entry["operation"] for entry in entries], pa.string()),
            "operationParameters": pa.array(
                [_texts(entry.get("operationParameters")) for entry in entries], pa.map_(pa.string(), pa.string())
            ),
            "operationMetrics": pa.array(
                [_texts(entry.get("operationMetrics")) for entry in entries], pa.map_(pa.string(), pa.string())
            ),
            "engineInfo": pa.array([entry.get("engineInfo") for entry in entries], pa.string()),
        }
    )


def _texts(values: dict[str, Any] | None) -> list[tuple[str, str]]:
    return [(key, value if isinstance(value, str) else json.dumps(value)) for key, value in (values or {}).items()]


def _detail(engine: "SqlEngine", match: re.Match[str], session: "Session") -> pa.Table:
    table = delta(engine, match[1], session)
    about = table.metadata()
    sizes = pa.table(table.get_add_actions(flatten=True))
    return pa.table(
        {
            "format": ["delta"],
            "id": [str(about.id)],
            "name": [".".join(metadata.full_name(match[1], session.namespace))],
            "location": [table.table_uri],
            "partitionColumns": pa.array([about.partition_columns], pa.list_(pa.string())),
            "numFiles": pa.array([len(table.file_uris())], pa.int64()),
            "sizeInBytes": pa.array([sum(sizes.column("size_bytes").to_pylist())], pa.int64()),
            "properties": pa.array([list(about.configuration.items())], pa.map_(pa.string(), pa.string())),
        }
    )


def with_tables(engine: "SqlEngine", text: str, session: "Session") -> str:
    """The text, with `table_changes(…)` and tables of information_schema replaced by files that hold their rows."""
    if not re.search(r"table_changes|information_schema", text, re.IGNORECASE):
        return text
    try:
        tree = sqlglot.parse_one(text, read="databricks")
    except SqlglotError:
        return text
    for table in list(tree.find_all(exp.Table)):
        rows = _rows(engine, table, session)
        if rows is not None:
            file = engine.scratch / f"{uuid.uuid4().hex}.parquet"
            pq.write_table(rows, file)
            made = exp.to_table(f"parquet.`{file}`", dialect="databricks", alias=table.alias_or_name)
            table.replace(made)
    return tree.sql(dialect="databricks")


def _rows(engine: "SqlEngine", table: exp.Table, session: "Session") -> pa.Table | None:
    if isinstance(table.this, exp.Anonymous) and str(table.this.this).lower() == "table_changes":
        return _changes(engine, table.this.expressions, session)
    if table.db.lower() == "information_schema":
        return _information(engine, table.catalog or session.namespace.catalog, table.name.lower(), session.user)
    return None


def _changes(engine: "SqlEngine", arguments: list[exp.Expression], session: "Session") -> pa.Table:
    values = [argument.name for argument in arguments]
    if not all(isinstance(argument, exp.Literal) for argument in arguments):
        raise not_covered("table_changes with anything but literals")
    table = delta(engine, values[0], session)
    if table.metadata().configuration.get("delta.enableChangeDataFeed") != "true":
        message = f"change data was not recorded for {values[0]}: set delta.enableChangeDataFeed = true"
        raise SqlProblem("DELTA_MISSING_CHANGE_DATA", message, "KD002")
    end = int(values[2]) if len(values) > 2 else None
    rows = pa.table(table.load_cdf(starting_version=int(values[1]), ending_version=end).read_all())
    return _as_spark(rows)


def _as_spark(rows: pa.Table) -> pa.Table:
    """The feed's own columns in Spark's types: a BIGINT version, a TIMESTAMP in UTC."""
    plain = normal(rows)
    position = plain.schema.get_field_index("_commit_timestamp")
    moments = plain.column(position).cast(pa.timestamp("us", "UTC"))
    return plain.set_column(position, "_commit_timestamp", moments)


def _information(engine: "SqlEngine", catalog: str, name: str, user: str) -> pa.Table:
    chosen = metadata.catalogs(engine) if catalog == "system" else [catalog]
    chosen = [known for known in chosen if known != "system"]
    if name == "catalogs":
        return pa.table({"catalog_name": pa.array(chosen, pa.string())})
    pairs = [(known, schema) for known in chosen for schema in metadata.schemas(engine, known)]
    if name == "schemata":
        return _table(("catalog_name", "schema_name"), pairs)
    if name == "tables":
        return _table(("table_catalog", "table_schema", "table_name", "table_type"), _tables(engine, pairs, user))
    if name == "columns":
        names = ("table_catalog", "table_schema", "table_name", "column_name", "data_type", "is_nullable", "comment")
        return _columns(_table((*names, "position"), _column_rows(engine, pairs, user)))
    raise not_covered(f"information_schema.{name}")


def _columns(table: pa.Table) -> pa.Table:
    position = pa.array([int(value) for value in table.column("position").to_pylist()], pa.int32())
    return table.drop_columns(["position"]).append_column("ordinal_position", position)


def _tables(engine: "SqlEngine", pairs: list[tuple[str, str]], user: str) -> list[tuple[str, ...]]:
    """The tables that a user may see."""
    found: list[tuple[str, ...]] = []
    for catalog, schema in pairs:
        views = {row["tableName"] for row in engine.rows(f"SHOW VIEWS IN {metadata.quoted(catalog, schema)}")}
        for row in engine.rows(f"SHOW TABLES IN {metadata.quoted(catalog, schema)}"):
            kind = "VIEW" if row["tableName"] in views else "MANAGED"
            if engine.access.sees(user, f"{catalog}.{schema}.{row['tableName']}"):
                found.append((catalog, schema, row["tableName"], kind))
    return found


def _column_rows(engine: "SqlEngine", pairs: list[tuple[str, str]], user: str) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for catalog, schema, table, _ in _tables(engine, pairs, user):
        for index, column in enumerate(engine.rows(f"SHOW COLUMNS IN {metadata.quoted(catalog, schema, table)}")):
            nullable = "YES" if column["nullable"] else "NO"
            kind = column["dataType"].upper()
            rows.append((catalog, schema, table, column["name"], kind, nullable, column["description"], str(index)))
    return rows


def _table(names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> pa.Table:
    return pa.table({name: pa.array([row[index] for row in rows], pa.string()) for index, name in enumerate(names)})


STATEMENTS = (
    (
        re.compile(rf"DESC(?:RIBE)?\s+HISTORY\s+{metadata.NAME}(?:\s+LIMIT\s+(\d+))?$", re.IGNORECASE),
        _history,
    ),
    (re.compile(rf"DESC(?:RIBE)?\s+DETAIL\s+{metadata.NAME}$", re.IGNORECASE), _detail),
)
