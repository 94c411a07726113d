"""One line of code, run as any other: whether this machine can run code at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from graph.context import Handler, ReadingAllowance
from graph.errors import BackendUnavailable, HostError
from graph.types import Artifact, ExecutionResult

if TYPE_CHECKING:
    from agent.artifacts.folder import FolderArtifacts
    from agent.config import Settings

PATIENCE = 30.0
TRIAL = "art_000000000000"


class NoData:
    """A RunHost that answers nothing."""

    setup: Mapping[str, Any] = {"catalog": None, "schema": None, "text": []}
    handlers: Mapping[str, Handler] = {}

    def allowance(self) -> ReadingAllowance:
        raise HostError("a trial run asks no model")

    def settle(self, report: Mapping[str, Any] | None) -> None: ...

    def close(self) -> None: ...


def run_trial(settings: Settings, artifacts: FolderArtifacts) -> ExecutionResult:
    """Raises BackendUnavailable when it does not end."""
    from agent.platforms.local import open_backend

    artifact = Artifact(TRIAL, "doctor", "doctor", 1, "print(6 * 7)", None, artifacts.folder(TRIAL))
    with open_backend(settings, artifacts) as backend:
        run_id = backend.submit(artifact, TRIAL, NoData())
        backend.wait(run_id, PATIENCE)
        result = backend.poll(run_id)
    if not isinstance(result, ExecutionResult):
        raise BackendUnavailable(f"a trial run has not ended in {PATIENCE:.0f} s")
    return result
