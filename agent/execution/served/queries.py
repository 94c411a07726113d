"""SQL for a run, over its data: the very text is checked, and its time and memory are bounded."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, BinaryIO

from agent.data.session import QueryFailed, Session
from graph.errors import HostError

if TYPE_CHECKING:
    from agent.execution.host import Data

PREVIEW_BYTES = 32 << 20
COUNTED_ROWS = 1_000_000
"""A preview's result is counted up to here; what is longer is not run to its end only to be counted."""


Place = tuple[str | None, str | None]
"""Catalog and schema where names are looked up first."""


class Queries:
    """`close` may be called from any thread and ends a running statement."""

    def __init__(self, data: Data, name: str) -> None:
        self._data, self._name = data, name
        self._session: Session | None = None
        self._closing = threading.Lock()
        self._closed = False
        self._statements = itertools.count(1)

    def close(self) -> None:
        with self._closing:
            self._closed = True
        if self._session is not None:
            self._session.close()

    def answer_sql(self, request: Mapping[str, Any], frames: BinaryIO) -> Mapping[str, Any]:
        """`rows` of the request is how many to send, None for all. Raises HostError."""
        sql, statement = str(request["sql"]), next(self._statements)
        rejection = self._data.check_sql(sql)
        if rejection is not None:
            raise HostError(f"{rejection.code}: {rejection.message}")
        rows = None if request["rows"] is None else int(request["rows"])
        place = (request["catalog"], request["schema"])
        if not any(place):
            place = (self._data.catalog, self._data.schema)
        try:
            return {"row_count": self._bounded(sql, rows, place, frames), "statement_id": f"{self._name}-{statement}"}
        except QueryFailed as error:
            raise HostError(str(error)) from error

    def _bounded(
        self, sql: str, rows: int | None, place: tuple[str | None, str | None], frames: BinaryIO
    ) -> int | None:
        """As `_send`, within the statement's time."""
        session, seconds = self._open_session(), self._data.sql_seconds
        late = threading.Event()

        def end() -> None:
            late.set()
            session.interrupt()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            return self._send(session, sql, rows, place, frames)
        except QueryFailed as error:
            if late.is_set():
                raise QueryFailed(
                    f"the statement took longer than {seconds:g} s (execution.sql_seconds) and was ended: ask for less"
                ) from error
            raise
        finally:
            timer.cancel()

    def _send(self, session: Session, sql: str, rows: int | None, place: Place, frames: BinaryIO) -> int | None:
        """Stream the rows asked for; return how many the result has, None when it has too many to count.

        When not all rows are asked for, those of wide results end at PREVIEW_BYTES.
        """
        import pyarrow

        with closing(session.stream(sql, catalog=place[0], schema=place[1])) as batches:
            with pyarrow.ipc.new_stream(frames, next(batches).schema) as writer:
                count = sent = 0
                for batch in batches:
                    rest = batch.num_rows if rows is None else rows - count
                    if rest > 0 and (rows is None or sent < PREVIEW_BYTES):
                        part = batch.slice(0, rest)
                        writer.write_batch(part)
                        sent += part.nbytes
                    count += batch.num_rows
                    if rows is not None and count > max(COUNTED_ROWS, rows):
                        return None
        return count

    def _open_session(self) -> Session:
        """The run's session, opened for its first statement: most of the cost of SQL is here."""
        with self._closing:
            if self._closed:
                raise QueryFailed("the run has ended")
            if self._session is None:
                self._session = self._data.session()
            return self._session
