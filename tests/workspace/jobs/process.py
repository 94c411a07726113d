"""One attempt at a task: a process group, a log and an environment of its own."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.workspace.errors import NotCovered, bad_request
from tests.workspace.jobs.run import Outcome, Run, TaskRun
from tests.workspace.lifeline import Lifeline
from tests.workspace.mounts import as_on_databricks
from tests.workspace.tokens import HOUR

if TYPE_CHECKING:
    from tests.workspace.workspace import Workspace

PROJECT = Path(__file__).parents[3]
RESULT_LIMIT = 5 * 1024 * 1024
LOG_LIMIT = 5 * 1024 * 1024
_COVERED = {
    "task_key",
    "notebook_task",
    "spark_python_task",
    "depends_on",
    "run_if",
    "timeout_seconds",
    "max_retries",
    "min_retry_interval_millis",
    "retry_on_timeout",
    "description",
    "existing_cluster_id",
    "new_cluster",
    "job_cluster_key",
    "environment_key",
    "libraries",
    "email_notifications",
    "webhook_notifications",
    "disable_auto_optimization",
}


class TaskProcess:
    """Started when made. The log and the verdict are files that outlive it."""

    def __init__(self, ws: "Workspace", run: Run, task: TaskRun) -> None:
        self._directory = ws.directory / "runs" / str(task.run_id) / str(task.attempt)
        self._directory.mkdir(parents=True)
        self._verdict = self._directory / "verdict.json"
        self._log = self._directory / "log"
        order = self._directory / "order.json"
        order.write_text(json.dumps({**_order(ws, run, task), "verdict": str(self._verdict)}))
        command = [sys.executable, "-u", "-m", "tests.workspace.jobs.task", str(order)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                as_on_databricks(command, ws.directory),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                env=_environment(ws, run),
                start_new_session=True,
            )
        self._lifeline = Lifeline(-self._process.pid)

    @property
    def running(self) -> bool:
        """Whether it goes on. When it has ended, what it left running in its group is killed."""
        if self._process.poll() is None:
            return True
        self._end()
        return False

    def kill(self) -> None:
        """End the whole group at once."""
        self._end()
        self._process.wait(5)

    def outcome(self) -> Outcome:
        """What it left: the verdict if it wrote one, else how the process ended."""
        logs = self._log.read_bytes()[-LOG_LIMIT:].decode(errors="replace")
        if not self._verdict.exists():
            return Outcome(error=f"The process ended with {self._process.returncode}.", logs=logs)
        verdict = json.loads(self._verdict.read_text())
        return Outcome(verdict.get("result"), verdict.get("error"), verdict.get("trace"), logs)

    def _end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._lifeline.release()


def _environment(ws: "Workspace", run: Run) -> dict[str, str]:
    """A few variables of the machine, the workspace's, a token of the run's own: nothing else of the host's."""
    token = ws.tokens.mint(run.creator, lifetime=24 * HOUR).value
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH", "VIRTUAL_ENV") if name in os.environ}
    return {
        **kept,
        **ws.env,
        "DATABRICKS_TOKEN": token,
        "HOME": str(ws.directory),
        "SPARK_REMOTE": ws.spark_url,
        "PYTHONPATH": str(PROJECT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _order(ws: "Workspace", run: Run, task: TaskRun) -> dict[str, Any]:
    """What the process is to do."""
    unknown = sorted(set(task.spec) - _COVERED)
    if unknown:
        raise NotCovered(f"the task field(s) {', '.join(unknown)}")
    values = _values(run, task)
    if notebook := task.spec.get("notebook_task"):
        place = _notebook(ws, notebook)
        given = {**(notebook.get("base_parameters") or {}), **run.overrides.get("notebook_params", {})}
        task.parameters = {**{name: _fill(value, values) for name, value in given.items()}, **run.parameters}
        return {"notebook": str(place), "path": notebook["notebook_path"], "widgets": task.parameters}
    if script := task.spec.get("spark_python_task"):
        given_list = run.overrides.get("python_params") or script.get("parameters") or []
        return {"script": str(_script(ws, script)), "arguments": [_fill(value, values) for value in given_list]}
    raise bad_request(f"the task {task.key} has neither a notebook_task nor a spark_python_task")


def _notebook(ws: "Workspace", notebook: dict[str, Any]) -> Path:
    if notebook.get("source") == "GIT":
        raise NotCovered("notebooks from Git")
    place = ws.objects.place(notebook["notebook_path"])
    if not place.is_file():
        raise bad_request(f"Unable to access the notebook {notebook['notebook_path']}: it does not exist.")
    return Path(place)


def _script(ws: "Workspace", script: dict[str, Any]) -> Path:
    path = script["python_file"]
    if script.get("source") == "GIT":
        raise NotCovered("Python files from Git")
    place = ws.volumes.find(path) if path.startswith("/Volumes/") else ws.objects.place(path)
    if not place.is_file():
        raise bad_request(f"Cannot read the python file {path}.")
    return Path(place)


def _values(run: Run, task: TaskRun) -> dict[str, str]:
    """The dynamic values that parameters may refer to."""
    return {
        **{f"job.parameters.{name}": value for name, value in run.parameters.items()},
        "job.id": str(run.job_id),
        "job.name": run.name,
        "job.run_id": str(run.id),
        "job.start_time.iso_date": "",
        "run.id": str(run.id),
        "task.name": task.key,
        "task.run_id": str(task.run_id),
    }


def _fill(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace("{{" + name + "}}", value)
    return text
