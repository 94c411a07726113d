"""The engine behind every warehouse: the user's text, made fit for Sail; Sail's answer, made fit for Databricks."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tests.workspace.spark_error import SparkError
from tests.workspace.sql import affected, feed, granting, lakehouse, metadata
from tests.workspace.sql.access import Access, check_statement, owned
from tests.workspace.sql.namespace import Namespace, complete
from tests.workspace.sql.parameters import Parameter
from tests.workspace.sql.problems import problem
from tests.workspace.sql.types import normal

if TYPE_CHECKING:
    from tests.workspace.sail import Sail
    from tests.workspace.spark import Spark

NOTHING = pa.table({})
_TEMPORARY = re.compile(
    rf"\s*create\s+(?:or\s+replace\s+)?(?:global\s+)?temp(?:orary)?\s+view\s+(?:if\s+not\s+exists\s+)?{metadata.NAME}",
    re.IGNORECASE,
)
_WRITES = re.compile(r"\s*(insert|update|delete|merge)\b", re.IGNORECASE)
_CREATES = re.compile(r"\s*(create|drop|alter)\b", re.IGNORECASE)


@dataclass
class Session:
    """What one client has set: its namespace. A statement by REST has a session of its own, which does not last."""

    namespace: Namespace = field(default_factory=Namespace)
    user: str = "analyst@example.com"
    lasts: bool = False


@dataclass(frozen=True)
class Query:
    """A statement to run. `tag` is what a cancel names."""

    text: str
    parameters: Sequence[Parameter] = ()
    tag: str = ""


class SqlEngine:
    """Runs statements. `sail` is asked for on every use, for it starts late and may restart; `shaped` hears of each."""

    def __init__(
        self, sail: "Callable[[], Sail]", access: Access, shaped: "Callable[[str, Spark], None]", scratch: Path
    ) -> None:
        self._sail = sail
        self.access = access
        self._shaped = shaped
        self.scratch = scratch

    def run(self, query: Query, session: Session) -> pa.Table:
        """The rows of a statement; an empty table without columns for one that has none. Raises SqlProblem."""
        text = query.text.strip().rstrip(";").rstrip()
        check_statement(self, text, session)
        for kind, act in (*metadata.STATEMENTS, *lakehouse.STATEMENTS, *granting.STATEMENTS):
            if match := kind.match(text):
                return act(self, match, session)
        answer = self._answer(text, query, session)
        self.access.made(session.user, owned(text, None, session.namespace))
        if not session.lasts and (view := _TEMPORARY.match(text)):
            self.spark(f"DROP VIEW IF EXISTS {view[1]}")
        return answer

    def rows(self, text: str) -> list[dict[str, Any]]:
        """The rows of an internal statement, as it stands."""
        return list(self.spark(text).to_pylist())

    def spark(self, text: str, arguments: Any = None, tag: str = "") -> pa.Table:
        """A statement of the engine's own dialect."""
        try:
            return self._on_sail(text, arguments, tag)
        except SparkError as error:
            raise problem(error, text) from error

    def cancel(self, tag: str) -> None:
        """Stop what runs under a tag."""
        self._sail().spark.interrupt(tag)

    def temporary_views(self) -> frozenset[str]:
        """Names that are views of the session, not tables of a schema."""
        return frozenset(
            row["tableName"].lower() for row in self.rows("SHOW VIEWS IN main.default") if row["isTemporary"]
        )

    def _on_sail(self, text: str, arguments: Any, tag: str) -> pa.Table:
        spark = self._sail().spark
        table = spark.sql(text, arguments, tag=tag)
        self._shaped(text, spark)
        return table

    def _answer(self, text: str, query: Query, session: Session) -> pa.Table:
        from tests.workspace.sql.literals import literals

        made = _TEMPORARY.match(text)
        temporary = self.temporary_views() | ({metadata.parts(made[1])[-1].lower()} if made else set())
        whole = complete(text, session.namespace, session.user, temporary)
        arguments = literals(query.parameters)
        fed = feed.create(self, whole, session)
        if fed is None and _WRITES.match(text):
            fed = feed.change(self, whole, arguments, session)
        if fed is not None:
            return fed
        try:
            ready = lakehouse.with_tables(self, whole, session)
            table = self._on_sail(ready, arguments, query.tag)
        except SparkError as error:
            raise problem(error, text) from error
        return normal(_as_databricks(self, text, table, session))


def _as_databricks(engine: SqlEngine, text: str, table: pa.Table, session: Session) -> pa.Table:
    """Sail answers a change with `count` or `value`; a warehouse names the affected rows, or nothing."""
    if table.column_names == ["count"] and (_WRITES.match(text) or _CREATES.match(text)):
        return affected.rows(engine, text, table.column(0)[0].as_py(), session)
    if table.column_names == ["value"] and _CREATES.match(text):
        return NOTHING
    return table
