"""The agent as a server: OpenAI's Responses and chat completions, beside what MLflow's AgentServer speaks."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, closing, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent.serving.async_iteration import Bridge, drain
from agent.serving.body import App, read_object
from agent.serving.chat import Completion, read_chat_request
from agent.serving.door import Door, Lock, open_lock
from agent.serving.downloads import describe_artifact, open_file
from agent.serving.errors import Refused, explain
from agent.serving.requests import Asked, Caller
from agent.serving.responses import PREFIX, read_response_request
from agent.serving.telling import find_thread, recall
from agent.serving.transcript import Fields
from agent.tracing.turns import flush, set_up
from graph.errors import AgentError, InvalidRequest, NotFound

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from agent.config import Settings
    from agent.principal import Principal
    from agent.serving.model import ServedAgent

log = logging.getLogger(__name__)

GRACE_SECONDS = 5
"""What requests under way get at shutdown; then they are cancelled."""

MOST_CONNECTIONS = 512
HEADER_SECONDS = 20.0
"""In which a connection has to send its first request."""

HEADERS_BY = 1.0
"""Seconds after which a stream begins though its turn waits: until then a refusal is an HTTP status."""

ANY = ("GET", "POST", "PUT", "PATCH", "DELETE")

TRACE_HEADER = "x-mlflow-return-trace-id"
"""By which MLflow's chat page asks for the id that it sends its feedback about."""

KEPT = ("/health", "/agent/info")
"""Of AgentServer's routes; its pages about itself load scripts from elsewhere."""


