"""How many rows a change affected, in the columns that a warehouse answers with.

Sail counts the rows that it wrote, and an UPDATE rewrites a whole file; so the Delta log is asked instead.
"""

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from tests.workspace.sql import lakehouse

if TYPE_CHECKING:
    from tests.workspace.sql.engine import Session, SqlEngine

_UPDATED = ("numUpdatedRows",)
_DELETED = ("numDeletedRows",)
_MERGED = {
    "num_updated_rows": "numTargetRowsUpdated",
    "num_deleted_rows": "numTargetRowsDeleted",
    "num_inserted_rows": "numTargetRowsInserted",
}


def rows(engine: "SqlEngine", text: str, written: int, session: "Session") -> pa.Table:
    """The answer to an INSERT, UPDATE, DELETE, MERGE or CREATE TABLE AS."""
    tree = _parse(text)
    if isinstance(tree, exp.Update) and written:
        return _table(num_affected_rows=_metric(_metrics(engine, tree, session), _UPDATED, written))
    if isinstance(tree, exp.Delete) and written:
        return _table(num_affected_rows=_metric(_metrics(engine, tree, session), _DELETED, written))
    if isinstance(tree, exp.Merge):
        metrics = _metrics(engine, tree, session) if written else {}
        counts = {name: int(metrics.get(key, 0)) for name, key in _MERGED.items()}
        return _table(num_affected_rows=sum(counts.values()), **counts)
    if isinstance(tree, exp.Update | exp.Delete):
        return _table(num_affected_rows=0)
    return _table(num_affected_rows=written, num_inserted_rows=written)


def _parse(text: str) -> Any:
    try:
        return sqlglot.parse_one(text, read="databricks")
    except SqlglotError:
        return None


def _metrics(engine: "SqlEngine", tree: exp.Expression, session: "Session") -> dict[str, Any]:
    """The last commit's metrics of the table that a change names."""
    target = tree.this
    name = ".".join(f"`{part.name}`" for part in target.parts)
    history = lakehouse.delta(engine, name, session).history(1)
    return history[0].get("operationMetrics") or {} if history else {}


def _metric(metrics: dict[str, Any], names: tuple[str, ...], otherwise: int) -> int:
    return next((int(metrics[name]) for name in names if name in metrics), otherwise)


def _table(**counts: int) -> pa.Table:
    return pa.table({name: pa.array([count], pa.int64()) for name, count in counts.items()})
