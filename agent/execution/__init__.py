"""Where artifacts run. A backend is a file and a line in BACKENDS, over which one contract suite runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

    from agent.artifacts.folder import FolderArtifacts
    from agent.artifacts.volume import VolumeArtifacts
    from agent.execution.databricks_job import Claims, Compute, DatabricksJobBackend
    from agent.execution.local import LocalBackend
    from agent.execution.run import RunLimits


def open_local(artifacts: FolderArtifacts, limits: RunLimits) -> LocalBackend:
    """Runs in processes of this machine. Close it to end what still runs.

    The import waits because a run's own process imports this package too, and needs none of it.
    """
    from agent.execution.local import LocalBackend

    return LocalBackend(artifacts, limits)


def open_databricks_job(
    artifacts: VolumeArtifacts,
    limits: RunLimits,
    claims: Claims,
    client: Callable[[], WorkspaceClient],
    compute: Compute,
    **pace: Any,
) -> DatabricksJobBackend:
    """Runs of a job in a workspace. They go on when it is closed."""
    from agent.execution.databricks_job import DatabricksJobBackend

    return DatabricksJobBackend(artifacts, limits, claims, client, compute, **pace)


BACKENDS: dict[str, Callable[..., Any]] = {"local": open_local, "databricks_job": open_databricks_job}
