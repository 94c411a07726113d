"""Tables with a change data feed, which Sail can read but not write: their changes are made with the deltalake library.

Sail still plans what can be planned apart: the rows of an INSERT, the source of a MERGE.
"""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import sqlglot
from deltalake import DeltaTable, write_deltalake
from sqlglot import exp
from sqlglot.errors import SqlglotError

from tests.workspace.sql import lakehouse
from tests.workspace.sql.problems import not_covered
from tests.workspace.sql.types import normal

if TYPE_CHECKING:
    from tests.workspace.sql.engine import Session, SqlEngine

PROPERTY = "delta.enableChangeDataFeed"
_SETTING = re.compile(
    r"\(?\s*,?\s*['\"`]?delta\.enableChangeDataFeed['\"`]?\s*=\s*['\"]?true['\"]?\s*,?", re.IGNORECASE
)
_EMPTY = re.compile(r"TBLPROPERTIES\s*\(?\s*\)", re.IGNORECASE)


def create(engine: "SqlEngine", text: str, session: "Session") -> pa.Table | None:
    """CREATE or ALTER TABLE that asks for a feed: Sail does the rest of it, the property goes into the Delta log."""
    if not re.match(r"(create|alter)\b", text, re.IGNORECASE) or not _SETTING.search(text):
        return None
    tree = _parse(text)
    if tree is None:
        return None
    name = _name(tree.find(exp.Table))
    if isinstance(tree, exp.Alter):
        lakehouse.delta(engine, name, session).alter.set_table_properties({PROPERTY: "true"})
        return pa.table({})
    made = engine.spark(_without(text))
    _record_from_the_start(Path(lakehouse.location(engine, name, session)))
    return pa.table({}) if made.column_names == ["value"] else made


def _record_from_the_start(table: Path) -> None:
    """Put the property into the table's first commit, as Databricks does: its first rows are in the feed, too."""
    first = table / "_delta_log" / f"{0:020}.json"
    actions = [json.loads(line) for line in first.read_text().splitlines()]
    for action in actions:
        if "metaData" in action:
            action["metaData"]["configuration"][PROPERTY] = "true"
        if "protocol" in action:
            action["protocol"]["minWriterVersion"] = max(4, action["protocol"]["minWriterVersion"])
    first.write_text("".join(json.dumps(action) + "\n" for action in actions))
    first.with_suffix(".crc").unlink(missing_ok=True)


def change(engine: "SqlEngine", text: str, arguments: Any, session: "Session") -> pa.Table | None:
    """An INSERT, UPDATE, DELETE or MERGE on a table with a feed; None when the table has none."""
    tree = _parse(text)
    if not isinstance(tree, exp.Insert | exp.Update | exp.Delete | exp.Merge):
        return None
    target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    if not isinstance(target, exp.Table) or not has_feed(engine, target, session):
        return None
    if arguments:
        raise not_covered("parameters in a change of a table with a change data feed")
    delta = lakehouse.delta(engine, _name(target), session)
    if isinstance(tree, exp.Insert):
        return _insert(engine, tree, delta)
    if isinstance(tree, exp.Merge):
        return _merge(engine, tree, delta)
    predicate = _where(tree)
    if isinstance(tree, exp.Delete):
        return _counts(num_affected_rows=delta.delete(predicate)["num_deleted_rows"])
    updates = {item.this.name: _sql(item.expression) for item in tree.expressions}
    return _counts(num_affected_rows=delta.update(updates=updates, predicate=predicate)["num_updated_rows"])


def changes(engine: "SqlEngine", text: str, session: "Session") -> bool:
    """Whether a statement is a change of a table with a feed."""
    if not re.match(r"\s*(insert|update|delete|merge)\b", text, re.IGNORECASE):
        return False
    tree = _parse(text)
    target = tree.find(exp.Table) if tree else None
    return target is not None and has_feed(engine, target, session)


def has_feed(engine: "SqlEngine", table: exp.Table, session: "Session") -> bool:
    """Whether a table records its changes."""
    place = lakehouse.find(engine, _name(table), session)
    return place is not None and DeltaTable(place).metadata().configuration.get(PROPERTY) == "true"


