"""Secrets: scopes, put, get (base64), list, delete."""

import base64
from typing import Any

from fastapi import APIRouter, Request

from tests.workspace.routes.request import SIGNED_IN, Body, Ws, only, required

api = APIRouter(prefix="/api/2.0/secrets", dependencies=SIGNED_IN)


@api.post("/scopes/create")
def create_scope(given: Body, ws: Ws) -> dict[str, Any]:
    """A new scope, kept by Databricks."""
    ws.secrets.create_scope(required(only(given, "scope", "initial_manage_principal"), "scope"))
    return {}


@api.get("/scopes/list")
def list_scopes(ws: Ws) -> dict[str, Any]:
    """All scopes."""
    return {"scopes": [{"name": scope.name, "backend_type": "DATABRICKS"} for scope in ws.secrets.scopes()]}


@api.post("/scopes/delete")
def delete_scope(given: Body, ws: Ws) -> dict[str, Any]:
    """A scope goes."""
    ws.secrets.delete_scope(required(only(given, "scope"), "scope"))
    return {}


@api.post("/put")
def put(given: Body, ws: Ws) -> dict[str, Any]:
    """A secret from text or from base64."""
    asked = only(given, "scope", "key", "string_value", "bytes_value")
    text = asked.get("string_value")
    value = text.encode() if text is not None else base64.b64decode(required(asked, "bytes_value"))
    ws.secrets.put(required(asked, "scope"), required(asked, "key"), value)
    return {}


@api.get("/get")
def get(request: Request, ws: Ws) -> dict[str, Any]:
    """A secret, in base64."""
    scope, key = request.query_params["scope"], request.query_params["key"]
    return {"key": key, "value": base64.b64encode(ws.secrets.get(scope, key)).decode()}


@api.get("/list")
def index(request: Request, ws: Ws) -> dict[str, Any]:
    """The keys of a scope."""
    found = ws.secrets.scope(request.query_params["scope"]).secrets
    return {
        "secrets": [{"key": key, "last_updated_timestamp": found[key].updated_at} for key in sorted(found)],
    }


@api.post("/delete")
def delete(given: Body, ws: Ws) -> dict[str, Any]:
    """A secret goes."""
    asked = only(given, "scope", "key")
    ws.secrets.delete(required(asked, "scope"), required(asked, "key"))
    return {}
