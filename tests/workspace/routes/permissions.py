"""Permissions of workspace things (`/api/2.0/permissions`) and of Unity Catalog's securables."""

from typing import Any

from fastapi import APIRouter, Request

from tests.workspace.errors import ApiError, bad_request, not_found
from tests.workspace.grants import LEVELS, UNITY, described
from tests.workspace.routes.request import SIGNED_IN, Body, Me, Ws, only
from tests.workspace.sql.granting import PRIVILEGES

api = APIRouter(dependencies=SIGNED_IN)
_WORKSPACE = "/api/2.0/permissions/{kind}/{name}"
_UNITY = "/api/2.1/unity-catalog/permissions/{kind}/{name}"


@api.get(_WORKSPACE)
def get(kind: str, name: str, ws: Ws, user: Me) -> dict[str, Any]:
    """Who may do what with a thing."""
    return _shown(ws, kind, name, user)


@api.patch(_WORKSPACE)
def update(kind: str, name: str, given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """Allow more."""
    _manage(ws, kind, name, user)
    for who, level in _levels(ws, only(given, "access_control_list").get("access_control_list") or []):
        ws.grants.allow(who, level, kind, name)
    return _shown(ws, kind, name, user)


@api.put(_WORKSPACE)
def put(kind: str, name: str, given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """Allow this and nothing else."""
    _manage(ws, kind, name, user)
    replace(ws, kind, name, only(given, "access_control_list").get("access_control_list") or [])
    return _shown(ws, kind, name, user)


@api.get(_UNITY)
@api.get("/api/2.1/unity-catalog/effective-permissions/{kind}/{name}")
def grants(kind: str, name: str, request: Request, ws: Ws) -> dict[str, Any]:
    """The grants on a securable. The effective ones are those on it and on what is above it."""
    securable = _securable(ws, kind, name)
    if "effective" not in request.url.path:
        return {"privilege_assignments": described(ws.grants, securable, name)}
    found: list[dict[str, Any]] = []
    places = [(securable, name), *_above(name)]
    for place, full in places:
        for item in described(ws.grants, place, full):
            privileges = [
                {
                    "privilege": privilege,
                    **({"inherited_from_name": full, "inherited_from_type": place} if full != name else {}),
                }
                for privilege in item["privileges"]
            ]
            found.append({"principal": item["principal"], "privileges": privileges})
    return {"privilege_assignments": found}


@api.patch(_UNITY)
def change(kind: str, name: str, given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """Grant and revoke."""
    securable = _securable(ws, kind, name)
    ws.grants.check(user, "MANAGE", securable, name)
    for item in only(given, "changes").get("changes") or []:
        privileges = [*(item.get("add") or []), *(item.get("remove") or [])]
        unknown = [word for word in privileges if word.replace("_", " ") not in PRIVILEGES]
        if unknown:
            raise bad_request(f"Privilege {unknown[0]} is not applicable to this entity.")
        for privilege in item.get("add") or []:
            ws.grants.allow(item["principal"], privilege, securable, name)
        for privilege in item.get("remove") or []:
            ws.grants.revoke(item["principal"], privilege, securable, name)
    return {"privilege_assignments": described(ws.grants, securable, name)}


def replace(ws: Any, kind: str, name: str, items: list[dict[str, Any]]) -> None:
    """Set the grants of a workspace thing."""
    ws.grants.replace(kind, name, _levels(ws, items))


def _levels(ws: Any, items: list[dict[str, Any]]) -> list[tuple[str, str]]:
    pairs = []
    for item in items:
        who = item.get("user_name") or item.get("service_principal_name") or item.get("group_name")
        if not who:
            raise bad_request("Each access control needs a user_name, service_principal_name or group_name.")
        if not item.get("group_name") and not ws.principals.known(who):
            raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"Principal: '{who}' does not exist.")
        pairs.append((who, item["permission_level"]))
    return pairs


def _shown(ws: Any, kind: str, name: str, user: str) -> dict[str, Any]:
    _exists(ws, kind, name)
    ws.grants.check(user, LEVELS[kind][0], kind, name)
    by_principal: dict[str, list[str]] = {}
    for row in ws.grants.on(kind, name):
        by_principal.setdefault(row.principal, []).append(row.privilege)
    if "IS_OWNER" in LEVELS[kind]:
        by_principal.setdefault(ws.grants.owner(kind, name), []).append("IS_OWNER")
    return {
        "object_id": f"/{kind}/{name}",
        "object_type": kind.removesuffix("s"),
        "access_control_list": [_entry(ws, who, levels) for who, levels in by_principal.items()],
    }


def _entry(ws: Any, who: str, levels: list[str]) -> dict[str, Any]:
    field = "service_principal_name" if ws.principals.get(who).kind == "service_principal" else "user_name"
    if not ws.principals.known(who):
        field = "group_name"
    return {field: who, "all_permissions": [{"permission_level": level, "inherited": False} for level in levels]}


def _manage(ws: Any, kind: str, name: str, user: str) -> None:
    _exists(ws, kind, name)
    ws.grants.check(user, "CAN_MANAGE", kind, name)


def _exists(ws: Any, kind: str, name: str) -> None:
    """404 or 400 for what is not there."""
    finds = {
        "jobs": lambda: ws.jobs.job(int(name)),
        "clusters": lambda: ws.clusters.get(name),
        "genie": lambda: ws.genie.space(name),
        "serving-endpoints": lambda: ws.serving.by_id(name),
        "warehouses": lambda: ws.warehouses.get(name),
        "experiments": lambda: None,
    }
    if kind not in finds:
        raise bad_request(f"'{kind}' is not an object type of the stand-in: {', '.join(finds)}")
    finds[kind]()


def _securable(ws: Any, kind: str, name: str) -> str:
    """The kind in the table of grants; 404 for what is not there."""
    securable = {"REGISTERED_MODEL": "MODEL"}.get(kind.upper(), kind.upper())
    if securable not in UNITY:
        raise bad_request(f"'{kind}' is not a securable type of the stand-in: {', '.join(UNITY)}")
    parts = name.split(".")
    if securable == "CATALOG":
        ws.catalog.catalog(name)
    elif securable == "SCHEMA":
        ws.catalog.schema(*parts)
    elif securable == "TABLE" and parts[-1] not in ws.catalog.tables(*parts[:2]):
        raise not_found(f"Table '{name}' does not exist.", "TABLE_DOES_NOT_EXIST")
    elif securable == "VOLUME":
        ws.catalog.volume(name)
    return securable


def _above(name: str) -> list[tuple[str, str]]:
    parts = name.split(".")
    places = [("SCHEMA", ".".join(parts[:2]))] if len(parts) == 3 else []
    return [*places, ("CATALOG", parts[0])] if len(parts) > 1 else []
