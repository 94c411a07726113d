"""Lakebase: provisioned instances (`/api/2.0/database`) and autoscaling projects (`/api/2.0/postgres`)."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter

from tests.workspace.errors import not_found
from tests.workspace.lakebase import BRANCH, ENDPOINT, INSTANCE, PROJECT
from tests.workspace.routes.request import SIGNED_IN, Body, Me, Ws, only, required

api = APIRouter(prefix="/api/2.0", dependencies=SIGNED_IN)
_PROJECT = f"projects/{PROJECT}"
_BRANCH = f"{_PROJECT}/branches/{BRANCH}"


@api.get("/database/instances")
def instances(ws: Ws) -> dict[str, Any]:
    """All provisioned instances."""
    return {"database_instances": [_instance(ws)]}


@api.get("/database/instances/{name}")
def instance(name: str, ws: Ws) -> dict[str, Any]:
    """One provisioned instance."""
    ws.lakebase.instance(name)
    return _instance(ws)


@api.post("/database/credentials")
def provisioned_credential(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """A token for provisioned instances."""
    for name in required(only(given, "request_id", "instance_names"), "instance_names"):
        ws.lakebase.instance(name)
    made = ws.lakebase.mint(user)
    return {"token": made.token, "expiration_time": _moment(made.expires_at)}


@api.post("/postgres/credentials")
def autoscaling_credential(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """A token for an autoscaling endpoint."""
    ws.lakebase.endpoint(required(only(given, "endpoint"), "endpoint"))
    made = ws.lakebase.mint(user)
    return {"token": made.token, "expire_time": _moment(made.expires_at)}


@api.get("/postgres/projects")
def projects() -> dict[str, Any]:
    """All projects."""
    return {"projects": [_project()]}


@api.get("/postgres/{name:path}")
def lookup(name: str, ws: Ws) -> dict[str, Any]:
    """A project, branch or endpoint by its name, or what is listed below one."""
    found = {
        _PROJECT: _project,
        _BRANCH: _branch,
        ENDPOINT: lambda: _endpoint(ws),
        f"{_PROJECT}/branches": lambda: {"branches": [_branch()]},
        f"{_BRANCH}/endpoints": lambda: {"endpoints": [_endpoint(ws)]},
    }.get(name)
    if found is None:
        raise not_found(f"'{name}' not found.", "NOT_FOUND")
    return found()


def _instance(ws: Any) -> dict[str, Any]:
    return {
        "name": INSTANCE,
        "uid": ws.lakebase.uid,
        "state": "AVAILABLE",
        "capacity": "CU_1",
        "pg_version": "PG_VERSION_16",
        "read_write_dns": ws.lakebase.host,
        "stopped": False,
    }


def _project() -> dict[str, Any]:
    return {"name": _PROJECT, "uid": "project-1", "status": {"display_name": PROJECT, "pg_version": 16}}


def _branch() -> dict[str, Any]:
    return {
        "name": _BRANCH,
        "parent": _PROJECT,
        "uid": "branch-1",
        "status": {"current_state": "READY", "default": True},
    }


def _endpoint(ws: Any) -> dict[str, Any]:
    return {
        "name": ENDPOINT,
        "parent": _BRANCH,
        "uid": "endpoint-1",
        "status": {
            "endpoint_type": "ENDPOINT_TYPE_READ_WRITE",
            "current_state": "ACTIVE",
            "hosts": {"host": ws.lakebase.host},
        },
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
