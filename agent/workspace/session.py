"""SQL on a warehouse by databricks-sql-connector: Arrow batches as they come, bound parameters, an end on demand."""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from agent.workspace.statements import SETTING, StatementFailed

if TYPE_CHECKING:
    import pyarrow
    from databricks.sdk import WorkspaceClient

BATCH_ROWS = 65_536
SOCKET_SECONDS = 900


class WarehouseSession:
    """One caller's connection, made for its first statement. One statement at a time.

    `close` and `interrupt` may be called from any thread; they end a running statement.
    """

    def __init__(self, client: WorkspaceClient, warehouse_id: str, place: tuple[str | None, str | None]) -> None:
        self._client, self._warehouse_id, self._place = client, warehouse_id, place
        self._lock = threading.Lock()
        self._connections: dict[tuple[str | None, str | None], Any] = {}
        self._cursor: Any = None
        self._closed = False

    def stream(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        catalog: str | None = None,
        schema: str | None = None,
    ) -> Generator[pyarrow.RecordBatch, None, None]:
        """The schema as an empty batch, then the rows; raises StatementFailed, also on the way."""
        import pyarrow
        from databricks.sql import exc

        with self._lock:
            if self._closed:
                raise StatementFailed("the session is closed")
            try:
                with self._connected(catalog or self._place[0], schema or self._place[1]).cursor() as cursor:
                    self._cursor = cursor
                    cursor.execute(sql, dict(parameters) if parameters else None)
                    table = cursor.fetchmany_arrow(BATCH_ROWS)
                    yield pyarrow.RecordBatch.from_pylist([], schema=table.schema)
                    while table.num_rows:
                        yield from table.to_batches()
                        table = cursor.fetchmany_arrow(BATCH_ROWS)
            except (exc.Error, OSError, pyarrow.ArrowException) as error:
                raise StatementFailed(" ".join(str(error).split())) from error
            finally:
                self._cursor = None

    def interrupt(self) -> None:
        from databricks.sql import exc

        cursor = self._cursor
        if cursor is not None:
            with suppress(exc.Error):
                cursor.cancel()

    def close(self) -> None:
        """End a running statement and sign off."""
        from databricks.sql import exc

        self._closed = True
        while not self._lock.acquire(timeout=0.05):
            self.interrupt()
        try:
            for connection in self._connections.values():
                with suppress(exc.Error, OSError):
                    connection.close()
            self._connections.clear()
        finally:
            self._lock.release()

    def _connected(self, catalog: str | None, schema: str | None) -> Any:
        """A connection that looks names up in this place; raises StatementFailed."""
        if (catalog, schema) not in self._connections:
            self._connections[catalog, schema] = connect(self._client, self._warehouse_id, catalog, schema)
        return self._connections[catalog, schema]


def connect(client: WorkspaceClient, warehouse_id: str, catalog: str | None, schema: str | None) -> Any:
    """Signed in as the client is. Raises StatementFailed, which names data.warehouse_id."""
    from databricks import sql
    from databricks.sql import exc

    config = client.config
    host, path = str(config.host), f"/sql/1.0/warehouses/{warehouse_id}"
    plain = {"_connection_uri": f"{host}{path}"} if host.startswith("http://") else {}
    try:
        return sql.connect(
            server_hostname=host.partition("://")[2],
            http_path=path,
            credentials_provider=lambda: config.authenticate,
            catalog=catalog,
            schema=schema,
            enable_telemetry=False,
            _socket_timeout=SOCKET_SECONDS,
            **plain,
        )
    except (exc.Error, OSError) as error:
        said = " ".join(str(error).split())
        raise StatementFailed(
            f"The SQL warehouse {warehouse_id} can't be used: check {SETTING}. It says: {said}"
        ) from error
