"""A backend that runs nothing and says why, for identities that must not use the executor."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

from agent.execution.claim import artifact_id_of, run_id_of
from graph.context import ArtifactStore, RunHost
from graph.errors import InvalidRequest
from graph.types import Artifact, ExecutionResult, RunStatus


class Finishing(ArtifactStore, Protocol):
    def finish(self, artifact_id: str, result: ExecutionResult) -> None: ...


class RefusedBackend:
    """Implements graph.context.ExecutionBackend: each run has failed before it began, with the reason."""

    def __init__(self, artifacts: Finishing, reason: str) -> None:
        self._artifacts, self._reason = artifacts, reason

    def submit(self, artifact: Artifact, idempotency_token: str, host: RunHost) -> str:
        host.close()
        self._artifacts.write(artifact)
        run_id = run_id_of(artifact.artifact_id, idempotency_token)
        if self._artifacts.result(artifact.artifact_id) is None:
            now = datetime.now(UTC).isoformat()
            path = f"{artifact.path}/code.py"
            result = ExecutionResult("failed", path, run_id, artifact.iteration, now, now, 0.0, error=self._reason)
            self._artifacts.finish(artifact.artifact_id, result)
        return run_id

    def poll(self, run_id: str) -> RunStatus | ExecutionResult:
        artifact_id = artifact_id_of(run_id)
        result = self._artifacts.result(artifact_id) if artifact_id else None
        if result is None:
            raise InvalidRequest(f"{run_id!r} is no run id")
        return result

    def find(self, artifact: Artifact, idempotency_token: str) -> str | None:
        """None: a refusal is said again."""
        return None

    def cancel(self, run_id: str, reason: str = "") -> None:
        self.poll(run_id)
