"""What is written down for people who ask later, wherever it is kept: the platform brings the implementation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agent.records.columns import ArtifactRow, RunRow, TelemetryRow, TurnRow
from graph.context import Records


class RecordStore(Protocol):
    """Safe to use from every thread. Raises RecordsUnavailable when it can't be read or written."""

    def for_request(self, thread_id: str, request_id: str, user_id: str) -> Records:
        """The records as one request writes them."""

    def record_run(self, run: RunRow) -> None: ...

    def turn_started(self, thread_id: str, request_id: str) -> None: ...

    def turn_ended(self, thread_id: str, request_id: str) -> None: ...

    def request_cancel(self, thread_id: str) -> bool:
        """Ask every turn of the thread that runs in any process to stop; False when none runs."""

    def cancel_requested(self, thread_id: str, request_id: str) -> bool: ...

    def running_turns(self, thread_id: str) -> Sequence[TurnRow]: ...

    def running_threads(self) -> Sequence[str]:
        """The threads on which a turn runs, in any process."""

    def artifact(self, artifact_id: str) -> ArtifactRow | None: ...

    def artifacts(self, thread_id: str) -> Sequence[ArtifactRow]: ...

    def runs(self, thread_id: str) -> Sequence[RunRow]: ...

    def telemetry_rows(
        self, thread_id: str | None = None, request_id: str | None = None, callback_name: str | None = None
    ) -> Sequence[TelemetryRow]: ...

    def forget(self, thread_id: str) -> int:
        """Delete what is kept about a thread; the number of rows."""

    def flush(self) -> None: ...
