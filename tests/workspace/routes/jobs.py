"""Jobs (`/api/2.2/jobs`)."""

from typing import Any

from fastapi import APIRouter, Request

from tests.workspace.errors import bad_request
from tests.workspace.jobs.process import LOG_LIMIT, RESULT_LIMIT
from tests.workspace.jobs.run import Run, TaskRun
from tests.workspace.jobs.store import Job
from tests.workspace.routes.request import SIGNED_IN, Body, Me, Ws, only, required

api = APIRouter(prefix="/api/2.2/jobs", dependencies=SIGNED_IN)
_SETTINGS = (
    "name",
    "tasks",
    "parameters",
    "timeout_seconds",
    "max_concurrent_runs",
    "tags",
    "format",
    "queue",
    "job_clusters",
    "environments",
    "email_notifications",
    "webhook_notifications",
    "description",
    "access_control_list",
    "run_as",
    "performance_target",
)
_RUN_NOW = ("job_id", "job_parameters", "notebook_params", "python_params", "idempotency_token", "queue")
_SUBMIT = (
    "run_name",
    "tasks",
    "idempotency_token",
    "timeout_seconds",
    "queue",
    "environments",
    "email_notifications",
    "webhook_notifications",
    "access_control_list",
    "run_as",
)
PAGE = 20


