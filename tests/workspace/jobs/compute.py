"""What a task runs on: checked when a job is made, as Databricks does, and again when it starts."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.workspace.clusters import SPARK_VERSION
from tests.workspace.errors import ApiError, NotCovered, bad_request

if TYPE_CHECKING:
    from tests.workspace.workspace import Workspace

_CHOICES = ("existing_cluster_id", "new_cluster", "job_cluster_key", "environment_key")
_LIBRARIES = ("whl", "pypi", "requirements")


class ComputeFailed(Exception):
    """A task can't start; `code` is Databricks's termination code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Compute:
    """Serverless in an environment, or a cluster with libraries."""

    serverless: bool
    runtime: str
    dependencies: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)


def check(ws: "Workspace", settings: dict[str, Any]) -> None:
    """Refuse a job whose tasks name compute that is not there."""
    environments = [item.get("environment_key") for item in settings.get("environments") or []]
    if len(set(environments)) < len(environments):
        raise bad_request("The environment keys of a job must be unique.")
    for item in settings.get("environments") or []:
        spec = item.get("spec") or {}
        if not (spec.get("environment_version") or spec.get("client")):
            raise bad_request(f"The environment {item['environment_key']} needs spec.environment_version (or client).")
    clusters = [item.get("job_cluster_key") for item in settings.get("job_clusters") or []]
    for task in settings.get("tasks") or []:
        _check_task(ws, task, environments, clusters)


def _check_task(ws: "Workspace", task: dict[str, Any], environments: list[Any], clusters: list[Any]) -> None:
    key = task["task_key"]
    chosen = [name for name in _CHOICES if task.get(name)]
    if len(chosen) > 1:
        raise bad_request(f"The task {key} must have only one of {', '.join(chosen)}.")
    if cluster := task.get("existing_cluster_id"):
        ws.clusters.get(cluster)
    if (named := task.get("job_cluster_key")) and named not in clusters:
        raise bad_request(f"Job cluster '{named}' is not defined in field 'job_clusters'.")
    if (named := task.get("environment_key")) and named not in environments:
        raise bad_request(f"Environment '{named}' of the task {key} is not defined in field 'environments'.")
    serverless = not chosen or chosen == ["environment_key"]
    if serverless and task.get("libraries"):
        message = (
            f"Libraries field is not supported for serverless task {key}, please specify libraries in environment."
        )
        raise bad_request(message)
    if not chosen and "notebook_task" not in task and ("spark_python_task" in task or "python_wheel_task" in task):
        raise bad_request(f"A environment_key is required for the serverless task {key}.")
    if task.get("new_cluster") and not task["new_cluster"].get("spark_version"):
        raise bad_request(f"The new_cluster of the task {key} needs a spark_version.")


def compute(ws: "Workspace", settings: dict[str, Any], task: dict[str, Any]) -> Compute:
    """What a task runs on now. Raises ComputeFailed."""
    named = task.get("job_cluster_key")
    if not any(task.get(name) for name in _CHOICES[:3]):
        return _serverless(settings, task)
    cluster = task.get("new_cluster") or next(
        (item["new_cluster"] for item in settings.get("job_clusters") or [] if item["job_cluster_key"] == named), {}
    )
    if cluster_id := task.get("existing_cluster_id"):
        cluster = _started(ws, cluster_id)
    version = str(cluster.get("spark_version") or SPARK_VERSION).split(".x")[0]
    return Compute(False, version, tuple(_libraries(task)), dict(cluster.get("spark_env_vars") or {}))


def _serverless(settings: dict[str, Any], task: dict[str, Any]) -> Compute:
    wanted = task.get("environment_key")
    spec = next((item["spec"] for item in settings.get("environments") or [] if item["environment_key"] == wanted), {})
    version = spec.get("environment_version") or spec.get("client") or "4"
    variables = {"IS_SERVERLESS": "TRUE"}
    return Compute(True, f"client.{version}.0", tuple(spec.get("dependencies") or ()), variables)


def _started(ws: "Workspace", cluster_id: str) -> dict[str, Any]:
    try:
        cluster = ws.clusters.get(cluster_id)
    except ApiError as error:
        raise ComputeFailed("CLUSTER_ERROR", error.message) from error
    if cluster.broken:
        raise ComputeFailed("CLUSTER_ERROR", f"Cluster {cluster_id} could not be started: {cluster.broken}")
    cluster.state = "RUNNING"
    return cluster.settings


def _libraries(task: dict[str, Any]) -> list[str]:
    wanted = []
    for library in task.get("libraries") or []:
        kind = next(iter(library))
        if kind not in _LIBRARIES:
            raise NotCovered(f"libraries of the kind {kind}")
        wanted.append(library["pypi"]["package"] if kind == "pypi" else _as_line(kind, library[kind]))
    return wanted


def _as_line(kind: str, path: str) -> str:
    return f"-r {path}" if kind == "requirements" else path
