"""All jobs and runs of the workspace."""

import itertools
import json
import threading
import zoneinfo
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tests.workspace.errors import bad_request, not_found
from tests.workspace.jobs.compute import check
from tests.workspace.jobs.run import Run, State, TaskRun, now
from tests.workspace.jobs.scheduler import Breakdown, Scheduler

if TYPE_CHECKING:
    from tests.workspace.workspace import Workspace

Held = Literal["QUEUED", "PENDING", "BLOCKED"]
PARAMETERS_LIMIT = 10_000
MOST_CONCURRENT = 1000
_OVERRIDES = ("notebook_params", "python_params", "python_named_params")
_NO_TASKS = "Name rerun_tasks, or set rerun_all_failed_tasks."


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

    def break_next(
        self,
        code: str = "INTERNAL_ERROR",
        *,
        times: int = 1,
        task: str | None = None,
        after: float | None = None,
        message: str = "",
    ) -> None:
        """Let the platform fail under the next tasks (of a key) that start: INTERNAL_ERROR, CLUSTER_ERROR,
        LIBRARY_INSTALLATION_ERROR or another of Databricks's termination codes. With `after` the task works so many
        seconds before it is lost."""
        self._scheduler.break_next(Breakdown(code, times, task, after, message or f"{code} on demand of the test"))

    def reset(self) -> None:
        """Forget what was scripted."""
        self._scheduler.reset()

    @property
    def serverless_retries(self) -> int:
        """How often serverless tries a failed task again by itself."""
        return self._scheduler.serverless_retries

    @serverless_retries.setter
    def serverless_retries(self, times: int) -> None:
        self._scheduler.serverless_retries = times

    def create(self, settings: dict[str, Any], creator: str) -> Job:
        """A new job."""
        _check(self._ws, settings)
        self._ws.principals.run_as(settings.get("run_as"), creator)
        job = Job(next(self._ids), {"name": "Untitled", **settings}, creator, now())
        self._jobs[job.id] = job
        self._ws.grants.own(creator, "jobs", job.id)
        self._ws.journal.write("job_created", job.id, name=job.settings["name"])
        return job

    def change(self, job_id: int, settings: dict[str, Any]) -> None:
        """New settings for a job; runs under way keep theirs."""
        job = self.job(job_id)
        _check(self._ws, settings)
        self._ws.principals.run_as(settings.get("run_as"), job.creator)
        job.settings = {"name": "Untitled", **settings}

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

    def run_now(self, job_id: int, asked: dict[str, Any], creator: str, *, trigger: str = "ONE_TIME") -> Run:
        """Run a job. The same idempotency token gives the same run."""
        job = self.job(job_id)
        parameters = {item["name"]: item["default"] for item in job.settings.get("parameters") or []}
        unknown = set(asked.get("job_parameters") or {}) - set(parameters)
        if unknown:
            raise bad_request(f"Job {job_id} does not have the parameter(s) {', '.join(sorted(unknown))}")
        parameters |= asked.get("job_parameters") or {}
        overrides = {key: asked[key] for key in _OVERRIDES if asked.get(key)}
        for name in ("job_parameters", *_OVERRIDES):
            if len(json.dumps(asked.get(name))) > PARAMETERS_LIMIT:
                raise bad_request(f"The JSON of {name} must not exceed {PARAMETERS_LIMIT} bytes.")
        settings = {**job.settings, **({"queue": asked["queue"]} if asked.get("queue") else {})}
        return self._start(
            asked.get("idempotency_token"),
            lambda: self._new(job.settings["name"], settings, creator, job_id=job.id),
            parameters=parameters,
            overrides=overrides,
            timeout=job.settings.get("timeout_seconds") or None,
            run_type="JOB_RUN",
            trigger=trigger,
            principal=self._ws.principals.run_as(job.settings.get("run_as"), job.creator),
        )

    def fire(self, job_id: int) -> Run | None:
        """What the clock would do: run a job by its schedule, unless that is paused."""
        schedule = self.job(job_id).settings.get("schedule")
        if schedule is None or schedule.get("pause_status") == "PAUSED":
            return None
        return self.run_now(job_id, {}, self.job(job_id).creator, trigger="PERIODIC")

    def submit(self, asked: dict[str, Any], creator: str) -> Run:
        """Run tasks once. The same idempotency token gives the same run."""
        _check(self._ws, asked)
        return self._start(
            asked.get("idempotency_token"),
            lambda: self._new(asked.get("run_name") or "Untitled", asked, creator, job_id=0),
            timeout=asked.get("timeout_seconds") or None,
            principal=self._ws.principals.run_as(asked.get("run_as"), creator),
        )

    def repair(self, run_id: int, asked: dict[str, Any]) -> int:
        """Run tasks of a run that has ended again, with what depends on them; the repair's id."""
        run = self.run(run_id)
        if not run.state.ended:
            raise bad_request(f"Run {run_id} is still active: only runs that have ended can be repaired.")
        if run.repairs and asked.get("latest_repair_id") != run.repairs[-1]["id"]:
            raise bad_request(f"latest_repair_id must be {run.repairs[-1]['id']}.")
        keys = set(asked.get("rerun_tasks") or [])
        if asked.get("rerun_all_failed_tasks"):
            keys |= {task.key for task in run.tasks if task.state.result not in ("SUCCESS", "EXCLUDED")}
        unknown = keys - {task.key for task in run.tasks}
        if unknown or not keys:
            raise bad_request(
                f"The run has no task(s) {', '.join(sorted(unknown))} to run again." if unknown else _NO_TASKS
            )
        if asked.get("rerun_dependent_tasks") or asked.get("rerun_all_failed_tasks"):
            keys = _with_dependents(run, keys)
        for index, task in enumerate(run.tasks):
            if task.key in keys:
                run.tasks[index] = TaskRun(task.key, next(self._ids), task.spec)
        repair = {"id": next(self._ids), "start_time": now(), "task_run_ids": [task.run_id for task in run.tasks]}
        run.repairs.append(repair)
        run.overrides |= {key: asked[key] for key in _OVERRIDES if asked.get(key)}
        run.cancel_asked, run.admitted, run.ended_at, run.state = False, False, 0, State("PENDING")
        self._scheduler.start(run)
        return int(repair["id"])

    def log(self, run_id: int) -> str:
        """What a task printed (for tests: the API gives a notebook's log to nobody)."""
        return self.task(run_id)[1].outcome.logs

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

    def _new(self, name: str, settings: dict[str, Any], creator: str, *, job_id: int) -> Run:
        made = [TaskRun(spec["task_key"], next(self._ids), spec) for spec in settings["tasks"]]
        run_id = next(self._ids)
        number = 1 + sum(1 for run in self._runs.values() if job_id and run.job_id == job_id)
        return Run(run_id, job_id or run_id, name, made, creator, creator, settings, number=number)

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


