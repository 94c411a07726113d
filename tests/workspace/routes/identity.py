"""SCIM: who am I."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from tests.workspace.routes.request import Me
from tests.workspace.workspace_id import WORKSPACE_ID

api = APIRouter()


@api.get("/api/2.0/preview/scim/v2/Me")
def me(user: Me) -> JSONResponse:
    """The signed-in user or service principal."""
    about: dict[str, Any] = {
        "id": str(abs(hash(user)) % 10**12),
        "userName": user,
        "displayName": user.partition("@")[0],
        "active": True,
        "emails": [{"value": user, "primary": True, "type": "work"}] if "@" in user else [],
        "groups": [{"display": "users", "value": "1"}],
    }
    return JSONResponse(about, headers={"x-databricks-org-id": WORKSPACE_ID})
