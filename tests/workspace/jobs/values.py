"""The dynamic values that a task's parameters may refer to: `{{job.run_id}}`, `{{tasks.a.values.x}}`."""

import json
import re
from typing import TYPE_CHECKING, Any, TypeVar

from tests.workspace.jobs.run import Run, TaskRun

if TYPE_CHECKING:
    from tests.workspace.workspace import Workspace

_REFERENCE = re.compile(r"\{\{\s*([\w.\-]+)\s*\}\}")
Given = TypeVar("Given", dict[str, str], list[str])


def filled(ws: "Workspace", run: Run, task: TaskRun, given: Given) -> Given:
    """The parameters with their references filled in; an unknown one stays as it is."""
    values = _values(ws, run, task)

    def fill(text: str) -> str:
        return _REFERENCE.sub(lambda match: values.get(match[1], match[0]), text)

    if isinstance(given, dict):
        return {name: fill(value) for name, value in given.items()}
    return [fill(value) for value in given]


def _values(ws: "Workspace", run: Run, task: TaskRun) -> dict[str, str]:
    return {
        **{f"job.parameters.{name}": value for name, value in run.parameters.items()},
        **_task_values(ws, run),
        "job.id": str(run.job_id),
        "job.name": run.name,
        "job.run_id": str(run.id),
        "job.trigger.type": run.trigger.lower(),
        "run.id": str(run.id),
        "task.name": task.key,
        "task.run_id": str(task.run_id),
        "task.execution_count": str(task.attempt + 1),
        "workspace.url": ws.url,
    }


def _task_values(ws: "Workspace", run: Run) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in (ws.directory / "runs" / str(run.id) / "values").glob("*.json"):
        left: dict[str, Any] = json.loads(file.read_text())
        for key, value in left.items():
            found[f"tasks.{file.stem}.values.{key}"] = value if isinstance(value, str) else json.dumps(value)
    for other in run.tasks:
        if other.state.result:
            found[f"tasks.{other.key}.result_state"] = other.state.result.lower()
            found[f"tasks.{other.key}.run_id"] = str(other.run_id)
    return found
