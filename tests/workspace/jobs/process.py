"""One attempt at a task: a process group with what a real one has, in an environment of its own."""

import json
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.workspace.errors import NotCovered, bad_request
from tests.workspace.jobs.compute import Compute
from tests.workspace.jobs.run import Outcome, Run, TaskRun
from tests.workspace.jobs.values import filled
from tests.workspace.lifeline import Lifeline
from tests.workspace.mounts import as_on_databricks, without_locks
from tests.workspace.tokens import HOUR

if TYPE_CHECKING:
    from tests.workspace.workspace import Workspace

RESULT_LIMIT = 5 * 1024 * 1024
LOG_LIMIT = 5 * 1024 * 1024
KINDS = ("notebook_task", "spark_python_task", "python_wheel_task")
COVERED = {
    *KINDS,
    "task_key",
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

    def __init__(self, ws: "Workspace", run: Run, task: TaskRun, compute: Compute) -> None:
        self._directory = ws.directory / "runs" / str(task.run_id) / str(task.attempt)
        self._directory.mkdir(parents=True)
        self._verdict = self._directory / "verdict.json"
        self._log = self._directory / "log"
        self._session = ws.sessions.open(run.principal)
        order = {**_order(ws, run, task), **self._signed_in(ws, run, task)}
        python = ws.environments.python(compute.dependencies)
        command = [str(python), "-u", "-m", "dbruntime.task"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                as_on_databricks(command, ws.directory, _volumes(ws, run)),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                env=_environment(ws, python, compute, self._directory),
                start_new_session=True,
            )
        self._lifeline = Lifeline(-self._process.pid)
        assert self._process.stdin
        with suppress(BrokenPipeError), self._process.stdin as stdin:
            stdin.write(json.dumps(order).encode())

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

    def _signed_in(self, ws: "Workspace", run: Run, task: TaskRun) -> dict[str, str]:
        """What the task's own process is told and no child of it: the sign-in, the Spark session."""
        values = ws.directory / "runs" / str(run.id) / "values"
        values.mkdir(parents=True, exist_ok=True)
        return {
            "verdict": str(self._verdict),
            "values": str(values),
            "task_key": task.key,
            "host": ws.url,
            "token": ws.tokens.mint(run.principal, lifetime=24 * HOUR).value,
            "spark": ws.spark_address(self._session),
        }

    def _end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._lifeline.release()
        self._session.released = True


def _environment(ws: "Workspace", python: Path, compute: Compute, home: Path) -> dict[str, str]:
    """The variables of a task on Databricks, as far as programs look at them: no host, no token."""
    kept = {name: os.environ[name] for name in ("LANG", "LD_LIBRARY_PATH") if name in os.environ}
    return {
        **kept,
        **without_locks(ws.directory),
        **compute.variables,
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "VIRTUAL_ENV": str(python.parents[1]),
        "DATABRICKS_RUNTIME_VERSION": compute.runtime,
        "MLFLOW_TRACKING_URI": "databricks",
        "MLFLOW_REGISTRY_URI": "databricks-uc",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _volumes(ws: "Workspace", run: Run) -> list[str] | None:
    """The volumes that the run's principal may read (`ro:`) or write (`rw:`); None for all of them."""
    if ws.principals.is_admin(run.principal):
        return None
    seen = []
    for full in ws.catalog.volumes:
        if ws.may_use_volume(run.principal, "WRITE VOLUME", full):
            seen.append(f"rw:{full.replace('.', '/')}")
        elif ws.may_use_volume(run.principal, "READ VOLUME", full):
            seen.append(f"ro:{full.replace('.', '/')}")
    return seen


def _order(ws: "Workspace", run: Run, task: TaskRun) -> dict[str, Any]:
    """What the process is to do."""
    unknown = sorted(set(task.spec) - COVERED)
    if unknown:
        raise NotCovered(f"the task field(s) {', '.join(unknown)}")
    if notebook := task.spec.get("notebook_task"):
        place = _notebook(ws, notebook)
        given = {**(notebook.get("base_parameters") or {}), **run.overrides.get("notebook_params", {})}
        task.parameters = {**filled(ws, run, task, given), **run.parameters}
        return {"notebook": str(place), "path": notebook["notebook_path"], "widgets": task.parameters}
    if script := task.spec.get("spark_python_task"):
        given_list = run.overrides.get("python_params") or script.get("parameters") or []
        return {"script": str(_script(ws, script)), "arguments": filled(ws, run, task, given_list)}
    if wheel := task.spec.get("python_wheel_task"):
        named = {**(wheel.get("named_parameters") or {}), **run.overrides.get("python_named_params", {})}
        positional = run.overrides.get("python_params") or wheel.get("parameters") or []
        return {
            "wheel": wheel["package_name"],
            "entry_point": wheel["entry_point"],
            "arguments": filled(ws, run, task, positional),
            "named": filled(ws, run, task, named),
        }
    raise bad_request(f"the task {task.key} has none of {', '.join(KINDS)}")


def _notebook(ws: "Workspace", notebook: dict[str, Any]) -> Path:
    if notebook.get("source") == "GIT":
        raise NotCovered("notebooks from Git")
    place = ws.objects.place(notebook["notebook_path"])
    if not place.is_file():
        raise bad_request(f"Unable to access the notebook {notebook['notebook_path']}: it does not exist.")
    return Path(place)


def _script(ws: "Workspace", script: dict[str, Any]) -> Path:
    if script.get("source") == "GIT":
        raise NotCovered("Python files from Git")
    place = ws.file(script["python_file"])
    if not place.is_file():
        raise bad_request(f"Cannot read the python file {script['python_file']}.")
    return place
