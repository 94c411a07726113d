"""A workspace's SQL warehouse in the place of the local one: code runs here, its SQL there."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

from agent.data.session import QueryFailed
from agent.platforms.databricks.catalog import UnityCatalog
from agent.workspace.session import WarehouseSession
from agent.workspace.statements import StatementFailed, Statements

if TYPE_CHECKING:
    import pyarrow
    from databricks.sdk import WorkspaceClient


class RunSession(WarehouseSession):
    """The same with the errors that a local run's host knows."""

    def stream(self, *args: Any, **place: Any) -> Generator[pyarrow.RecordBatch, None, None]:
        try:
            yield from super().stream(*args, **place)
        except StatementFailed as error:
            raise QueryFailed(str(error)) from error


class RemoteWarehouse(UnityCatalog):
    """What the local mode asks of a warehouse, by databricks-sql-connector and the statement API."""

    def __init__(
        self, client: Callable[[], WorkspaceClient], warehouse_id: str, catalog: str | None, schema: str | None
    ) -> None:
        statements = Statements(client, warehouse_id)
        super().__init__(lambda: statements, catalog, schema)
        self._client, self._warehouse_id = client, warehouse_id

    def session(self) -> RunSession:
        """A connection for one run."""
        return RunSession(self._client(), self._warehouse_id, (self.catalog, self.schema))

    def query(self, sql: str, parameters: Any = None, *, limit: int | None = None) -> pyarrow.Table:
        """All rows, or the first `limit`; raises StatementFailed."""
        return self.statements().run(sql, parameters, rows=limit, catalog=self.catalog, schema=self.schema).table

    def aside(self) -> Sequence[Any]:
        """Nothing is loaded here, so nothing is left aside."""
        return ()