def _insert(engine: "SqlEngine", tree: exp.Insert, delta: DeltaTable) -> pa.Table:
    if tree.args.get("overwrite"):
        raise not_covered("INSERT OVERWRITE of a table with a change data feed")
    rows = normal(engine.spark(tree.expression.sql(dialect="databricks")))
    schema = pa.schema(delta.schema().to_arrow())
    names = [column.name for column in tree.this.expressions] if isinstance(tree.this, exp.Schema) else schema.names
    if len(names) != rows.num_columns:
        raise not_covered(f"an INSERT of {rows.num_columns} values into {len(names)} columns")
    given = dict(zip(names, rows.columns, strict=True))
    columns = [
        given[field.name].cast(field.type) if field.name in given else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    write_deltalake(delta, pa.Table.from_arrays(columns, schema=schema), mode="append")
    return _counts(num_affected_rows=rows.num_rows, num_inserted_rows=rows.num_rows)


def _merge(engine: "SqlEngine", tree: exp.Merge, delta: DeltaTable) -> pa.Table:
    source = tree.args["using"]
    text = f"SELECT * FROM {source.sql(dialect='databricks')}"
    merger: Any = delta.merge(
        normal(engine.spark(text)),
        predicate=_sql(tree.args["on"]),
        source_alias=source.alias_or_name,
        target_alias=tree.this.alias_or_name,
    )
    for when in tree.args["whens"].expressions:
        merger = _clause(merger, when, source.alias_or_name)
    done = merger.execute()
    counts = {
        "num_updated_rows": done["num_target_rows_updated"],
        "num_deleted_rows": done["num_target_rows_deleted"],
        "num_inserted_rows": done["num_target_rows_inserted"],
    }
    return _counts(num_affected_rows=sum(counts.values()), **counts)


def _clause(merger: Any, when: exp.When, source: str) -> Any:
    """One WHEN of a MERGE."""
    then, condition = when.args["then"], when.args.get("condition")
    predicate = _sql(condition) if condition else None
    if when.args.get("source"):
        raise not_covered("WHEN NOT MATCHED BY SOURCE on a table with a change data feed")
    if isinstance(then, exp.Update):
        if not then.expressions or isinstance(then.expressions[0], exp.Star):
            return merger.when_matched_update_all(predicate)
        return merger.when_matched_update(
            {item.this.name: _sql(item.expression) for item in then.expressions}, predicate
        )
    if isinstance(then, exp.Insert):
        if then.this is None or isinstance(then.this, exp.Star):
            return merger.when_not_matched_insert_all(predicate)
        pairs = zip(then.this.expressions, then.expression.expressions, strict=True)
        return merger.when_not_matched_insert({column.name: _sql(value) for column, value in pairs}, predicate)
    return merger.when_matched_delete(predicate)


def _parse(text: str) -> Any:
    try:
        return sqlglot.parse_one(text, read="databricks")
    except SqlglotError:
        return None


def _without(text: str) -> str:
    """The statement without the property, and without an empty list of properties."""

    def keep(match: re.Match[str]) -> str:
        opened, closed = match[0].lstrip().startswith("("), match[0].rstrip().endswith(",")
        return "(" if opened else ("," if match[0].lstrip().startswith(",") and closed else "")

    return _EMPTY.sub("", _SETTING.sub(keep, text))


def _name(table: exp.Expression | None) -> str:
    assert isinstance(table, exp.Table)
    return ".".join(f"`{part.name}`" for part in table.parts)


def _where(tree: exp.Expression) -> str | None:
    where = tree.args.get("where")
    return _sql(where.this) if where else None


def _sql(expression: exp.Expression) -> str:
    """An expression for DataFusion, which deltalake evaluates with: PostgreSQL's spelling is nearest."""
    return expression.sql(dialect="postgres")


def _counts(**counts: int) -> pa.Table:
    return pa.table({name: pa.array([count], pa.int64()) for name, count in counts.items()})
