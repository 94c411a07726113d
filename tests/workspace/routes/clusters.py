"""Clusters (`/api/2.1/clusters`): by name only, nothing of them runs."""

from typing import Any

from fastapi import APIRouter, Request

from tests.workspace.clusters import SPARK_VERSION, Cluster
from tests.workspace.errors import ApiError, bad_request
from tests.workspace.routes.request import SIGNED_IN, Body, Me, Ws, only, required

api = APIRouter(prefix="/api/2.1/clusters", dependencies=SIGNED_IN)
_SETTINGS = (
    "spark_version",
    "node_type_id",
    "num_workers",
    "autoscale",
    "spark_conf",
    "spark_env_vars",
    "autotermination_minutes",
    "data_security_mode",
    "single_user_name",
    "custom_tags",
    "is_single_node",
    "kind",
)


@api.get("/list")
def index(ws: Ws) -> dict[str, Any]:
    """All clusters."""
    return {"clusters": [_describe(cluster) for cluster in ws.clusters.list()]}


@api.get("/get")
def get(request: Request, ws: Ws, user: Me) -> dict[str, Any]:
    """One cluster."""
    return _describe(_allowed(ws, request.query_params.get("cluster_id", ""), user, "CAN_ATTACH_TO"))


@api.post("/create")
def create(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """A new cluster."""
    asked = only(given, *_SETTINGS, "cluster_name")
    required(asked, "spark_version")
    settings = {name: asked[name] for name in _SETTINGS if name in asked}
    return {"cluster_id": ws.clusters.add(name=asked.get("cluster_name") or "", creator=user, **settings).id}


@api.post("/start")
def start(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """Start a cluster."""
    cluster = _allowed(ws, required(only(given, "cluster_id"), "cluster_id"), user, "CAN_RESTART")
    if cluster.state == "RUNNING":
        raise bad_request(f"Cluster {cluster.id} is in unexpected state Running.", "INVALID_STATE")
    if cluster.broken:
        raise ApiError(500, "INTERNAL_ERROR", f"Cluster {cluster.id} could not be started: {cluster.broken}")
    cluster.state = "RUNNING"
    return {}


@api.post("/delete")
def delete(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """Stop a cluster."""
    _allowed(ws, required(only(given, "cluster_id"), "cluster_id"), user, "CAN_RESTART").state = "TERMINATED"
    return {}


@api.post("/permanent-delete")
def remove(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """Delete a cluster for good."""
    ws.clusters.remove(_allowed(ws, required(only(given, "cluster_id"), "cluster_id"), user, "CAN_MANAGE").id)
    return {}


def _allowed(ws: Any, cluster_id: str, user: str, level: str) -> Cluster:
    cluster: Cluster = ws.clusters.get(cluster_id)
    ws.grants.check(user, level, "clusters", cluster.id)
    return cluster


def _describe(cluster: Cluster) -> dict[str, Any]:
    return {
        "cluster_id": cluster.id,
        "cluster_name": cluster.name,
        "state": cluster.state,
        "spark_version": SPARK_VERSION,
        **cluster.settings,
        **({"creator_user_name": cluster.creator} if cluster.creator else {}),
    }
