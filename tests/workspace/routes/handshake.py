"""What a client asks before anything else, and OAuth machine-to-machine."""

import base64
from urllib.parse import parse_qs

from fastapi import APIRouter, Request

from tests.workspace.errors import ApiError
from tests.workspace.routes.request import Ws
from tests.workspace.workspace_id import WORKSPACE_ID

api = APIRouter()


@api.get("/.well-known/databricks-config")
def configuration(ws: Ws) -> dict[str, str]:
    """Where to sign in."""
    return {"oidc_endpoint": f"{ws.url}/oidc", "workspace_id": WORKSPACE_ID, "cloud": "AWS"}


@api.get("/oidc/.well-known/oauth-authorization-server")
def authorization_server(ws: Ws) -> dict[str, str]:
    """The OAuth endpoints."""
    return {
        "issuer": f"{ws.url}/oidc",
        "authorization_endpoint": f"{ws.url}/oidc/v1/authorize",
        "token_endpoint": f"{ws.url}/oidc/v1/token",
    }


@api.post("/oidc/v1/token")
async def token(request: Request, ws: Ws) -> dict[str, str | int]:
    """Client credentials become an access token that expires after `ws.tokens.lifetime` seconds."""
    form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
    client_id, secret = _credentials(request, form)
    if form.get("grant_type") != "client_credentials":
        raise ApiError(400, "unsupported_grant_type", "only client_credentials is covered")
    if not client_id or ws.tokens.clients.get(client_id) != secret:
        raise ApiError(401, "invalid_client", "Client authentication failed")
    lifetime = ws.tokens.lifetime
    made = ws.tokens.mint(client_id, prefix="eyJ", lifetime=lifetime)
    ws.journal.write("token_minted", client_id, lifetime=lifetime)
    return {"access_token": made.value, "token_type": "Bearer", "expires_in": int(lifetime), "scope": "all-apis"}


def _credentials(request: Request, form: dict[str, str]) -> tuple[str, str]:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        client_id, _, secret = base64.b64decode(value).decode().partition(":")
        return client_id, secret
    return form.get("client_id", ""), form.get("client_secret", "")
