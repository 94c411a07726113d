"""The agent as a server that streams: `POST /responses` and `/invocations`, as MLflow's AgentServer speaks them."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from agent.serving.async_iteration import Bridge, drain
from agent.serving.middleware import App, Bodies, refusal
from agent.serving.requests import read_request
from agent.tracing.turns import flush, set_up
from graph.errors import AgentError, InvalidRequest

if TYPE_CHECKING:
    from fastapi.responses import JSONResponse
    from mlflow.genai.agent_server.validator import ResponsesAgentValidator
    from mlflow.types.responses import ResponsesAgentRequest, ResponsesAgentResponse, ResponsesAgentStreamEvent

    from agent.agent import ServedAgent
    from agent.config import Settings

GRACE_SECONDS = 5
"""What requests under way get at shutdown; then they are cancelled."""

MOST_CONNECTIONS = 512


def serve(settings: Settings, announce: Callable[[str], None] = lambda url: None, **given: Any) -> None:
    """Serve until SIGINT or SIGTERM. `announce` is called with the URL once connections are taken.

    Raises AgentError when the address can't be used. Port 0 takes a free one. `given` goes to `open_agent`.
    """
    import uvicorn

    from agent.agent import ServedAgent

    trace(settings)
    with (
        listening(settings.serve.host, settings.serve.port) as listener,
        closing(ServedAgent(settings, **given)) as agent,
    ):
        agent.open()
        config = uvicorn.Config(
            app_of(agent),
            log_config=None,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        announce(url_of(listener))
        with ends_by_signal():
            uvicorn.Server(config).run(sockets=[listener])
        drain(GRACE_SECONDS)
    flush()


def trace(settings: Settings) -> None:
    """AgentServer traces its requests by itself, unless tracing is off in the whole process."""
    import mlflow

    if not settings.tracing.enabled or not set_up(settings):
        mlflow.tracing.disable()


def app_of(served: ServedAgent) -> App:
    """The application. MLflow keeps one pair of handlers a process, so one agent is served."""
    from fastapi import HTTPException
    from mlflow.genai.agent_server import AgentServer, invoke, stream

    @stream()
    async def streamed(request: ResponsesAgentRequest) -> AsyncGenerator[ResponsesAgentStreamEvent, None]:
        async with aclosing(events_of(served, request)) as events:
            async for event in events:
                yield event

    @invoke()
    async def invoked(request: ResponsesAgentRequest) -> ResponsesAgentResponse:
        return await response_of(served, request)

    server = AgentServer("ResponsesAgent")
    server.validator = validator()
    server.app.add_exception_handler(HTTPException, explain)
    return Bodies(server.app)


async def explain(request: Any, error: Any) -> JSONResponse:
    """MLflow's refusals in the form whose message OpenAI's clients raise."""
    from fastapi.responses import JSONResponse

    return JSONResponse(refusal(error.status_code, error.detail), status_code=error.status_code)


async def events_of(
    served: ServedAgent, request: ResponsesAgentRequest
) -> AsyncGenerator[ResponsesAgentStreamEvent, None]:
    """The turn's events, worked out in a thread of their own. Closing it cancels the turn."""
    cancelled = threading.Event()
    async with aclosing(Bridge(served.stream_until(cancelled, request), cancelled.set).read()) as events:
        async for event in events:
            yield event


async def response_of(served: ServedAgent, request: ResponsesAgentRequest) -> ResponsesAgentResponse:
    """The response that the turn's last event carries."""
    from mlflow.types.responses import ResponsesAgentResponse

    async with aclosing(events_of(served, request)) as events:
        seen = [event async for event in events]
    last: Any = seen[-1]
    return ResponsesAgentResponse(**last.response)


def validator() -> ResponsesAgentValidator:
    """MLflow's, which answers 400 to a ValueError, and what this agent asks of a request beyond it."""
    from mlflow.genai.agent_server.validator import ResponsesAgentValidator

    class Validator(ResponsesAgentValidator):
        def validate_and_convert_request(self, data: dict[str, Any]) -> Any:
            if isinstance(text := data.get("input"), str):
                data = data | {"input": [{"role": "user", "content": text}]}
            if not isinstance(data.get("input"), list):
                raise ValueError("input has to be a text or a list of messages")
            request = super().validate_and_convert_request(data)
            try:
                read_request(request)
            except InvalidRequest as error:
                raise ValueError(str(error)) from error
            return request

    return Validator()


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
