"""What is asked of an artifact store beyond what the machine needs: to list, read and delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

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
    def finish(self, artifact_id: str, result: ExecutionResult) -> None:
        """Keep the result of its run."""

    def notes(self, artifact_id: str) -> Sequence[Mapping[str, Any]]:
        """What readers wrote down of its output; empty when nobody had to read it."""

    def write_handed(self, artifact_id: str, handed: Mapping[str, Any]) -> None:
        """Keep what `handed` gives."""

    def answers(self, artifact_id: str) -> Path:
        """The folder of the values that it answered with, there or not."""

    def thread_of(self, artifact_id: str) -> str | None:
        """Whose it is; None when there is no such artifact. Raises InvalidRequest for what is no artifact id."""

    def open(self, artifact_id: str, name: str) -> AbstractContextManager[BinaryIO]:
        """One of its files, to read bytes of. Raises FileNotFoundError, and Unreadable for what is no plain file."""

    def files(self, artifact_id: str) -> tuple[str, ...]:
        """The names of its files, without links and hidden ones."""

    def read(self, artifact_id: str) -> ArtifactSummary:
        """Raises InvalidRequest when there is no such artifact."""

    def list(self) -> tuple[ArtifactSummary, ...]:
        """All artifacts, the newest first."""

    def delete(self, artifact_id: str) -> None:
        """Remove its folder with all that is in it; one that is not there is no error."""
