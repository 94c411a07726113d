"""A statement's life: pending, running, then succeeded, failed, canceled or closed; its result in chunks."""

import io
import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import lz4.frame
import pyarrow as pa
import pyarrow.csv as pa_csv

from tests.workspace.errors import not_found
from tests.workspace.journal import Journal
from tests.workspace.sql.engine import Query, Session, SqlEngine
from tests.workspace.sql.problems import SqlProblem
from tests.workspace.sql.types import json_column

State = Literal["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELED", "CLOSED"]
CHUNK_ROWS = 100_000
INLINE_LIMIT = 25 * 1024 * 1024


@dataclass(frozen=True)
class Chunk:
    """A slice of a result."""

    index: int
    offset: int
    rows: int


class Statement:
    """One statement; it runs in a thread of its own from the start."""

    def __init__(
        self, engine: SqlEngine, journal: Journal, query: Query, session: Session, row_limit: int | None
    ) -> None:
        self.id = str(uuid.uuid4())
        self.user = session.user
        self.state: State = "PENDING"
        self.problem: SqlProblem | None = None
        self.table: pa.Table | None = None
        self.truncated = False
        self.disposition = "INLINE"
        self.format = "JSON_ARRAY"
        self._engine = engine
        self._journal = journal
        self._query = Query(query.text, query.parameters, tag=self.id)
        self._session = session
        self._row_limit = row_limit
        self._done = threading.Event()
        self._lock = threading.Lock()

    def start(self, before: Callable[[], None]) -> "Statement":
        """Run it; `before` waits for what must come first (a stopped warehouse)."""
        threading.Thread(target=self._run, args=(before,), name=f"statement-{self.id}", daemon=True).start()
        return self

    def wait(self, seconds: float | None) -> bool:
        """Whether it has ended within so many seconds (None: however long it takes)."""
        return self._done.wait(seconds)

    def cancel(self) -> None:
        """Stop it if it still runs; a statement that has ended stays as it is."""
        with self._lock:
            if self.state not in ("PENDING", "RUNNING"):
                return
            was_running = self.state == "RUNNING"
            self.state = "CANCELED"
        self._journal.write("statement_canceled", self.id, text=self._query.text)
        self._done.set()
        if was_running:
            threading.Thread(target=self._engine.cancel, args=(self.id,), daemon=True).start()

    def close(self) -> None:
        """Let the result go. Once or often, it is the same."""
        self.cancel()
        with self._lock:
            if self.state == "SUCCEEDED":
                self.state = "CLOSED"
                self.table = None

    @property
    def chunks(self) -> list[Chunk]:
        """The slices of the result."""
        rows = self.table.num_rows if self.table is not None else 0
        starts = range(0, rows, CHUNK_ROWS)
        return [Chunk(index, start, min(CHUNK_ROWS, rows - start)) for index, start in enumerate(starts)]

    def chunk(self, index: int) -> Chunk:
        """One slice; 404 if there is none."""
        chunks = self.chunks
        if not 0 <= index < len(chunks):
            raise not_found(f"chunk {index} of statement {self.id} does not exist")
        return chunks[index]

    def slice(self, chunk: Chunk) -> pa.Table:
        """The rows of a slice."""
        assert self.table is not None
        return self.table.slice(chunk.offset, chunk.rows)

    def rows(self, chunk: Chunk) -> list[list[str | None]]:
        """The rows of a slice as JSON carries them."""
        columns = [json_column(column) for column in self.slice(chunk).columns]
        return [list(row) for row in zip(*columns, strict=True)]

    def _run(self, before: Callable[[], None]) -> None:
        before()
        with self._lock:
            if self.state != "PENDING":
                return
            self.state = "RUNNING"
        self._journal.write("statement_run", self.id, text=self._query.text)
        try:
            table = self._engine.run(self._query, self._session)
        except SqlProblem as error:
            self._end("FAILED", problem=error)
        except Exception as error:  # noqa: BLE001 - the edge of the engine: an unknown failure is the statement's
            self._end("FAILED", problem=SqlProblem("INTERNAL_ERROR", f"{type(error).__name__}: {error}", "XX000"))
        else:
            self._end("SUCCEEDED", table=table)

    def _end(self, state: State, *, table: pa.Table | None = None, problem: SqlProblem | None = None) -> None:
        with self._lock:
            if self.state == "RUNNING":
                if table is not None and self._row_limit is not None and table.num_rows > self._row_limit:
                    table, self.truncated = table.slice(0, self._row_limit), True
                self.state, self.table, self.problem = state, table, problem
        self._done.set()


@lru_cache(maxsize=64)
def encoded(statement: Statement, index: int, format_name: str, compressed: bool) -> bytes:
    """A slice as a file: an Arrow stream (LZ4 when compressed), JSON or CSV."""
    chunk = statement.chunk(index)
    if format_name == "JSON_ARRAY":
        return json.dumps(statement.rows(chunk)).encode()
    rows = statement.slice(chunk)
    sink = io.BytesIO()
    if format_name == "CSV":
        pa_csv.write_csv(rows, sink)
        return sink.getvalue()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return lz4.frame.compress(sink.getvalue()) if compressed else sink.getvalue()


class Statements:
    """All statements of the workspace by id."""

    def __init__(self, engine: SqlEngine, journal: Journal) -> None:
        self._engine = engine
        self._journal = journal
        self._known: dict[str, Statement] = {}

    def start(
        self,
        query: Query,
        session: Session,
        *,
        row_limit: int | None = None,
        before: Callable[[], None] = lambda: None,
    ) -> Statement:
        """Take a statement on."""
        statement = Statement(self._engine, self._journal, query, session, row_limit)
        self._known[statement.id] = statement
        return statement.start(before)

    def get(self, statement_id: str) -> Statement:
        """A statement that was taken on; 404 otherwise."""
        statement = self._known.get(statement_id)
        if statement is None:
            raise not_found(f"The statement {statement_id} was not found.", "NOT_FOUND")
        return statement

    def cancel_all(self) -> None:
        """Stop whatever runs."""
        for statement in list(self._known.values()):
            statement.cancel()