def _check(ws: "Workspace", settings: dict[str, Any]) -> None:
    tasks = settings.get("tasks") or []
    keys = [task.get("task_key") for task in tasks]
    if not keys or not all(keys) or len(set(keys)) < len(keys):
        raise bad_request("every run needs tasks, each with a task_key of its own")
    for task in tasks:
        missing = [item["task_key"] for item in task.get("depends_on") or [] if item["task_key"] not in keys]
        if missing:
            raise bad_request(f"the task {task['task_key']} depends on {', '.join(missing)}, which is not a task")
    limit = settings.get("max_concurrent_runs")
    if limit is not None and not 0 <= int(limit) <= MOST_CONCURRENT:
        raise bad_request(f"max_concurrent_runs must be between 0 and {MOST_CONCURRENT}, not {limit}.")
    _check_schedule(settings.get("schedule"))
    check(ws, settings)


def _check_schedule(schedule: dict[str, Any] | None) -> None:
    """Quartz has six or seven fields, and one of the two days must be `?`."""
    if schedule is None:
        return
    expression = str(schedule.get("quartz_cron_expression", ""))
    fields = expression.split()
    if len(fields) not in (6, 7) or "?" not in (fields[3], fields[5]):
        raise bad_request(f"Invalid quartz cron expression: '{expression}'.")
    zone = str(schedule.get("timezone_id", ""))
    if zone not in zoneinfo.available_timezones():
        raise bad_request(f"Invalid timezone: '{zone}'.")


def _with_dependents(run: Run, keys: set[str]) -> set[str]:
    """The tasks and all that come after them."""
    more = {task.key for task in run.tasks if set(task.depends_on) & keys} | keys
    return more if more == keys else _with_dependents(run, more)
