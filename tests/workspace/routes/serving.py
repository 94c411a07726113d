"""Serving endpoints: list, get, chat completions (whole and streamed), invocations, served agents."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response, StreamingResponse

from tests.workspace.completion import chunks, whole
from tests.workspace.errors import ApiError, bad_request
from tests.workspace.routes.request import SIGNED_IN, Body, Me, Ws, required
from tests.workspace.serving import Endpoint

if TYPE_CHECKING:
    import httpx

api = APIRouter(dependencies=SIGNED_IN)
FORWARD_TIMEOUT = 297.0
DIMENSIONS = 8


@api.get("/api/2.0/serving-endpoints")
def index(ws: Ws, user: Me) -> dict[str, Any]:
    """The endpoints that one may see."""
    seen = [known for known in ws.serving.endpoints.values() if _may(ws, user, "CAN_VIEW", known.name)]
    return {"endpoints": [_describe(endpoint) for endpoint in seen]}


@api.get("/api/2.0/serving-endpoints/{name}")
def get(name: str, ws: Ws, user: Me) -> dict[str, Any]:
    """One endpoint."""
    _check(ws, user, "CAN_VIEW", name)
    return _describe(ws.serving.endpoint(name))


@api.post("/serving-endpoints/chat/completions")
def chat(given: Body, ws: Ws, user: Me) -> Response:
    """A chat completion by the model named in the body."""
    return _answer(ws, user, str(required(given, "model")), given)


@api.post("/serving-endpoints/responses")
def responses(given: Body, ws: Ws, user: Me) -> Response:
    """A response by the served agent named in the body."""
    name = str(required(given, "model"))
    _check(ws, user, "CAN_QUERY", name)
    endpoint = ws.serving.endpoint(name)
    if endpoint.forward_to is None:
        raise bad_request(f"{name} does not serve the Responses API")
    return _forward(endpoint, {key: value for key, value in given.items() if key != "model"})


@api.post("/serving-endpoints/embeddings")
def embeddings(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """Embeddings by the model named in the body: the same text has the same vector, and no meaning."""
    name = str(required(given, "model"))
    _check(ws, user, "CAN_QUERY", name)
    return _embed(ws.serving.endpoint(name), given)


@api.post("/serving-endpoints/{name}/invocations")
def invocations(name: str, given: Body, ws: Ws, user: Me) -> Response:
    """A query of an endpoint by its name."""
    return _answer(ws, user, name, given)


def _check(ws: Any, user: str, level: str, name: str) -> None:
    ws.serving.endpoint(name)
    ws.grants.check(user, level, "serving-endpoints", name)


def _may(ws: Any, user: str, level: str, name: str) -> bool:
    return bool(ws.grants.holds(user, level, "serving-endpoints", name))


def _answer(ws: Any, user: str, name: str, given: dict[str, Any]) -> Response:
    _check(ws, user, "CAN_QUERY", name)
    endpoint = ws.serving.endpoint(name)
    if endpoint.forward_to:
        return _forward(endpoint, given)
    if endpoint.task == "llm/v1/embeddings":
        return JSONResponse(_embed(endpoint, given))
    if not isinstance(given.get("messages"), list):
        raise bad_request("Missing required field: messages")
    try:
        reply = ws.serving.take(name, given)
    except ApiError as error:
        headers = {"retry-after": "1"} if error.status == 429 else None
        return JSONResponse(error.body(), error.status, headers=headers)
    if not given.get("stream"):
        return JSONResponse(whole(endpoint, given, reply))
    events = (f"data: {json.dumps(chunk)}\n\n" for chunk in chunks(endpoint, given, reply))
    return StreamingResponse(_ended(events), media_type="text/event-stream")


def _ended(events: Iterator[str]) -> Iterator[str]:
    yield from events
    yield "data: [DONE]\n\n"


def _forward(endpoint: Endpoint, given: dict[str, Any]) -> Response:
    """Pass a request on to the local server, and its answer (also a stream) back."""
    import httpx

    client = httpx.Client(timeout=FORWARD_TIMEOUT)
    request = client.build_request("POST", f"{endpoint.forward_to}/invocations", json=given)
    try:
        answer = client.send(request, stream=True)
    except httpx.HTTPError as error:
        client.close()
        raise ApiError(503, "TEMPORARILY_UNAVAILABLE", f"{endpoint.name} can't be reached: {error}") from error
    return StreamingResponse(
        _passed_on(client, answer), answer.status_code, media_type=answer.headers.get("content-type")
    )


def _passed_on(client: "httpx.Client", answer: "httpx.Response") -> Iterator[bytes]:
    with closing(client), closing(answer):
        yield from answer.iter_bytes()


def _embed(endpoint: Endpoint, given: dict[str, Any]) -> dict[str, Any]:
    texts = given.get("input") or []
    texts = [texts] if isinstance(texts, str) else texts
    data = [{"index": index, "object": "embedding", "embedding": _vector(text)} for index, text in enumerate(texts)]
    count = sum(len(text.split()) for text in texts)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return {"object": "list", "model": endpoint.name, "data": data, "usage": usage}


def _vector(text: str) -> list[float]:
    digest = hashlib.sha256(text.encode()).digest()
    return [byte / 255 - 0.5 for byte in digest[:DIMENSIONS]]


def _describe(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "name": endpoint.name,
        "task": endpoint.task,
        "creator": "analyst@example.com",
        "state": {"ready": "READY", "config_update": "NOT_UPDATING"},
    }