@api.post("/create")
def create(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """A new job."""
    return {"job_id": ws.jobs.create(only(given, *_SETTINGS), user).id}


@api.get("/get")
def get(request: Request, ws: Ws) -> dict[str, Any]:
    """A job with its settings."""
    return _job(ws.jobs.job(_number(request, "job_id")))


@api.get("/list")
def index(request: Request, ws: Ws) -> dict[str, Any]:
    """The jobs, newest first."""
    name = request.query_params.get("name")
    jobs = [job for job in ws.jobs.jobs() if name is None or job.settings["name"].lower() == name.lower()]
    shown, page = _page(request, jobs)
    full = request.query_params.get("expand_tasks", "false").lower() == "true"
    hidden = () if full else ("tasks", "job_clusters")
    page["jobs"] = [_job(job, hidden) for job in shown]
    return page


@api.post("/delete")
def delete(given: Body, ws: Ws) -> dict[str, Any]:
    """A job goes."""
    ws.jobs.delete(required(only(given, "job_id"), "job_id"))
    return {}


@api.post("/run-now")
def run_now(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """Run a job."""
    asked = only(given, *_RUN_NOW)
    run = ws.jobs.run_now(required(asked, "job_id"), asked, user)
    return {"run_id": run.id, "number_in_job": run.number}


@api.post("/runs/submit")
def submit(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """Run tasks once."""
    return {"run_id": ws.jobs.submit(only(given, *_SUBMIT), user).id}


@api.get("/runs/get")
def get_run(request: Request, ws: Ws) -> dict[str, Any]:
    """A run, or one of its tasks when it is asked by the task's run id."""
    run_id = _number(request, "run_id")
    run = ws.jobs.run(run_id)
    for task in run.tasks:
        if task.run_id == run_id:
            return _task_as_run(ws, run, task)
    return _run(ws, run)


@api.get("/runs/list")
def list_runs(request: Request, ws: Ws) -> dict[str, Any]:
    """The runs, newest first."""
    asked = request.query_params
    runs = [
        run
        for run in ws.jobs.runs()
        if asked.get("job_id") in (None, str(run.job_id))
        and not (asked.get("active_only") == "true" and run.state.ended)
        and not (asked.get("completed_only") == "true" and not run.state.ended)
    ]
    shown, page = _page(request, runs)
    expand = asked.get("expand_tasks") == "true"
    page["runs"] = [_run(ws, run, tasks=expand) for run in shown]
    return page


@api.post("/runs/cancel")
def cancel(given: Body, ws: Ws) -> dict[str, Any]:
    """Ask a run to stop."""
    ws.jobs.cancel(required(only(given, "run_id"), "run_id"))
    return {}


@api.post("/runs/delete")
def delete_run(given: Body, ws: Ws) -> dict[str, Any]:
    """A run that has ended goes."""
    ws.jobs.delete_run(required(only(given, "run_id"), "run_id"))
    return {}


@api.get("/runs/get-output")
def output(request: Request, ws: Ws) -> dict[str, Any]:
    """What a task left: a notebook's exit value, a script's logs, an error with its trace."""
    run, task = ws.jobs.task(_number(request, "run_id"))
    about: dict[str, Any] = {"metadata": _task_as_run(ws, run, task)}
    outcome = task.outcome
    if outcome.error:
        about |= {"error": outcome.error, "error_trace": outcome.trace or ""}
    if "notebook_task" in task.spec:
        result = outcome.result
        if result is not None:
            cut = result[:RESULT_LIMIT]
            about["notebook_output"] = {"result": cut, "truncated": len(cut) < len(result)}
        else:
            about["notebook_output"] = {"truncated": False}
    if outcome.logs:
        about |= {"logs": outcome.logs, "logs_truncated": len(outcome.logs) >= LOG_LIMIT}
    return about


def _number(request: Request, name: str) -> int:
    value = request.query_params.get(name, "")
    if not value.isdigit():
        raise bad_request(f"{name} must be a number, not '{value}'")
    return int(value)


def _page(request: Request, items: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    size = int(request.query_params.get("limit") or PAGE)
    start = int(request.query_params.get("page_token") or 0)
    page: dict[str, Any] = {"has_more": start + size < len(items)}
    if page["has_more"]:
        page["next_page_token"] = str(start + size)
    return items[start : start + size], page


def _job(job: Job, hidden: tuple[str, ...] = ()) -> dict[str, Any]:
    shown = {key: value for key, value in job.settings.items() if key not in (*hidden, "access_control_list")}
    return {
        "job_id": job.id,
        "settings": shown,
        "creator_user_name": job.creator,
        "created_time": job.created_at,
    }


def _run(ws: Any, run: Run, *, tasks: bool = True) -> dict[str, Any]:
    about: dict[str, Any] = {
        "run_id": run.id,
        "job_id": run.job_id,
        "run_name": run.name,
        "number_in_job": run.number,
        "creator_user_name": run.creator,
        "run_type": run.run_type,
        "trigger": run.trigger,
        "state": run.state.legacy(),
        "status": run.state.status(),
        "start_time": run.started_at,
        "end_time": run.ended_at,
        "run_duration": max(0, run.ended_at - run.started_at) if run.ended_at else 0,
        "run_page_url": f"{ws.url}/jobs/{run.job_id}/runs/{run.id}",
    }
    if run.parameters:
        about["job_parameters"] = [{"name": name, "value": value} for name, value in run.parameters.items()]
    if tasks:
        about["tasks"] = [_task(ws, run, task) for task in run.tasks]
    return about


def _task(ws: Any, run: Run, task: TaskRun) -> dict[str, Any]:
    kept = ("notebook_task", "spark_python_task", "depends_on", "run_if", "description")
    return {
        "task_key": task.key,
        "run_id": task.run_id,
        **{name: task.spec[name] for name in kept if task.spec.get(name)},
        "state": task.state.legacy(),
        "status": task.state.status(),
        "attempt_number": task.attempt,
        "start_time": task.started_at,
        "end_time": task.ended_at,
        "run_page_url": f"{ws.url}/jobs/{run.job_id}/runs/{task.run_id}",
    }


def _task_as_run(ws: Any, run: Run, task: TaskRun) -> dict[str, Any]:
    shown = _task(ws, run, task)
    kept = ("run_id", "state", "status", "attempt_number", "start_time", "end_time", "run_page_url")
    return {
        **{name: shown[name] for name in kept},
        "job_id": run.job_id,
        "job_run_id": run.id,
        "run_name": run.name,
        "creator_user_name": run.creator,
        "run_type": run.run_type,
        "tasks": [shown],
    }
