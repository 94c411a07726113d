"""One run at a time on a thread, by the server's advisory locks."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, LiteralString

from checkpointers import lease as leases
from checkpointers.errors import StoreError, StoreUnavailable
from checkpointers.postgres.server import ATTEMPTS, Server, is_lost

if TYPE_CHECKING:
    from psycopg import Connection


class AdvisoryLocks:
    """Session locks of one connection beside the pool. When it dies the server frees them, and the fences hold."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._taken: set[str] = set()
        self._connection: Connection[Any] | None = None

    def attempt(self, thread_id: str) -> AdvisoryHold | None:
        with self._lock:
            if thread_id in self._taken:
                return None
            if not self._ask("SELECT pg_try_advisory_lock(%s)", thread_id):
                return None
            self._taken.add(thread_id)
            return AdvisoryHold(self, thread_id)

    def holder(self, thread_id: str) -> str:
        rows = self._server.rows("SELECT holder FROM saver_leases WHERE thread_id = %s", (thread_id,))
        who = rows[0][0] if rows else None
        return f"process {who['pid']} on {who['host']} (since {who['since']})" if who else "another run"

    def next_fence(self, thread_id: str) -> int:
        from psycopg.types.json import Jsonb

        rows = self._server.rows(
            "INSERT INTO saver_leases VALUES (%s, %s, %s) ON CONFLICT (thread_id) "
            "DO UPDATE SET fence = greatest(saver_leases.fence + 1, EXCLUDED.fence), holder = EXCLUDED.holder, "
            "cancel = NULL RETURNING fence",
            (thread_id, leases.fresh_fence(None), Jsonb(leases.me())),
        )
        fence: int = rows[0][0]
        return fence

    def request_cancel(self, thread_id: str) -> bool:
        free = self.attempt(thread_id)
        if free is not None:
            free.release()
            return False
        sql: LiteralString = "UPDATE saver_leases SET cancel = fence WHERE thread_id = %s RETURNING 1"
        return bool(self._server.rows(sql, (thread_id,)))

    def cancel_requested(self, thread_id: str) -> bool:
        rows = self._server.rows("SELECT cancel = fence FROM saver_leases WHERE thread_id = %s", (thread_id,))
        return bool(rows and rows[0][0])

    def give_back(self, thread_id: str) -> None:
        from psycopg import Error

        with self._lock:
            self._taken.discard(thread_id)
            with contextlib.suppress(Error, StoreError):  # the server frees a dead connection's locks itself
                self._ask("SELECT pg_advisory_unlock(%s)", thread_id)

    @contextlib.contextmanager
    def alone(self, task: str) -> Iterator[None]:
        for pause in leases.pauses(60):
            hold = self.attempt(f"\0{task}")
            if hold is not None:
                break
            threading.Event().wait(pause)
        else:
            raise StoreUnavailable(self._server.name, f"another program is at its {task} for a minute")
        try:
            yield
        finally:
            hold.release()

    def _ask(self, sql: LiteralString, thread_id: str) -> bool:
        from psycopg import Error, OperationalError

        for attempt in range(ATTEMPTS):
            try:
                answer: bool = self._connected().execute(sql, (self._key(thread_id),)).fetchall()[0][0]
                return answer
            except Error as error:
                self._connection = None
                if not is_lost(error) or attempt == ATTEMPTS - 1:
                    kind = StoreUnavailable if isinstance(error, OperationalError) else StoreError
                    raise kind(self._server.name, str(error)) from error
        raise AssertionError("unreachable")

    def _connected(self) -> Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = self._server.connected()
        return self._connection

    def key_of_rows(self, thread_id: str) -> int:
        """Of the lock that is shared by those who write a thread's rows; who removes some has it alone."""
        return self._key(f"\0rows\0{thread_id}")

    def _key(self, thread_id: str) -> int:
        text = f"checkpointers\0{self._server.schema or ''}\0{thread_id}"
        return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), signed=True)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class AdvisoryHold:
    def __init__(self, locks: AdvisoryLocks, thread_id: str) -> None:
        self._locks, self._thread_id = locks, thread_id

    def release(self) -> None:
        self._locks.give_back(self._thread_id)

    def cancel_requested(self) -> bool:
        return self._locks.cancel_requested(self._thread_id)
