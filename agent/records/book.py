"""All records together: artifact registry, run state, telemetry and running turns, in whichever database."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from agent.records.columns import ADK_TELEMETRY, ArtifactRow, ArtifactType, RunRow, TelemetryRow, TurnRow
from agent.records.engine import Engine
from agent.records.lifecycle import IllegalStep, UnknownArtifact
from agent.records.registry import ArtifactRegistry
from agent.records.telemetry import TelemetryLog
from agent.records.turns import RunningTurns
from graph.types import Artifact, ArtifactStatus

log = logging.getLogger(__name__)


class RecordBook:
    """Implements agent.records.protocol.RecordStore over any engine; `machine` tells those apart that share it."""

    def __init__(self, database: Engine, app_name: str, max_payload_chars: int, machine: str = "") -> None:
        self._database = database
        self._registry = ArtifactRegistry(database)
        self._telemetry = TelemetryLog(database, app_name, max_payload_chars)
        self._turns = RunningTurns(database, machine)

    def for_request(self, thread_id: str, request_id: str, user_id: str) -> RequestRecords:
        return RequestRecords(self, thread_id, request_id, user_id)

    # written during a run

    def register(self, artifact: Artifact, code_key: str, artifact_type: ArtifactType = "delegation_request") -> None:
        self._registry.register(artifact, code_key, artifact_type)

    def advance(self, artifact_id: str, status: ArtifactStatus, metadata: Mapping[str, Any] | None = None) -> None:
        """Metadata is merged as JSON. `run_id` and `task_refs` in it are recorded as the artifact's run,
        `stdout_artifact_key` and `stderr_artifact_key` fill their columns. Raises IllegalStep, UnknownArtifact.
        """
        self._registry.advance(artifact_id, status, metadata or {})

    def telemetry(self, callback_name: str, **fields: Any) -> None:
        self._telemetry.add(callback_name, fields)

    def record_run(self, run: RunRow) -> None:
        self._registry.record_run(run)

    # running turns and their cancellation, across processes

    def turn_started(self, thread_id: str, request_id: str) -> None:
        self._turns.started(thread_id, request_id)

    def turn_ended(self, thread_id: str, request_id: str) -> None:
        self._turns.ended(thread_id, request_id)
        self._telemetry.flush()

    def request_cancel(self, thread_id: str) -> bool:
        """Ask every turn of the thread that runs in any process here to stop; False when none runs."""
        return self._turns.request_cancel(thread_id)

    def cancel_requested(self, thread_id: str, request_id: str) -> bool:
        return self._turns.cancel_requested(thread_id, request_id)

    def running_turns(self, thread_id: str) -> list[TurnRow]:
        return self._turns.running(thread_id)

    def running_threads(self) -> list[str]:
        return self._turns.threads()

    # asked later

    def artifact(self, artifact_id: str) -> ArtifactRow | None:
        return self._registry.artifact(artifact_id)

    def artifacts(self, thread_id: str) -> list[ArtifactRow]:
        return self._registry.artifacts(thread_id)

    def runs(self, thread_id: str) -> list[RunRow]:
        return self._registry.runs(thread_id)

    def telemetry_rows(
        self, thread_id: str | None = None, request_id: str | None = None, callback_name: str | None = None
    ) -> list[TelemetryRow]:
        """In the order in which they happened; what is not given is not filtered by."""
        self._telemetry.flush()
        asked = {"session_id": thread_id, "invocation_id": request_id, "callback_name": callback_name}
        given = {name: value for name, value in asked.items() if value is not None}
        where = " AND ".join(f"{name} = ?" for name in given)
        tail = f"WHERE {where} ORDER BY ts, telemetry_id" if where else "ORDER BY ts, telemetry_id"
        return self._database.rows(ADK_TELEMETRY, tail, tuple(given.values()), TelemetryRow)

    def forget(self, thread_id: str) -> int:
        """Delete what is kept about a thread; the number of rows."""
        self._telemetry.flush()
        owners = {
            "artifact_registry": "session_id",
            "adk_telemetry": "session_id",
            "run_state": "thread_id",
            "running_turns": "thread_id",
        }
        with self._database.write() as connection:
            deleted = (
                connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (thread_id,))  # noqa: S608 - our names
                for table, column in owners.items()
            )
            return sum(int(cursor.rowcount) for cursor in deleted)

    def flush(self) -> None:
        self._telemetry.flush()

    def close(self) -> None:
        self._telemetry.close()
        self._database.close()

    def __enter__(self) -> RecordBook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class RequestRecords:
    """The records as one request sees them: `graph.context.Records`, with thread, request and user filled in."""

    def __init__(self, records: RecordBook, thread_id: str, request_id: str, user_id: str) -> None:
        self._records = records
        self._ids = {"session_id": thread_id, "invocation_id": request_id, "user_id": user_id}

    def register(self, artifact: Artifact, code_key: str) -> None:
        self._records.register(artifact, code_key)

    def advance(self, artifact_id: str, status: ArtifactStatus, metadata: Mapping[str, Any] | None = None) -> None:
        """A record that is gone, or of another home, ends no turn: it is kept for people who ask later."""
        try:
            self._records.advance(artifact_id, status, metadata)
        except (IllegalStep, UnknownArtifact) as error:
            log.warning("not_recorded", extra={"artifact_id": artifact_id, "status": status, "reason": str(error)})

    def telemetry(self, callback_name: str, **fields: Any) -> None:
        self._records.telemetry(callback_name, **(self._ids | fields))
