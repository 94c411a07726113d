"""What is asked of an artifact store beyond what the machine needs: to list, read and delete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from graph.context import ArtifactStore
from graph.types import ExecutionResult


@dataclass(frozen=True)
class ArtifactSummary:
    """What `artifacts list` and `show` tell. `status` is the result's, or `running` (pending counts as it)."""

    artifact_id: str
    thread_id: str
    iteration: int
    created: str
    status: str
    duration_seconds: float | None
    instruction: str | None
    code: str
    result: ExecutionResult | None
    digest: str | None
    files: tuple[str, ...]


class Artifacts(ArtifactStore, Protocol):
    def read(self, artifact_id: str) -> ArtifactSummary:
        """Raises InvalidRequest when there is no such artifact."""

    def list(self) -> tuple[ArtifactSummary, ...]:
        """All artifacts, the newest first."""

    def delete(self, artifact_id: str) -> None:
        """Remove its folder with all that is in it; one that is not there is no error."""
