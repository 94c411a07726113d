"""Serving endpoints: a scripted chat model, one that a test supplies, or a served agent elsewhere.

ws.serving.script("Hello", calls("get_weather", city="Rome"))      # two replies, in this order
ws.serving.use(lambda request: reply(request["messages"][-1]["content"].upper()))
ws.serving.forward("my-agent", "http://127.0.0.1:5001")            # a local MLflow server

An endpoint that is created through the API loads its registered model (`model_server`) and answers by it.
"""

import json
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tests.workspace.errors import ApiError, not_found
from tests.workspace.jobs.environment import InstallationFailed
from tests.workspace.model_server import LoadFailed, ModelServer

if TYPE_CHECKING:
    from tests.workspace.workspace import Workspace

MODEL = "stand-in-model"
EMBEDDINGS = "stand-in-embeddings"
UsageShape = Literal["own_chunk", "last_choice", "every_chunk"]


@dataclass(frozen=True)
class ToolCall:
    """A tool that the model calls."""

    name: str
    arguments: dict[str, Any]
    id: str = field(default_factory=lambda: f"call_{uuid.uuid4().hex[:12]}")


@dataclass(frozen=True)
class Reply:
    """What the model says. `pause` is the seconds between streamed chunks; token counts default to words."""

    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    pause: float = 0.0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


def reply(content: str = "", **more: Any) -> Reply:
    """A reply in words."""
    return Reply(content, **more)


def calls(name: str, **arguments: Any) -> Reply:
    """A reply that calls one tool."""
    return Reply(tool_calls=(ToolCall(name, arguments),))


Model = Callable[[dict[str, Any]], Reply]


@dataclass
class Endpoint:
    """A serving endpoint. `usage` is where the streamed usage stands, for Databricks has more than one shape."""

    name: str
    task: str = "llm/v1/chat"
    model: Model | None = None
    script: deque[Reply | ApiError] = field(default_factory=deque)
    scripted: bool = False
    forward_to: str | None = None
    usage: UsageShape = "own_chunk"
    per_minute: int | None = None
    served_at: deque[float] = field(default_factory=deque)
    requests: list[dict[str, Any]] = field(default_factory=list)
    deployment: "Deployment | None" = None


@dataclass
class Deployment:
    """What a created endpoint serves: the version that answers, and the one that is coming."""

    creator: str
    config: dict[str, Any]
    server: ModelServer | None = None
    pending: dict[str, Any] | None = None
    version: int = 0
    failure: str | None = None
    last: dict[str, Any] = field(default_factory=dict)


