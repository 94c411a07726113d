"""What every route needs of a request: the workspace, who asks, and a body whose every key is known."""

import json
from typing import TYPE_CHECKING, Annotated, Any, cast

from fastapi import Depends, Request

from tests.workspace.errors import ApiError, NotCovered, bad_request
from tests.workspace.routes.queries import unknown

if TYPE_CHECKING:
    from tests.workspace.workspace import Workspace


# The largest bodies, in bytes: a model endpoint's, a statement's, an imported notebook's (10 MB in base64), any other.
_MB = 1024 * 1024
LIMITS = {"/serving-endpoints": 16 * _MB, "/api/2.0/sql/statements": 16 * _MB, "/api/2.0/workspace/import": 14 * _MB}
LARGEST = 10 * _MB


def workspace(request: Request) -> "Workspace":
    """The workspace that serves this request."""
    return cast("Workspace", request.app.state.workspace)


def principal(request: Request) -> str:
    """Who asks, by the bearer token (401 or 403 otherwise), in a request whose every query parameter is honoured."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not value:
        raise ApiError(401, "UNAUTHENTICATED", "Credential was not sent or was of an unsupported type for this API.")
    who = workspace(request).tokens.principal(value, request.url.path)
    not_honoured = unknown(request.scope["route"].path, set(request.query_params))
    if not_honoured:
        raise NotCovered(f"the query parameter(s) {', '.join(not_honoured)}")
    return who


async def body(request: Request) -> dict[str, Any]:
    """The JSON object in the body; an empty one if there is none."""
    raw = await request.body()
    if not raw:
        return {}
    limit = next((limit for path, limit in LIMITS.items() if request.url.path.startswith(path)), LARGEST)
    if len(raw) > limit:
        message = f"The request of {len(raw)} bytes exceeds the limit of {limit} bytes."
        raise ApiError(413, "MAX_REQUEST_SIZE_EXCEEDED", message)
    try:
        value = json.loads(raw)
    except ValueError as error:
        raise bad_request(f"Could not parse request object: {error}", "MALFORMED_REQUEST") from error
    if not isinstance(value, dict):
        raise bad_request("Could not parse request object: expected an object", "MALFORMED_REQUEST")
    return value


Ws = Annotated[Any, Depends(workspace)]
Me = Annotated[str, Depends(principal)]
Body = Annotated[dict[str, Any], Depends(body)]
SIGNED_IN = [Depends(principal)]


def only(given: dict[str, Any], *known: str) -> dict[str, Any]:
    """The body, if all that it asks for is covered: nothing is silently ignored."""
    strange = sorted(set(given) - set(known))
    if strange:
        raise NotCovered(f"the request field(s) {', '.join(strange)}")
    return given


def required(given: dict[str, Any], name: str) -> Any:
    """A field that must be there."""
    if given.get(name) in (None, ""):
        raise bad_request(f"Missing required field: {name}")
    return given[name]
