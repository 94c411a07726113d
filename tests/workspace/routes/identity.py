"""SCIM: who am I."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from tests.workspace.routes.request import Me, Ws
from tests.workspace.workspace_id import WORKSPACE_ID

api = APIRouter()


@api.get("/api/2.0/preview/scim/v2/Me")
def me(ws: Ws, user: Me) -> JSONResponse:
    """The signed-in user or service principal."""
    known = ws.principals.get(user)
    about: dict[str, Any] = {
        "id": str(abs(hash(user)) % 10**12),
        "userName": user,
        "displayName": known.display,
        "active": True,
        "emails": [{"value": user, "primary": True, "type": "work"}] if "@" in user else [],
        "groups": [{"display": group, "value": str(number)} for number, group in enumerate(known.groups, start=1)],
    }
    return JSONResponse(about, headers={"x-databricks-org-id": WORKSPACE_ID})
