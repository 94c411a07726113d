"""The Thrift endpoint that databricks-sql-connector uses by default (`/sql/1.0/warehouses/…`)."""

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from tests.workspace.routes.request import Me, Ws

api = APIRouter()


@api.post("/sql/1.0/warehouses/{warehouse_id}")
async def call(warehouse_id: str, request: Request, ws: Ws, user: Me) -> Response:
    """One Thrift call."""
    from tests.workspace.sql.thrift import serve

    ws.warehouses.get(warehouse_id)
    ws.grants.check(user, "CAN_USE", "warehouses", warehouse_id)
    answer = await run_in_threadpool(serve, ws, warehouse_id, user, await request.body())
    return Response(answer, media_type="application/x-thrift")


@api.get("/api/2.0/connector-service/feature-flags/{path:path}")
def feature_flags(path: str, user: Me) -> dict[str, Any]:
    """What the connector asks at the start; no flag is set."""
    return {"flags": [], "ttl_seconds": 900}


@api.post("/telemetry-ext")
@api.post("/telemetry-unauth")
async def telemetry() -> dict[str, Any]:
    """The connector's telemetry, taken and dropped."""
    return {"errors": [], "numSuccess": 0, "numProtoSuccess": 0}
