"""Statements about names: USE, SHOW, DESCRIBE, in the session's namespace and with a warehouse's columns."""

import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tests.workspace.sql.namespace import Namespace
from tests.workspace.sql.problems import SqlProblem

if TYPE_CHECKING:
    from tests.workspace.sql.engine import Session, SqlEngine

NAME = r"((?:`[^`]+`|[\w]+)(?:\s*\.\s*(?:`[^`]+`|[\w]+))*)"
_NOTHING = pa.table({})


def parts(name: str) -> list[str]:
    """The parts of a dotted name, without quotes."""
    return [(quoted or plain) for quoted, plain in re.findall(r"`([^`]+)`|(\w+)", name)]


def full_name(name: str, namespace: Namespace) -> tuple[str, str, str]:
    """Catalog, schema and table of a name in a namespace."""
    given = parts(name)
    whole = [namespace.catalog, namespace.schema][: max(0, 3 - len(given))] + given
    return whole[0], whole[1], whole[2]


def quoted(*names: str) -> str:
    """A dotted name with its parts in backticks."""
    return ".".join(f"`{name}`" for name in names)


def catalogs(engine: "SqlEngine") -> list[str]:
    """The catalogs, by name."""
    return sorted(row["catalog"] for row in engine.rows("SHOW CATALOGS"))


def schemas(engine: "SqlEngine", catalog: str) -> list[str]:
    """The schemas of a catalog, by name."""
    if catalog not in catalogs(engine):
        raise SqlProblem("NO_SUCH_CATALOG_EXCEPTION", f"Catalog '{catalog}' was not found.", "42704")
    return sorted(row["name"] for row in engine.rows(f"SHOW SCHEMAS IN {quoted(catalog)}"))


def _use_catalog(engine: "SqlEngine", match: re.Match[str], session: "Session") -> pa.Table:
    name = parts(match[1])[-1]
    schemas(engine, name)
    session.namespace = Namespace(name, "default")
    return _NOTHING


def _use_schema(engine: "SqlEngine", match: re.Match[str], session: "Session") -> pa.Table:
    given = parts(match[1])
    catalog = given[0] if len(given) == 2 else session.namespace.catalog
    if given[-1] not in schemas(engine, catalog):
        raise SqlProblem("SCHEMA_NOT_FOUND", f"The schema `{catalog}`.`{given[-1]}` cannot be found.", "42704")
    session.namespace = Namespace(catalog, given[-1])
    return _NOTHING


def _show_catalogs(engine: "SqlEngine", match: re.Match[str], session: "Session") -> pa.Table:
    return pa.table({"catalog": pa.array(_like(catalogs(engine), match[1]), pa.string())})


def _show_schemas(engine: "SqlEngine", match: re.Match[str], session: "Session") -> pa.Table:
    catalog = parts(match[1])[-1] if match[1] else session.namespace.catalog
    return pa.table({"databaseName": pa.array(_like(schemas(engine, catalog), match[2]), pa.string())})


def _show_tables(engine: "SqlEngine", match: re.Match[str], session: "Session") -> pa.Table:
    catalog, schema, _ = full_name(f"{match[1]}.x" if match[1] else "x", session.namespace)
    found = engine.rows(f"SHOW TABLES IN {quoted(catalog, schema)}")
    names = _like(sorted(row["tableName"] for row in found), match[2])
    return pa.table(
        {
            "database": pa.array([schema] * len(names), pa.string()),
            "tableName": pa.array(names, pa.string()),
            "isTemporary": pa.array([False] * len(names), pa.bool_()),
        }
    )


def _describe(engine: "SqlEngine", match: re.Match[str], session: "Session") -> pa.Table:
    given = parts(match[2])
    name = (
        match[2] if given[-1].lower() in engine.temporary_views() else quoted(*full_name(match[2], session.namespace))
    )
    extended = "EXTENDED " if match[1] else ""
    return engine.spark(f"DESCRIBE TABLE {extended}{name}")


def _show_columns(engine: "SqlEngine", match: re.Match[str], session: "Session") -> pa.Table:
    found = engine.rows(f"SHOW COLUMNS IN {quoted(*full_name(match[1], session.namespace))}")
    return pa.table({"col_name": pa.array([row["name"] for row in found], pa.string())})


def _like(names: list[str], pattern: Any) -> list[str]:
    """SHOW's pattern: `*` is any text, `|` separates alternatives."""
    if not pattern:
        return names
    alternatives = "|".join(re.escape(part).replace(r"\*", ".*") for part in str(pattern).split("|"))
    return [name for name in names if re.fullmatch(alternatives, name, re.IGNORECASE)]


def _statement(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern + r"$", re.IGNORECASE)


_LIKE = r"(?:\s+(?:LIKE\s+)?'([^']*)')?"
STATEMENTS = (
    (_statement(rf"(?:USE|SET)\s+CATALOG\s+{NAME}"), _use_catalog),
    (_statement(rf"USE\s+(?:SCHEMA\s+|DATABASE\s+)?{NAME}"), _use_schema),
    (_statement(rf"SHOW\s+CATALOGS{_LIKE}"), _show_catalogs),
    (_statement(rf"SHOW\s+(?:SCHEMAS|DATABASES)(?:\s+(?:IN|FROM)\s+{NAME})?{_LIKE}"), _show_schemas),
    (_statement(rf"SHOW\s+TABLES(?:\s+(?:IN|FROM)\s+{NAME})?{_LIKE}"), _show_tables),
    (_statement(rf"SHOW\s+COLUMNS\s+(?:IN|FROM)\s+{NAME}"), _show_columns),
    (
        _statement(
            rf"DESC(?:RIBE)?\s+(?!HISTORY\b|DETAIL\b|SCHEMA\b|DATABASE\b|CATALOG\b|FUNCTION\b|QUERY\b)(?:TABLE\s+)?(EXTENDED\s+|FORMATTED\s+)?{NAME}"
        ),
        _describe,
    ),
)
