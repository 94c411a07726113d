"""Telemetry: what happened, one row each, gathered and written in batches so that a turn does not wait for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from agent.records.columns import ADK_TELEMETRY, columns_of
from agent.records.database import insert, to_plain
from agent.records.engine import Engine, RecordsUnavailable
from agent.redaction.payload import to_json
from agent.redaction.secrets import redact_text

LINGER_SECONDS = 0.2
BATCH_ROWS = 200
WAITING_ROWS = 5_000

log = logging.getLogger(__name__)

COLUMNS = tuple(column.name for column in columns_of(ADK_TELEMETRY.row))
FIELDS = frozenset(COLUMNS) - {"callback_name", "payload_json", "created_time"} | {"payload"}


class TelemetryLog:
    """Rows reach the file after at most LINGER_SECONDS, and on `flush` at once."""

    def __init__(self, database: Engine, app_name: str, max_payload_chars: int) -> None:
        self._database = database
        self._app_name = app_name
        self._max_chars = max_payload_chars
        self._waiting: list[tuple[Any, ...]] = []
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._writer: threading.Thread | None = None

    def add(self, callback_name: str, fields: Mapping[str, Any]) -> None:
        """Raises ValueError for a field that is no column."""
        row = self._row(callback_name, fields)
        with self._lock:
            self._waiting.append(row)
            full = len(self._waiting) >= BATCH_ROWS
            if self._writer is None and not self._closed.is_set():
                self._writer = threading.Thread(target=self._write_on, name="telemetry", daemon=True)
                self._writer.start()
        self._wake.set()
        if full:
            self.flush()

    def flush(self) -> None:
        """Write what waits. Telemetry never ends a turn: rows that the file refuses wait for the next time."""
        with self._writing:
            with self._lock:
                rows, self._waiting = self._waiting, []
            if not rows:
                return
            try:
                with self._database.write() as connection:
                    connection.executemany(insert(ADK_TELEMETRY), rows)
            except RecordsUnavailable as error:
                self._keep(rows, error)

    def _keep(self, rows: list[tuple[Any, ...]], error: RecordsUnavailable) -> None:
        """Hold the newest rows back for another try; the log counts those that are lost."""
        with self._lock:
            waiting = [*rows, *self._waiting]
            self._waiting = [] if self._closed.is_set() else waiting[-WAITING_ROWS:]
            lost = len(waiting) - len(self._waiting)
        log.warning("telemetry not written", extra={"waiting": len(waiting) - lost, "lost": lost, "reason": str(error)})

    def close(self) -> None:
        self._closed.set()
        self._wake.set()
        if self._writer is not None:
            self._writer.join()
        self.flush()

    def _write_on(self) -> None:
        while not self._closed.is_set():
            self._wake.wait()
            self._closed.wait(LINGER_SECONDS)
            self._wake.clear()
            self.flush()

    def _row(self, callback_name: str, fields: Mapping[str, Any]) -> tuple[Any, ...]:
        if unknown := sorted(fields.keys() - FIELDS):
            raise ValueError(f"adk_telemetry has no column {', '.join(unknown)}; there are {', '.join(sorted(FIELDS))}")
        now = datetime.now(UTC)
        given: dict[str, Any] = {"telemetry_id": uuid4().hex, "ts": now, "app_name": self._app_name, **fields}
        given |= {"callback_name": callback_name, "created_time": now, "payload_json": self._payload(fields)}
        if reason := given.get("blocked_reason"):
            given["blocked_reason"] = redact_text(reason)
        return tuple(to_plain(given.get(name)) for name in COLUMNS)

    def _payload(self, fields: Mapping[str, Any]) -> str | None:
        payload = fields.get("payload")
        return None if payload is None else to_json(payload, self._max_chars)
