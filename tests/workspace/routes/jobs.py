"""Jobs (`/api/2.2/jobs`)."""

from typing import Any

from fastapi import APIRouter, Request

from tests.workspace.errors import ApiError, bad_request
from tests.workspace.jobs.process import LOG_LIMIT, RESULT_LIMIT
from tests.workspace.jobs.run import Run, TaskRun
from tests.workspace.jobs.store import Job
from tests.workspace.routes import permissions
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
    "schedule",
    "edit_mode",
    "deployment",
)
_PARAMETERS = ("job_parameters", "notebook_params", "python_params", "python_named_params")
_RUN_NOW = ("job_id", *_PARAMETERS, "idempotency_token", "queue")
_REPAIR = (
    "run_id",
    "rerun_tasks",
    "rerun_all_failed_tasks",
    "rerun_dependent_tasks",
    "latest_repair_id",
    "notebook_params",
    "python_params",
)
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
    _may_run_as(ws, given, user)
    job = ws.jobs.create(only(given, *_SETTINGS), user)
    if given.get("access_control_list"):
        permissions.replace(ws, "jobs", str(job.id), given["access_control_list"])
    return {"job_id": job.id}


@api.post("/update")
def update(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """Change some settings of a job; lists of tasks, parameters and the like are merged by their keys."""
    asked = only(given, "job_id", "new_settings", "fields_to_remove")
    job = _job_of(ws, required(asked, "job_id"), user, "CAN_MANAGE")
    changed = only(asked.get("new_settings") or {}, *_SETTINGS)
    _may_run_as(ws, changed, user)
    kept = {name: value for name, value in job.settings.items() if name not in (asked.get("fields_to_remove") or [])}
    ws.jobs.change(job.id, {**kept, **{name: _merged(name, kept.get(name), new) for name, new in changed.items()}})
    return {}


@api.post("/reset")
def reset(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """Put new settings in the place of all of a job's."""
    asked = only(given, "job_id", "new_settings")
    job = _job_of(ws, required(asked, "job_id"), user, "CAN_MANAGE")
    settings = only(required(asked, "new_settings"), *_SETTINGS)
    _may_run_as(ws, settings, user)
    ws.jobs.change(job.id, settings)
    return {}


@api.get("/get")
def get(request: Request, ws: Ws, user: Me) -> dict[str, Any]:
    """A job with its settings."""
    job = _job_of(ws, _number(request, "job_id"), user, "CAN_VIEW")
    return {**_job(job), "run_as_user_name": ws.principals.run_as(job.settings.get("run_as"), job.creator)}


@api.get("/list")
def index(request: Request, ws: Ws, user: Me) -> dict[str, Any]:
    """The jobs that one may see, newest first."""
    name = request.query_params.get("name")
    jobs = [
        job
        for job in ws.jobs.jobs()
        if (name is None or job.settings["name"].lower() == name.lower())
        and ws.grants.holds(user, "CAN_VIEW", "jobs", job.id)
    ]
    shown, page = _page(request, jobs)
    full = request.query_params.get("expand_tasks", "false").lower() == "true"
    hidden = () if full else ("tasks", "job_clusters")
    page["jobs"] = [_job(job, hidden) for job in shown]
    return page


@api.post("/delete")
def delete(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """A job goes."""
    ws.jobs.delete(_job_of(ws, required(only(given, "job_id"), "job_id"), user, "CAN_MANAGE").id)
    return {}


@api.post("/run-now")
def run_now(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """Run a job."""
    asked = only(given, *_RUN_NOW)
    job = _job_of(ws, required(asked, "job_id"), user, "CAN_MANAGE_RUN")
    run = ws.jobs.run_now(job.id, asked, user)
    return {"run_id": run.id, "number_in_job": run.number}


@api.post("/runs/submit")
def submit(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """Run tasks once."""
    _may_run_as(ws, given, user)
    return {"run_id": ws.jobs.submit(only(given, *_SUBMIT), user).id}


@api.post("/runs/repair")
def repair(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """Run tasks of a run again."""
    asked = only(given, *_REPAIR)
    run = _run_of(ws, required(asked, "run_id"), user, "CAN_MANAGE_RUN")
    return {"repair_id": ws.jobs.repair(run.id, asked)}


@api.get("/runs/get")
def get_run(request: Request, ws: Ws, user: Me) -> dict[str, Any]:
    """A run, or one of its tasks when it is asked by the task's run id."""
    run_id = _number(request, "run_id")
    run = _run_of(ws, run_id, user, "CAN_VIEW")
    for task in run.tasks:
        if task.run_id == run_id:
            return _task_as_run(ws, run, task)
    about = _run(ws, run)
    if run.repairs and request.query_params.get("include_history") == "true":
        about["repair_history"] = [{**repair, "type": "REPAIR"} for repair in run.repairs]
    return about


@api.get("/runs/list")
def list_runs(request: Request, ws: Ws, user: Me) -> dict[str, Any]:
    """The runs that one may see, newest first."""
    asked = request.query_params
    runs = [
        run
        for run in ws.jobs.runs()
        if asked.get("job_id") in (None, str(run.job_id))
        and not (asked.get("active_only") == "true" and run.state.ended)
        and not (asked.get("completed_only") == "true" and not run.state.ended)
        and _holds(ws, run, user, "CAN_VIEW")
    ]
    shown, page = _page(request, runs)
    expand = asked.get("expand_tasks") == "true"
    page["runs"] = [_run(ws, run, tasks=expand) for run in shown]
    return page


@api.post("/runs/cancel")
def cancel(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """Ask a run to stop."""
    ws.jobs.cancel(_run_of(ws, required(only(given, "run_id"), "run_id"), user, "CAN_MANAGE_RUN").id)
    return {}


@api.post("/runs/delete")
def delete_run(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """A run that has ended goes."""
    ws.jobs.delete_run(_run_of(ws, required(only(given, "run_id"), "run_id"), user, "CAN_MANAGE").id)
    return {}


@api.get("/runs/get-output")
def output(request: Request, ws: Ws, user: Me) -> dict[str, Any]:
    """What a task left: a notebook's exit value (and no logs), a script's logs, an error with its trace."""
    run, task = ws.jobs.task(_number(request, "run_id"))
    _allow(ws, run, user, "CAN_VIEW")
    about: dict[str, Any] = {"metadata": _task_as_run(ws, run, task)}
    outcome = task.outcome
    if outcome.error:
        about |= {"error": outcome.error, "error_trace": outcome.trace or ""}
    if "notebook_task" in task.spec:
        result = outcome.result
        if result is not None:
            cut = result.encode()[:RESULT_LIMIT].decode(errors="ignore")
            about["notebook_output"] = {"result": cut, "truncated": len(cut) < len(result)}
        else:
            about["notebook_output"] = {"truncated": False}
    elif outcome.logs:
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


def _job_of(ws: Any, job_id: int, user: str, level: str) -> Job:
    """A job that one may see, run or manage."""
    job: Job = ws.jobs.job(job_id)
    ws.grants.check(user, level, "jobs", job.id)
    return job


def _run_of(ws: Any, run_id: int, user: str, level: str) -> Run:
    """A run of a job that one may see, run or manage; a run that was submitted is its author's."""
    run: Run = ws.jobs.run(run_id)
    _allow(ws, run, user, level)
    return run


def _allow(ws: Any, run: Run, user: str, level: str) -> None:
    if not _holds(ws, run, user, level):
        message = f"User {user} does not have {level} permission on run {run.id}."
        raise ApiError(403, "PERMISSION_DENIED", message)


def _holds(ws: Any, run: Run, user: str, level: str) -> bool:
    if user == run.creator:
        return True
    if run.run_type == "SUBMIT_RUN":
        return bool(ws.principals.is_admin(user))
    return bool(ws.grants.holds(user, level, "jobs", run.job_id))


def _may_run_as(ws: Any, settings: dict[str, Any], user: str) -> None:
    """Only an administrator may let a job run as somebody else."""
    wanted = settings.get("run_as")
    name = wanted and (wanted.get("service_principal_name") or wanted.get("user_name"))
    if name and name != user and not ws.principals.is_admin(user):
        raise ApiError(403, "PERMISSION_DENIED", f"User {user} may not set run_as to {name}.")


_KEYS = {
    "tasks": "task_key",
    "job_clusters": "job_cluster_key",
    "environments": "environment_key",
    "parameters": "name",
}


def _merged(name: str, old: Any, new: Any) -> Any:
    """A changed setting: what has keys is merged by them, anything else is replaced."""
    key = _KEYS.get(name)
    if key is None or not old:
        return new
    changed = {item[key]: item for item in new}
    return [changed.pop(item[key], item) for item in old] + list(changed.values())


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
    kept = (
        "notebook_task",
        "spark_python_task",
        "python_wheel_task",
        "depends_on",
        "run_if",
        "description",
        "environment_key",
        "existing_cluster_id",
    )
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
