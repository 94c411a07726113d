"""SQL by a warehouse's statement API: previews inline, whole results as Arrow by links, four at a time."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

from agent.workspace.refusals import named
from agent.workspace.types import arrow_type
from graph.errors import InvalidRequest

if TYPE_CHECKING:
    import pyarrow
    from databricks.sdk import WorkspaceClient

SETTING = "data.warehouse_id"
AT_ONCE = 4
INLINE_ROWS = 1_000
"""Up to so many rows come inline, as JSON texts; more are fetched as Arrow."""
WAIT = "5s"
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
LINK_SECONDS = 120.0
TRIES = 3


class StatementFailed(InvalidRequest):
    """The warehouse refused or failed a statement; the text is the warehouse's."""


@dataclass(frozen=True)
class Answer:
    """`row_count` is the whole result's, None when it was cut at the rows that were asked for."""

    table: pyarrow.Table
    row_count: int | None
    statement_id: str


@dataclass
class Statements:
    """Statements on one warehouse; safe to use from many threads. `begun` is told each statement's id as soon as it is
    known, so that whoever keeps it can `attach` to it from another process.
    """

    client: Callable[[], WorkspaceClient]
    warehouse_id: str
    begun: Callable[[str], None] = lambda statement_id: None
    _running: set[str] = field(default_factory=set)
    _cancelled: threading.Event = field(default_factory=threading.Event)

    def run(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        rows: int | None = None,
        catalog: str | None = None,
        schema: str | None = None,
    ) -> Answer:
        """Run a statement to its end; `:name` in it is bound to the parameter of that name.

        At most `rows` rows are fetched (None: all). Raises StatementFailed.
        """
        from databricks.sdk.service.sql import Disposition, Format, StatementParameterListItem

        inline = rows is not None and rows <= INLINE_ROWS
        bound = [StatementParameterListItem(name, value=_text(value)) for name, value in (parameters or {}).items()]
        with self._named():
            response = self.client().statement_execution.execute_statement(
                sql,
                self.warehouse_id,
                catalog=catalog,
                schema=schema,
                parameters=bound or None,
                row_limit=rows,
                disposition=Disposition.INLINE if inline else Disposition.EXTERNAL_LINKS,
                format=Format.JSON_ARRAY if inline else Format.ARROW_STREAM,
                wait_timeout=WAIT,
            )
        return self._finish(response)

    def attach(self, statement_id: str) -> Answer:
        """Go on waiting for a statement that was begun before, here or elsewhere. Raises StatementFailed."""
        with self._named():
            response = self.client().statement_execution.get_statement(statement_id)
        return self._finish(response)

    def cancel(self) -> None:
        """End what runs and refuse what comes; from any thread."""
        self._cancelled.set()
        for statement_id in list(self._running):
            with self._named():
                self.client().statement_execution.cancel_execution(statement_id)

    def _finish(self, response: Any) -> Answer:
        statement_id = str(response.statement_id)
        self._running.add(statement_id)
        try:
            self.begun(statement_id)
            return self._fetch(self._await(response), statement_id)
        finally:
            self._running.discard(statement_id)

    def _await(self, response: Any) -> Any:
        began = monotonic()
        while response.status and response.status.state and response.status.state.value in ("PENDING", "RUNNING"):
            pause = min(max((monotonic() - began) / 5, SHORTEST_PAUSE), LONGEST_PAUSE)
            if self._cancelled.wait(pause):
                with self._named():
                    self.client().statement_execution.cancel_execution(response.statement_id)
                raise StatementFailed("the statement was cancelled")
            with self._named():
                response = self.client().statement_execution.get_statement(response.statement_id)
        return response

    def _fetch(self, response: Any, statement_id: str) -> Answer:
        status = response.status
        state = status.state.value if status and status.state else "UNKNOWN"
        if state != "SUCCEEDED":
            raise StatementFailed(_reason(state, status))
        manifest = response.manifest
        schema = _schema(manifest)
        if manifest.format.value == "ARROW_STREAM":
            table = self._linked(statement_id, manifest.total_chunk_count or 0, response.result, schema)
        else:
            table = self._inline(statement_id, response.result, schema)
        return Answer(table, None if manifest.truncated else table.num_rows, statement_id)

    def _inline(self, statement_id: str, result: Any, schema: pyarrow.Schema) -> pyarrow.Table:
        lines = list(result.data_array or []) if result else []
        following = result.next_chunk_index if result else None
        while following is not None:
            with self._named():
                result = self.client().statement_execution.get_statement_result_chunk_n(statement_id, following)
            lines += result.data_array or []
            following = result.next_chunk_index
        return _table(lines, schema)

    def _linked(self, statement_id: str, chunks: int, first: Any, schema: pyarrow.Schema) -> pyarrow.Table:
        """All chunks in order. A result without rows has none, and its types are the manifest's."""
        import pyarrow

        given = {link.chunk_index: link for link in (first.external_links or [])} if first else {}
        with ThreadPoolExecutor(AT_ONCE, "chunk") as pool:
            tables = list(pool.map(lambda index: self._chunk(statement_id, index, given.get(index)), range(chunks)))
        return pyarrow.concat_tables(tables) if tables else schema.empty_table()

    def _chunk(self, statement_id: str, index: int, link: Any) -> pyarrow.Table:
        """One chunk by its link, which is asked for anew when it was refused: they expire soon."""
        import pyarrow
        import requests

        for attempt in range(TRIES):
            if self._cancelled.is_set():
                raise StatementFailed("the statement was cancelled")
            if link is None:
                with self._named():
                    found = self.client().statement_execution.get_statement_result_chunk_n(statement_id, index)
                link = next(one for one in found.external_links or [] if one.chunk_index == index)
            try:
                response = requests.get(link.external_link, headers=link.http_headers, timeout=LINK_SECONDS)
                response.raise_for_status()
                return pyarrow.ipc.open_stream(response.content).read_all()
            except (requests.RequestException, pyarrow.ArrowInvalid) as error:
                link = None
                if attempt == TRIES - 1:
                    raise StatementFailed(f"chunk {index} of the result can't be fetched: {error}") from error
                self._cancelled.wait(2**attempt / 4)
        raise AssertionError("unreachable")

    def _named(self) -> Any:
        return named(StatementFailed, f"The SQL warehouse {self.warehouse_id}", SETTING)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _reason(state: str, status: Any) -> str:
    if status is not None and status.error and status.error.message:
        return str(status.error.message)
    return {
        "CANCELED": "the statement was cancelled",
        "CLOSED": "the statement's result is no longer kept: run it again",
    }.get(state, f"the statement ended as {state}")


def _schema(manifest: Any) -> pyarrow.Schema:
    import pyarrow

    columns = (manifest.schema.columns or []) if manifest.schema else []
    return pyarrow.schema([(column.name, arrow_type(column.type_text or "STRING")) for column in columns])


def _table(lines: list[list[str | None]], schema: pyarrow.Schema) -> pyarrow.Table:
    """Rows of JSON texts as the types that they stand for; nested values stay JSON texts."""
    import pyarrow

    columns = list(zip(*lines, strict=True)) if lines else [() for _ in schema]
    arrays = [_typed(list(texts), column.type) for texts, column in zip(columns, schema, strict=True)]
    return pyarrow.table(arrays, names=schema.names)


def _typed(texts: list[str | None], kind: pyarrow.DataType) -> pyarrow.Array:
    import pyarrow

    if pyarrow.types.is_binary(kind):
        return pyarrow.array([None if text is None else base64.b64decode(text) for text in texts], kind)
    plain = pyarrow.array(texts, pyarrow.string())
    if pyarrow.types.is_nested(kind) or pyarrow.types.is_null(kind):
        return plain
    try:
        return plain.cast(kind)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
        return plain
