"""All jobs and runs of the workspace."""

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tests.workspace.errors import bad_request, not_found
from tests.workspace.jobs.run import Run, TaskRun, now
from tests.workspace.jobs.scheduler import Scheduler

if TYPE_CHECKING:
    from tests.workspace.workspace import Workspace

Held = Literal["QUEUED", "PENDING", "BLOCKED"]


@dataclass
class Job:
    """A job's definition."""

    id: int
    settings: dict[str, Any]
    creator: str
    created_at: int


class Jobs:
    """The store. `hold("QUEUED")` keeps new runs from starting until the block ends."""

    def __init__(self, ws: "Workspace") -> None:
        self._ws = ws
        self._lock = threading.RLock()
        self._ids = itertools.count(1001)
        self._jobs: dict[int, Job] = {}
        self._runs: dict[int, Run] = {}
        self._tokens: dict[str, int] = {}
        self._scheduler = Scheduler(ws)

    @contextmanager
    def hold(self, state: Held = "QUEUED") -> Iterator[None]:
        """While the block runs, new runs stay in this state."""
        self._scheduler.hold(state)
        try:
            yield
        finally:
            self._scheduler.release()

    def create(self, settings: dict[str, Any], creator: str) -> Job:
        """A new job."""
        _check(settings.get("tasks") or [])
        job = Job(next(self._ids), {"name": "Untitled", **settings}, creator, now())
        self._jobs[job.id] = job
        self._ws.journal.write("job_created", job.id, name=job.settings["name"])
        return job

    def job(self, job_id: int) -> Job:
        """One job; Databricks answers 400 for one that is not there."""
        if job_id not in self._jobs:
            raise bad_request(f"Job {job_id} does not exist.")
        return self._jobs[job_id]

    def jobs(self) -> list[Job]:
        """All jobs, newest first."""
        return sorted(self._jobs.values(), key=lambda job: -job.id)

    def delete(self, job_id: int) -> None:
        """A job goes; its runs stay."""
        del self._jobs[self.job(job_id).id]

    def run_now(self, job_id: int, asked: dict[str, Any], creator: str) -> Run:
        """Run a job. The same idempotency token gives the same run."""
        job = self.job(job_id)
        parameters = {item["name"]: item["default"] for item in job.settings.get("parameters") or []}
        unknown = set(asked.get("job_parameters") or {}) - set(parameters)
        if unknown:
            raise bad_request(f"Job {job_id} does not have the parameter(s) {', '.join(sorted(unknown))}")
        parameters |= asked.get("job_parameters") or {}
        overrides = {key: asked[key] for key in ("notebook_params", "python_params") if asked.get(key)}
        return self._start(
            asked.get("idempotency_token"),
            lambda: self._new(job.settings["name"], job.settings["tasks"], creator, job_id=job.id),
            parameters=parameters,
            overrides=overrides,
            timeout=job.settings.get("timeout_seconds") or None,
            run_type="JOB_RUN",
        )

    def submit(self, asked: dict[str, Any], creator: str) -> Run:
        """Run tasks once. The same idempotency token gives the same run."""
        tasks = asked.get("tasks") or []
        _check(tasks)
        return self._start(
            asked.get("idempotency_token"),
            lambda: self._new(asked.get("run_name") or "Untitled", tasks, creator, job_id=0),
            timeout=asked.get("timeout_seconds") or None,
        )

    def run(self, run_id: int) -> Run:
        """A run by its own id or by that of one of its tasks."""
        for run in self._runs.values():
            if run_id == run.id or any(task.run_id == run_id for task in run.tasks):
                return run
        raise bad_request(f"Run {run_id} does not exist.")

    def task(self, run_id: int) -> tuple[Run, TaskRun]:
        """A task by its run id; the id of the whole run is refused, as Databricks does."""
        run = self.run(run_id)
        for task in run.tasks:
            if task.run_id == run_id:
                return run, task
        message = (
            "Retrieving the output of runs with multiple tasks is not supported. "
            "Please retrieve the output of each individual task run instead."
        )
        raise bad_request(message)

    def runs(self) -> list[Run]:
        """All runs, newest first."""
        return sorted(self._runs.values(), key=lambda run: -run.id)

    def cancel(self, run_id: int) -> None:
        """Ask a run to stop; nothing happens to one that has ended."""
        run = self.run(run_id)
        if not run.state.ended and not run.cancel_asked:
            run.cancel_asked = True
            self._ws.journal.write("run_canceled", run.id)

    def delete_run(self, run_id: int) -> None:
        """A run that has ended goes."""
        run = self.run(run_id)
        if not run.state.ended:
            raise bad_request(f"Run {run_id} is still active")
        del self._runs[run.id]

    def stop(self) -> None:
        """Kill what runs."""
        self._scheduler.stop()

    def _new(self, name: str, tasks: list[dict[str, Any]], creator: str, *, job_id: int) -> Run:
        made = [TaskRun(spec["task_key"], next(self._ids), spec) for spec in tasks]
        run_id = next(self._ids)
        number = 1 + sum(1 for run in self._runs.values() if job_id and run.job_id == job_id)
        return Run(run_id, job_id or run_id, name, made, creator, number=number)

    def _start(self, token: str | None, make: Any, **settings: Any) -> Run:
        if token and len(token) > 64:
            raise bad_request("The idempotency token can have at most 64 characters.")
        with self._lock:
            if token and token in self._tokens:
                known = self._runs.get(self._tokens[token])
                if known is None:
                    raise not_found(f"The run of the idempotency token {token} has been deleted.")
                return known
            run: Run = make()
            for name, value in settings.items():
                setattr(run, name, value)
            self._runs[run.id] = run
            if token:
                self._tokens[token] = run.id
            self._ws.journal.write("run_started", run.id, job_id=run.job_id, token=token)
        self._scheduler.start(run)
        return run


def _check(tasks: list[dict[str, Any]]) -> None:
    keys = [task.get("task_key") for task in tasks]
    if not keys or not all(keys) or len(set(keys)) < len(keys):
        raise bad_request("every run needs tasks, each with a task_key of its own")
    for task in tasks:
        missing = [item["task_key"] for item in task.get("depends_on") or [] if item["task_key"] not in keys]
        if missing:
            raise bad_request(f"the task {task['task_key']} depends on {', '.join(missing)}, which is not a task")
