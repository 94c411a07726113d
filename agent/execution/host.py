"""The host's side of `execute_sql`: asks the guard about the SQL text that is to run, runs it, streams the rows."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from agent.data.session import QueryFailed, Session
from agent.execution.inside.framing import LARGEST_REQUEST, FrameWriter, receive_json, send_json
from graph.types import Rejection

log = logging.getLogger(__name__)

CheckSql = Callable[[str], Rejection | None]
COUNTED_ROWS = 1_000_000
"""A preview's result is counted up to here; what is longer is not run to its end only to be counted."""


@dataclass(frozen=True)
class SqlAccess:
    """How a run gets at data: `session` opens its database, `check` says no to a statement or nothing.

    `catalog` and `schema` are where names are looked up first when a statement comes with neither.
    """

    session: Callable[[], Session]
    check: CheckSql
    catalog: str | None = None
    schema: str | None = None


@dataclass(frozen=True)
class Query:
    """`rows` is how many to send; None is all."""

    sql: str
    rows: int | None
    catalog: str | None
    schema: str | None


class Broker:
    """Answers one run's requests in a thread of its own until either side closes.

    `opening` is the frame that the run waits for before it starts.
    """

    def __init__(self, run_id: str, channel: socket.socket, sql: SqlAccess, opening: Mapping[str, Any]) -> None:
        self._run_id = run_id
        self._channel = channel
        self._sql = sql
        self._opening = opening
        self._session: Session | None = None
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name=f"broker-{run_id}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End a running statement, the thread, the session and the channel."""
        with self._closing:
            self._closed = True
        self._hang_up()
        if self._session is not None:
            self._session.close()
        if self._thread.ident is not None:
            self._thread.join()
        self._channel.close()

    def _hang_up(self) -> None:
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        number = 0
        try:
            send_json(self._channel, self._opening)
            while True:
                query = _query(receive_json(self._channel, LARGEST_REQUEST))
                number += 1
                self._answer(query, f"{self._run_id}-{number}")
        except (EOFError, OSError):
            return
        except (ValueError, KeyError, TypeError) as error:
            log.warning("a run broke the protocol", extra={"run_id": self._run_id, "reason": str(error)})
        finally:
            self._hang_up()

    def _answer(self, query: Query, statement_id: str) -> None:
        trailer: dict[str, Any] = {"error": None, "row_count": None, "statement_id": statement_id}
        frames = FrameWriter(self._channel)
        rejection = self._sql.check(query.sql)
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

        place = (
            (query.catalog, query.schema) if query.catalog or query.schema else (self._sql.catalog, self._sql.schema)
        )
        with closing(self._opened().stream(query.sql, catalog=place[0], schema=place[1])) as batches:
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

    def _opened(self) -> Session:
        """The run's session, opened for its first statement: most of the cost of SQL is here."""
        with self._closing:
            if self._closed:
                raise QueryFailed("the run has ended")
            if self._session is None:
                self._session = self._sql.session()
            return self._session


def _query(message: dict[str, Any]) -> Query:
    rows = message["rows"]
    return Query(str(message["sql"]), None if rows is None else int(rows), message["catalog"], message["schema"])
