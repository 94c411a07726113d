"""Secrets: scopes, put, get (base64), list, delete."""

import base64
from typing import Any

from fastapi import APIRouter, Request

from tests.workspace.errors import not_found
from tests.workspace.routes.request import SIGNED_IN, Body, Me, Ws, only, required

api = APIRouter(prefix="/api/2.0/secrets", dependencies=SIGNED_IN)


@api.post("/scopes/create")
def create_scope(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """A new scope, kept by Databricks; its maker may manage it."""
    asked = only(given, "scope", "initial_manage_principal")
    name = required(asked, "scope")
    ws.secrets.create_scope(name)
    ws.grants.replace("secret_scope", name, [(asked.get("initial_manage_principal") or user, "MANAGE")])
    return {}


@api.get("/scopes/list")
def list_scopes(ws: Ws, user: Me) -> dict[str, Any]:
    """The scopes that one may read."""
    seen = [scope for scope in ws.secrets.scopes() if ws.grants.holds(user, "READ", "secret_scope", scope.name)]
    return {"scopes": [{"name": scope.name, "backend_type": "DATABRICKS"} for scope in seen]}


@api.post("/scopes/delete")
def delete_scope(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """A scope goes."""
    name = _scope(ws, required(only(given, "scope"), "scope"), user, "MANAGE")
    ws.secrets.delete_scope(name)
    ws.grants.replace("secret_scope", name, [])
    return {}


@api.post("/put")
def put(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """A secret from text or from base64."""
    asked = only(given, "scope", "key", "string_value", "bytes_value")
    text = asked.get("string_value")
    value = text.encode() if text is not None else base64.b64decode(required(asked, "bytes_value"))
    ws.secrets.put(_scope(ws, required(asked, "scope"), user, "WRITE"), required(asked, "key"), value)
    return {}


@api.get("/get")
def get(request: Request, ws: Ws, user: Me) -> dict[str, Any]:
    """A secret, in base64."""
    scope, key = _scope(ws, request.query_params["scope"], user, "READ"), request.query_params["key"]
    return {"key": key, "value": base64.b64encode(ws.secrets.get(scope, key)).decode()}


@api.get("/list")
def index(request: Request, ws: Ws, user: Me) -> dict[str, Any]:
    """The keys of a scope."""
    found = ws.secrets.scope(_scope(ws, request.query_params["scope"], user, "READ")).secrets
    return {
        "secrets": [{"key": key, "last_updated_timestamp": found[key].updated_at} for key in sorted(found)],
    }


@api.post("/delete")
def delete(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """A secret goes."""
    asked = only(given, "scope", "key")
    ws.secrets.delete(_scope(ws, required(asked, "scope"), user, "WRITE"), required(asked, "key"))
    return {}


@api.post("/acls/put")
def put_acl(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """Let somebody read, write or manage a scope."""
    asked = only(given, "scope", "principal", "permission")
    scope, principal = _scope(ws, required(asked, "scope"), user, "MANAGE"), required(asked, "principal")
    others = [
        (row.principal, row.privilege) for row in ws.grants.on("secret_scope", scope) if row.principal != principal
    ]
    ws.grants.replace("secret_scope", scope, [*others, (principal, required(asked, "permission"))])
    return {}


@api.get("/acls/list")
def list_acls(request: Request, ws: Ws, user: Me) -> dict[str, Any]:
    """Who may do what with a scope."""
    scope = _scope(ws, request.query_params["scope"], user, "MANAGE")
    rows = ws.grants.on("secret_scope", scope)
    return {"items": [{"principal": row.principal, "permission": row.privilege} for row in rows]}


@api.get("/acls/get")
def get_acl(request: Request, ws: Ws, user: Me) -> dict[str, Any]:
    """What one may do with a scope."""
    scope, principal = _scope(ws, request.query_params["scope"], user, "READ"), request.query_params["principal"]
    for row in ws.grants.on("secret_scope", scope):
        if row.principal == principal:
            return {"principal": principal, "permission": row.privilege}
    raise not_found(f"No ACL for {principal} on scope {scope}.")


@api.post("/acls/delete")
def delete_acl(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """Take somebody's permission back."""
    asked = only(given, "scope", "principal")
    scope = _scope(ws, required(asked, "scope"), user, "MANAGE")
    kept = [row for row in ws.grants.on("secret_scope", scope) if row.principal != required(asked, "principal")]
    ws.grants.replace("secret_scope", scope, [(row.principal, row.privilege) for row in kept])
    return {}


def _scope(ws: Any, name: str, user: str, level: str) -> str:
    """A scope that one may read, write or manage."""
    ws.secrets.scope(name)
    ws.grants.check(user, level, "secret_scope", name)
    return name
