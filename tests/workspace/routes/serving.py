"""Serving endpoints: list, get, chat completions (whole and streamed), invocations, served agents."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response, StreamingResponse

from tests.workspace.completion import chunks, whole
from tests.workspace.errors import ApiError, NotCovered, bad_request
from tests.workspace.jobs.runtime.serve import USER_TOKEN
from tests.workspace.model_server import check_entity
from tests.workspace.routes.request import SIGNED_IN, Body, Me, Ws, only, required
from tests.workspace.serving import Endpoint

if TYPE_CHECKING:
    import httpx

api = APIRouter(dependencies=SIGNED_IN)
FORWARD_TIMEOUT = 297.0
DIMENSIONS = 8
AGENT_LIMIT = 4 * 1024 * 1024


@api.get("/api/2.0/serving-endpoints")
def index(ws: Ws, user: Me) -> dict[str, Any]:
    """The endpoints that one may see."""
    seen = [known for known in ws.serving.endpoints.values() if _may(ws, user, "CAN_VIEW", known.name)]
    return {"endpoints": [_describe(endpoint) for endpoint in seen]}


@api.get("/api/2.0/serving-endpoints/{name}")
def get(name: str, ws: Ws, user: Me) -> dict[str, Any]:
    """One endpoint."""
    _check(ws, user, "CAN_VIEW", name)
    return _describe(ws.serving.endpoint(name), full=True)


@api.post("/api/2.0/serving-endpoints")
def create(given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """A new endpoint for a registered model's version."""
    asked = only(given, "name", "config", "tags", "description")
    name, config = str(required(asked, "name")), _checked(ws, required(asked, "config"), user)
    if name in ws.serving.endpoints:
        raise ApiError(409, "RESOURCE_ALREADY_EXISTS", f"Endpoint with name '{name}' already exists.")
    ws.grants.own(user, "serving-endpoints", name)
    return _describe(ws.serving.deploy(name, config, user), full=True)


@api.put("/api/2.0/serving-endpoints/{name}/config")
def update(name: str, given: Body, ws: Ws, user: Me) -> dict[str, Any]:
    """Serve another version."""
    _check(ws, user, "CAN_MANAGE", name)
    return _describe(ws.serving.deploy(name, _checked(ws, given, user), user), full=True)


@api.delete("/api/2.0/serving-endpoints/{name}")
def delete(name: str, ws: Ws, user: Me) -> dict[str, Any]:
    """An endpoint goes."""
    _check(ws, user, "CAN_MANAGE", name)
    ws.serving.remove(name)
    return {}


@api.get("/api/2.0/serving-endpoints/{name}/served-models/{entity}/logs")
def logs(name: str, entity: str, ws: Ws, user: Me) -> dict[str, Any]:
    """What the served model printed."""
    _check(ws, user, "CAN_MANAGE", name)
    deployment = ws.serving.endpoint(name).deployment
    if deployment is None or deployment.server is None:
        raise bad_request(f"{name} serves no model.")
    return {"logs": deployment.server.log.read_text(errors="replace")}


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
    if endpoint.forward_to is None and endpoint.deployment is None:
        raise bad_request(f"{name} does not serve the Responses API")
    return _forward(ws, user, endpoint, {key: value for key, value in given.items() if key != "model"})


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


_ENTITY = (
    "name",
    "entity_name",
    "entity_version",
    "workload_size",
    "workload_type",
    "scale_to_zero_enabled",
    "environment_vars",
)


def _checked(ws: Any, config: dict[str, Any], user: str) -> dict[str, Any]:
    """A configuration of one entity that is there."""
    asked = only(config, "served_entities", "traffic_config", "name")
    entities = required(asked, "served_entities")
    if len(entities) != 1:
        raise NotCovered(f"{len(entities)} served entities")
    check_entity(ws, only(entities[0], *_ENTITY), user)
    return {key: value for key, value in asked.items() if key != "name"}


def _may(ws: Any, user: str, level: str, name: str) -> bool:
    return bool(ws.grants.holds(user, level, "serving-endpoints", name))


def _answer(ws: Any, user: str, name: str, given: dict[str, Any]) -> Response:
    _check(ws, user, "CAN_QUERY", name)
    endpoint = ws.serving.endpoint(name)
    if endpoint.forward_to or endpoint.deployment:
        return _forward(ws, user, endpoint, given)
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


def _forward(ws: Any, user: str, endpoint: Endpoint, given: dict[str, Any]) -> Response:
    """Pass a request on to the model, with a token of its caller's, and its answer (also a stream) back."""
    import httpx

    if endpoint.forward_to is None:
        raise ApiError(503, "TEMPORARILY_UNAVAILABLE", f"The endpoint {endpoint.name} is not ready.")
    size = len(json.dumps(given))
    if size > AGENT_LIMIT:
        message = f"The request of {size} bytes exceeds the limit of {AGENT_LIMIT} bytes."
        raise ApiError(413, "MAX_REQUEST_SIZE_EXCEEDED", message)
    headers = {USER_TOKEN: ws.tokens.on_behalf_of(user, *ws.serving.user_scopes).value}
    client = httpx.Client(timeout=FORWARD_TIMEOUT)
    request = client.build_request("POST", f"{endpoint.forward_to}/invocations", json=given, headers=headers)
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


def _describe(endpoint: Endpoint, *, full: bool = False) -> dict[str, Any]:
    about: dict[str, Any] = {
        "id": endpoint.name,
        "name": endpoint.name,
        "task": endpoint.task,
        "creator": endpoint.deployment.creator if endpoint.deployment else "analyst@example.com",
        "state": {"ready": "READY", "config_update": "NOT_UPDATING"},
    }
    deployment = endpoint.deployment
    if deployment is None:
        return about
    update = "IN_PROGRESS" if deployment.pending is not None else "NOT_UPDATING"
    ready = "READY" if deployment.server else "NOT_READY"
    about["state"] = {"ready": ready, "config_update": "UPDATE_FAILED" if deployment.failure else update}
    if not full:
        return about
    if deployment.server:
        about["config"] = _config(deployment.config, deployment.version, "DEPLOYMENT_READY", "")
    if deployment.pending is not None or deployment.failure:
        state = "DEPLOYMENT_FAILED" if deployment.failure else "DEPLOYMENT_CREATING"
        coming = deployment.pending or deployment.last
        about["pending_config"] = _config(coming, deployment.version + 1, state, deployment.failure or "")
    return about


def _config(config: dict[str, Any], version: int, state: str, message: str) -> dict[str, Any]:
    entities = [
        {
            **entity,
            "name": _entity_name(entity),
            "state": {"deployment": state, "deployment_state_message": message},
        }
        for entity in config.get("served_entities", [])
    ]
    traffic = config.get("traffic_config") or {
        "routes": [{"served_entity_name": _entity_name(entity), "traffic_percentage": 100} for entity in entities[:1]]
    }
    return {"served_entities": entities, "traffic_config": traffic, "config_version": version}


def _entity_name(entity: dict[str, Any]) -> str:
    return str(entity.get("name") or f"{str(entity['entity_name']).rsplit('.', 1)[-1]}-{entity['entity_version']}")
