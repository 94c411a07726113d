"""The host's side of `execute_sql`: asks the guard about the SQL text that is to run, runs it, streams the rows."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from agent.execution.warehouse import QueryFailed, Session
from agent.execution.wire import LARGEST_REQUEST, FrameWriter, receive_json, send_json
from graph.types import Rejection

log = logging.getLogger(__name__)

CheckSql = Callable[[str], Rejection | None]
COUNTED_ROWS = 1_000_000
"""A preview's result is counted up to here; what is longer is not run to its end only to be counted."""


@dataclass(frozen=True)
class Query:
    """`rows` is how many to send; None is all."""

    sql: str
    rows: int | None
    catalog: str | None
    schema: str | None


class Broker:
    """Answers one run's requests in a thread of its own until either side closes."""

    def __init__(self, run_id: str, channel: socket.socket, session: Session, check_sql: CheckSql) -> None:
        self._run_id = run_id
        self._channel = channel
        self._session = session
        self._check_sql = check_sql
        self._thread = threading.Thread(target=self._serve, name=f"broker-{run_id}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End a running statement, the thread, the session and the channel."""
        try:
            self._channel.shutdown(socket.SHUT_RDWR)
        except OSError:
            log.debug("the run closed its channel first", extra={"run_id": self._run_id})
        self._session.close()
        if self._thread.ident is not None:
            self._thread.join()
        self._channel.close()

    def _serve(self) -> None:
        number = 0
        while True:
            try:
                query = _query(receive_json(self._channel, LARGEST_REQUEST))
                number += 1
                self._answer(query, f"{self._run_id}-{number}")
            except (EOFError, OSError):
                return
            except (ValueError, KeyError, TypeError) as error:
                log.warning("a run broke the protocol", extra={"run_id": self._run_id, "reason": str(error)})
                return

    def _answer(self, query: Query, statement_id: str) -> None:
        trailer: dict[str, Any] = {"error": None, "row_count": None, "statement_id": statement_id}
        frames = FrameWriter(self._channel)
        rejection = self._check_sql(query.sql)
        if rejection is not None:
            trailer["error"] = f"{rejection.code}: {rejection.message}"
        else:
            try:
                trailer["row_count"] = self._send(query, frames)
            except QueryFailed as error:
                trailer["error"] = str(error)
        frames.end()
        send_json(self._channel, trailer)

    def _send(self, query: Query, frames: FrameWriter) -> int | None:
        """Stream the rows asked for; return how many the result has, None when it has too many to count."""
        import pyarrow

        with closing(self._session.stream(query.sql, catalog=query.catalog, schema=query.schema)) as batches:
            with pyarrow.ipc.new_stream(frames, next(batches).schema) as writer:
                count = 0
                for batch in batches:
                    rest = batch.num_rows if query.rows is None else query.rows - count
                    if rest > 0:
                        writer.write_batch(batch.slice(0, rest))
                    count += batch.num_rows
                    if query.rows is not None and count > max(COUNTED_ROWS, query.rows):
                        return None
        return count


def _query(message: dict[str, Any]) -> Query:
    rows = message["rows"]
    return Query(str(message["sql"]), None if rows is None else int(rows), message["catalog"], message["schema"])
