"""The HTTP routes, one file per service."""

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from tests.workspace.routes import (
    catalog,
    clusters,
    files,
    genie,
    handshake,
    identity,
    jobs,
    lakebase,
    mlflow,
    objects,
    permissions,
    secrets,
    serving,
    statements,
    thrift,
    warehouses,
)

SERVICES = (
    handshake,
    identity,
    statements,
    thrift,
    warehouses,
    jobs,
    clusters,
    permissions,
    files,
    objects,
    catalog,
    secrets,
    genie,
    lakebase,
    mlflow,
    serving,
)


def attach(app: FastAPI) -> None:
    """Add every service, and an honest end of the list."""
    for service in SERVICES:
        app.include_router(service.api)
    app.add_route("/{path:path}", _unknown, methods=["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"])


async def _unknown(request: Request) -> JSONResponse:
    message = f"No API found for '{request.method} {request.url.path}' (the stand-in workspace does not know it)"
    return JSONResponse({"error_code": "ENDPOINT_NOT_FOUND", "message": message, "details": []}, 404)