class Serving:
    """All endpoints."""

    def __init__(self, ws: "Workspace") -> None:
        self._ws = ws
        self._journal = ws.journal
        self._lock = threading.Lock()
        self.user_scopes: tuple[str, ...] = ("sql", "dashboards.genie", "serving.serving-endpoints", "files.files")
        self.endpoints = {MODEL: Endpoint(MODEL), EMBEDDINGS: Endpoint(EMBEDDINGS, task="llm/v1/embeddings")}

    def endpoint(self, name: str) -> Endpoint:
        """One endpoint; 404 otherwise."""
        if name not in self.endpoints:
            raise not_found(
                f"The given endpoint does not exist, please retry after checking the specified model: {name}"
            )
        return self.endpoints[name]

    def by_id(self, endpoint_id: str) -> Endpoint:
        """An endpoint by its id, which is its name here; 404 otherwise."""
        return self.endpoint(endpoint_id)

    def add(self, name: str, **settings: Any) -> Endpoint:
        """A new endpoint."""
        return self.endpoints.setdefault(name, Endpoint(name, **settings))

    def deploy(self, name: str, config: dict[str, Any], creator: str) -> Endpoint:
        """Create an endpoint, or give it another version; the old one answers until the new one does."""
        endpoint = self.add(name, task="agent/v1/responses")
        with self._lock:
            known = endpoint.deployment or Deployment(creator, {})
            endpoint.deployment = known
            if known.pending is not None:
                raise ApiError(409, "RESOURCE_CONFLICT", f"Endpoint {name} is being updated.")
            known.pending, known.last, known.failure = config, config, None
        threading.Thread(target=self._bring_up, args=(endpoint, known), name=f"deploy-{name}", daemon=True).start()
        return endpoint

    def remove(self, name: str) -> None:
        """An endpoint goes."""
        endpoint = self.endpoints.pop(self.endpoint(name).name)
        if endpoint.deployment and endpoint.deployment.server:
            endpoint.deployment.server.stop()

    def stop(self) -> None:
        """End what is served."""
        for endpoint in list(self.endpoints.values()):
            if endpoint.deployment and endpoint.deployment.server:
                endpoint.deployment.server.stop()

    def _bring_up(self, endpoint: Endpoint, deployment: Deployment) -> None:
        config = deployment.pending or {}
        try:
            fresh = ModelServer(self._ws, endpoint.name, config["served_entities"][0], deployment.creator)
        except (LoadFailed, InstallationFailed, ApiError, OSError) as error:
            deployment.failure, deployment.pending = str(error), None
            return
        old, deployment.server = deployment.server, fresh
        endpoint.forward_to = fresh.url
        deployment.config, deployment.pending = config, None
        deployment.version += 1
        self._journal.write("model_served", endpoint.name, version=config["served_entities"][0]["entity_version"])
        if old:
            old.stop()

    def script(self, *replies: "Reply | str | ApiError", endpoint: str = MODEL) -> None:
        """Queue replies; when they are used up the endpoint fails and says so."""
        chosen = self.add(endpoint)
        chosen.script.extend(Reply(item) if isinstance(item, str) else item for item in replies)
        chosen.scripted, chosen.model = True, None

    def use(self, model: Model, endpoint: str = MODEL) -> None:
        """Answer by a function: the request's JSON in, a Reply out."""
        chosen = self.add(endpoint)
        chosen.model, chosen.scripted = model, False

    def forward(self, endpoint: str, url: str) -> None:
        """Send an endpoint's requests on to a server with `/invocations`."""
        self.add(endpoint, task="agent/v1/responses").forward_to = url.rstrip("/")

    def limit(self, per_minute: int | None, endpoint: str = MODEL) -> None:
        """Answer 429 beyond so many requests a minute."""
        self.endpoint(endpoint).per_minute = per_minute

    def reset(self) -> None:
        """Forget scripts, models, limits and what was asked."""
        with self._lock:
            for name, known in list(self.endpoints.items()):
                self.endpoints[name] = Endpoint(
                    name, task=known.task, forward_to=known.forward_to, deployment=known.deployment
                )

    def take(self, name: str, request: dict[str, Any]) -> Reply:
        """The reply to a request."""
        endpoint = self.endpoint(name)
        with self._lock:
            _count(endpoint)
            endpoint.requests.append(request)
            scripted = endpoint.script.popleft() if endpoint.script else None
        self._journal.write("model_called", name, stream=bool(request.get("stream")))
        if isinstance(scripted, ApiError):
            raise scripted
        if scripted is not None:
            return scripted
        if endpoint.scripted:
            raise ApiError(400, "STAND_IN_SCRIPT_EXHAUSTED", f"the script of {name} has no reply left")
        return endpoint.model(request) if endpoint.model else _echo(request)


def _count(endpoint: Endpoint) -> None:
    if endpoint.per_minute is None:
        return
    now = time.monotonic()
    while endpoint.served_at and now - endpoint.served_at[0] > 60:
        endpoint.served_at.popleft()
    if len(endpoint.served_at) >= endpoint.per_minute:
        message = f"Exceeded workspace rate limit of {endpoint.per_minute} requests per minute for {endpoint.name}."
        raise ApiError(429, "REQUEST_LIMIT_EXCEEDED", message)
    endpoint.served_at.append(now)


def _echo(request: dict[str, Any]) -> Reply:
    said = next((item["content"] for item in reversed(request.get("messages", [])) if item["role"] == "user"), "")
    return Reply(f"The stand-in model heard: {said if isinstance(said, str) else json.dumps(said)}")
