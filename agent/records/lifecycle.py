"""The life of an artifact: pending → executing → completed | failed → consumed, and no other way."""

from __future__ import annotations

from collections.abc import Mapping

from graph.errors import AgentError
from graph.types import ArtifactStatus

NEXT: Mapping[ArtifactStatus, frozenset[ArtifactStatus]] = {
    "pending": frozenset({"executing", "failed"}),
    "executing": frozenset({"completed", "failed"}),
    "completed": frozenset({"consumed"}),
    "failed": frozenset({"consumed"}),
    "consumed": frozenset(),
}
"""What may follow. A delegation that could not be started goes from pending to failed."""

PASSED: Mapping[ArtifactStatus, frozenset[ArtifactStatus]] = {
    "pending": frozenset(),
    "executing": frozenset({"pending"}),
    "completed": frozenset({"pending", "executing"}),
    "failed": frozenset({"pending", "executing"}),
    "consumed": frozenset({"pending", "executing", "completed", "failed"}),
}
"""What lies behind: a step taken again after a crash changes nothing."""


class IllegalStep(AgentError):
    """An artifact was asked to take a step that does not follow from where it is."""


class UnknownArtifact(AgentError):
    pass


def step(artifact_id: str, current: ArtifactStatus, wanted: ArtifactStatus) -> ArtifactStatus:
    """The status after the step; raises IllegalStep. Repeating a step that was taken leaves the status as it is."""
    if wanted == current or wanted in PASSED[current]:
        return current
    if wanted in NEXT[current]:
        return wanted
    allowed = ", ".join(sorted(NEXT[current])) or "nothing"
    raise IllegalStep(f"Artifact {artifact_id} is {current} and can't become {wanted}; what may follow is {allowed}.")