def serve(
    settings: Settings,
    announce: Callable[[str], None] = lambda url: None,
    patience: float = HEADER_SECONDS,
    **given: Any,
) -> None:
    """Serve until SIGINT or SIGTERM. `announce` is called with the URL once connections are taken.

    Raises AgentError when the address can't be used, or would be open to anybody. Port 0 takes a free one.
    A connection has `patience` seconds to send its first request. `given` goes to `open_agent`.
    """
    import uvicorn

    from agent.serving.model import ServedAgent

    with closing(ServedAgent(settings, **given)) as agent:
        lock = open_lock(settings.serve, agent.given["secrets"])
        trace(settings)
        with listening(settings.serve.host, settings.serve.port) as listener:
            agent.open()
            config = uvicorn.Config(
                build_app(agent, lock),
                http=patient(patience),
                ws="none",
                log_config=None,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=MOST_CONNECTIONS,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
            with ends_by_signal():
                announce(url_of(listener))
                uvicorn.Server(config).run(sockets=[listener])
            drain(GRACE_SECONDS)
    flush()


def trace(settings: Settings) -> None:
    """MLflow traces by itself, unless tracing is off in the whole process."""
    import mlflow

    if not settings.tracing.enabled or not set_up(settings):
        mlflow.tracing.disable()


def build_app(served: ServedAgent, lock: Lock) -> App:
    """Our routes within MLflow's AgentServer, which brings its health check, its description and its chat proxy."""
    from mlflow.genai.agent_server import AgentServer
    from starlette.exceptions import HTTPException

    port = served.settings.serve.chat_app_port
    server = AgentServer("ResponsesAgent", enable_chat_proxy=port is not None)
    server.chat_app_port = str(port)
    routes: list[Any] = server.app.router.routes
    own = Routes(served).all(proxied=port is not None)
    routes[:] = [*own, *(route for route in routes if getattr(route, "path", "") in KEPT)]
    for kind in (Refused, InvalidRequest, HTTPException, Exception):
        server.app.add_exception_handler(kind, explain)
    return Door(server.app, lock)


class Routes:
    """What can be asked of one served agent."""

    def __init__(self, served: ServedAgent) -> None:
        self.served = served

    def all(self, proxied: bool) -> list[BaseRoute]:
        """With a proxy for what is unknown, what is unknown below /v1 is still ours to refuse."""
        from starlette.routing import Route

        both = [
            ("/responses", "POST", self.respond),
            ("/responses/{response}", "GET", self.recall),
            ("/responses/{response}/cancel", "POST", self.cancel),
            ("/chat/completions", "POST", self.complete),
            ("/models", "GET", self.models),
            ("/models/{model}", "GET", self.model),
            ("/artifacts/{artifact}", "GET", self.artifact),
            ("/artifacts/{artifact}/files/{file:path}", "GET", self.download),
        ]
        routes = [(f"{prefix}{path}", method, call) for prefix in ("/v1", "") for path, method, call in both]
        routes += [("/invocations", "POST", self.respond), ("/ping", "GET", self.ping)]
        known: list[BaseRoute] = [Route(path, call, methods=[method]) for path, method, call in routes]
        return [*known, Route("/v1/{path:path}", self.refuse, methods=ANY)] if proxied else known

    async def respond(self, request: Request) -> Response:
        asked = read_response_request(await read_object(request), self._caller(request))
        wants_trace = request.headers.get(TRACE_HEADER, "").lower() == "true"
        events = self._tell(replace(asked, wants_trace=wants_trace))
        if asked.stream:
            return await stream(events, lambda event: [event])
        async with aclosing(events):
            seen = [event async for event in events]
        return answer(seen[-1]["response"])

    async def complete(self, request: Request) -> Response:
        asked = read_chat_request(await read_object(request), self._caller(request))
        events, completion = self._tell(asked), Completion(asked)
        if asked.stream:
            return await stream(events, completion.chunks)
        async with aclosing(events):
            seen = [event async for event in events]
        return answer(completion.whole(seen))

    async def recall(self, request: Request) -> Response:
        asked, principal = request_of(request), principal_of(request)
        return answer(await asyncio.to_thread(recall, self.served.open(), principal, asked))

    async def cancel(self, request: Request) -> Response:
        asked, principal = request_of(request), principal_of(request)
        return answer(await asyncio.to_thread(self._cancel, principal, asked))

    def _cancel(self, principal: Principal, request_id: str) -> dict[str, Any]:
        agent = self.served.open()
        agent.cancel(find_thread(agent, principal, request_id), principal, request_id)
        return recall(agent, principal, request_id)

    async def artifact(self, request: Request) -> Response:
        artifact = request.path_params["artifact"]
        return answer(await asyncio.to_thread(describe_artifact, self.served.open(), principal_of(request), artifact))

    async def download(self, request: Request) -> Response:
        artifact, file = request.path_params["artifact"], request.path_params["file"]
        return await asyncio.to_thread(open_file, self.served.open(), principal_of(request), artifact, file)

    async def models(self, request: Request) -> Response:
        return answer({"object": "list", "data": [self._model()]})

    async def model(self, request: Request) -> Response:
        if request.path_params["model"] != self._model()["id"]:
            raise NotFound(f"There is no model {request.path_params['model']}.")
        return answer(self._model())

    async def refuse(self, request: Request) -> Response:
        raise NotFound(f"There is no {request.method} {request.url.path} here.")

    async def ping(self, request: Request) -> Response:
        return answer({"status": "healthy"})

    def _model(self) -> dict[str, Any]:
        name = self.served.settings.app_name
        return {"id": name, "object": "model", "created": STARTED, "owned_by": name}

    def _caller(self, request: Request) -> Caller:
        return Caller(principal_of(request), self.served.settings.serve.allow_app_state)

    async def _tell(self, asked: Asked) -> AsyncGenerator[Fields, None]:
        """The turn's events, worked out in a thread of their own. Closing it cancels the turn."""
        cancelled = threading.Event()
        async with aclosing(Bridge(self.served.tell(asked, cancelled), cancelled.set).read()) as events:
            async for event in events:
                yield event


STARTED = int(time.time())


def principal_of(request: Request) -> Principal:
    principal: Principal = request.state.principal
    return principal


def request_of(request: Request) -> str:
    response: str = request.path_params["response"]
    return response.removeprefix(PREFIX)


def answer(content: Mapping[str, Any]) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse(dict(content))


async def stream(
    events: AsyncGenerator[Fields, None], tell: Callable[[Fields], Iterator[Fields] | list[Fields]]
) -> Response:
    """Server-sent events. A turn that is refused at once is refused as a request."""
    from starlette.responses import StreamingResponse

    first = asyncio.ensure_future(anext(events))
    await asyncio.wait({first}, timeout=HEADERS_BY)
    if first.done():
        first.result()

    async def lines() -> AsyncIterator[str]:
        async with aclosing(events):
            try:
                for told in tell(await first):
                    yield line(told)
                async for event in events:
                    for told in tell(event):
                        yield line(told)
            except Refused as refused:
                yield line({"type": "error", **refused.body()})
            except Exception as error:
                log.exception("a stream broke")
                yield line({"type": "error", **Refused(500, f"{type(error).__name__}: {error}").body()})
        yield "data: [DONE]\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"cache-control": "no-store"})


def line(told: Fields) -> str:
    return f"data: {json.dumps(told)}\n\n"


def patient(seconds: float) -> Any:
    """HTTP/1.1 over connections that have to send a request's headers within so many seconds."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Patient(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.loop.call_later(seconds, self.give_up)

        def give_up(self) -> None:
            if self.cycle is None and not self.transport.is_closing():
                self.transport.close()

    return Patient


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        listener = socket.create_server((host, port), family=family_of(host), backlog=MOST_CONNECTIONS)
    except OSError as error:
        reason = error.strerror or str(error)
        raise AgentError(f"can't listen on {host}:{port}: {reason}; set serve.host and serve.port") from error
    with listener:
        yield listener


def family_of(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def ends_by_signal() -> Iterator[None]:
    """Uvicorn repeats the signal that ended it; as a KeyboardInterrupt it lets everything else be closed in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)
