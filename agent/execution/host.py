"""What a run of this machine may ask of us: SQL over its data. A new kind of request is a line in `handlers`."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from agent.data.session import QueryFailed, Session
from graph.context import Handler, RunContext
from graph.errors import HostError
from graph.types import Artifact, Rejection

CheckSql = Callable[[str], Rejection | None]
PREVIEW_BYTES = 32 << 20
COUNTED_ROWS = 1_000_000
"""A preview's result is counted up to here; what is longer is not run to its end only to be counted."""


@dataclass(frozen=True)
class Data:
    """What runs may ask about: `session` opens a database for one run, `check_sql` sees every SQL text before it runs
    and may say no with a reason.

    `text` are the files of `context`; `catalog` and `schema` are where unqualified names are looked up first.
    """

    session: Callable[[], Session]
    check_sql: CheckSql
    text: tuple[Path, ...] = ()
    catalog: str | None = None
    schema: str | None = None


def open_host(data: Data, ctx: RunContext, artifact: Artifact) -> LocalHost:
    return LocalHost(data, artifact.artifact_id)


class LocalHost:
    """Implements graph.context.RunHost. `close` may be called from any thread and ends a running statement."""

    def __init__(self, data: Data, name: str) -> None:
        self._data, self._name = data, name
        self._session: Session | None = None
        self._closing = threading.Lock()
        self._closed = False
        self._statements = itertools.count(1)
        self.handlers: Mapping[str, Handler] = {"sql": self.answer_sql}

    @property
    def setup(self) -> Mapping[str, Any]:
        data = self._data
        return {"catalog": data.catalog, "schema": data.schema, "text": [str(path) for path in data.text]}

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
            return {"row_count": self._send(sql, rows, place, frames), "statement_id": f"{self._name}-{statement}"}
        except QueryFailed as error:
            raise HostError(str(error)) from error

    def _send(self, sql: str, rows: int | None, place: tuple[str | None, str | None], frames: BinaryIO) -> int | None:
        """Stream the rows asked for; return how many the result has, None when it has too many to count.

        When not all rows are asked for, those of wide results end at PREVIEW_BYTES.
        """
        import pyarrow

        with closing(self._open_session().stream(sql, catalog=place[0], schema=place[1])) as batches:
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
