"""A chat server on loopback that speaks the OpenAI protocol, and fails on request."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

Answer = Callable[[dict[str, Any]], Response]
SSE = "text/event-stream"
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


class ChatServer:
    """Gives its answers in order, the last one again and again; keeps what it was asked and with which key."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.times: list[float] = []
        self.url = ""

    def will(self, *answers: Answer) -> ChatServer:
        self.answers, self.asked, self.keys, self.times = list(answers), [], [], []
        return self

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/.well-known/databricks-config")
        async def handshake() -> dict[str, str]:
            return {"oidc_endpoint": f"{self.url}/oidc", "workspace_id": "1", "cloud": "AWS"}

        async def chat(request: Request) -> Response:
            body = await request.json()
            self.asked.append(body)
            self.keys.append(request.headers.get("authorization", ""))
            self.times.append(time.monotonic())
            answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
            response = answer(body)
            if delay := getattr(answer, "seconds", 0):
                await asyncio.sleep(delay)
            return response

        app.post("/v1/chat/completions")(chat)
        app.post("/serving-endpoints/chat/completions")(chat)
        return app


@contextmanager
def serving() -> Iterator[ChatServer]:
    chat = ChatServer()
    config = uvicorn.Config(chat.app(), port=0, log_level="warning", ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    chat.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield chat
    finally:
        server.should_exit = True
        thread.join(10)


def text(words: str) -> Answer:
    """A reply, streamed word by word when it is asked for as a stream."""

    def answer(body: dict[str, Any]) -> Response:
        if not body.get("stream"):
            return whole({"role": "assistant", "content": words}, "stop")
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": f"{word} "} for word in words.split()]
        return stream(deltas, "stop", body)

    return answer


def call(name: str, arguments: str) -> Answer:
    """A tool call, its arguments streamed in two pieces."""

    def answer(body: dict[str, Any]) -> Response:
        function = {"name": name, "arguments": arguments}
        made = {"id": "call_1", "type": "function", "function": function}
        if not body.get("stream"):
            return whole({"role": "assistant", "content": None, "tool_calls": [made]}, "tool_calls")
        half = len(arguments) // 2
        first = {"index": 0, **made, "function": {"name": name, "arguments": arguments[:half]}}
        second = {"index": 0, "function": {"arguments": arguments[half:]}}
        deltas = [{"role": "assistant", "content": None, "tool_calls": [first]}, {"tool_calls": [second]}]
        return stream(deltas, "tool_calls", body)

    return answer


def status(code: int, error_code: str | None = None, headers: dict[str, str] | None = None) -> Answer:
    error = {"message": "the server says so", "type": "error", "param": None, "code": error_code}
    return lambda body: JSONResponse({"error": error}, status_code=code, headers=headers)


def filtered(body: dict[str, Any]) -> Response:
    """200, and the provider's filter withheld the text."""
    if not body.get("stream"):
        return whole({"role": "assistant", "content": ""}, "content_filter")
    return stream([{"role": "assistant", "content": ""}], "content_filter", body)


def web_page(body: dict[str, Any]) -> Response:
    return HTMLResponse("<html>Welcome to the router</html>")


def no_choices(body: dict[str, Any]) -> Response:
    return JSONResponse({"id": "x", "object": "chat.completion", "choices": None})


def slow(seconds: float, then: Answer) -> Answer:
    def answer(body: dict[str, Any]) -> Response:
        return then(body)

    answer.seconds = seconds  # type: ignore[attr-defined]
    return answer


def breaks_off(*words: str) -> Answer:
    """A stream that ends in the middle of the connection, without its closing chunk."""

    async def events() -> Any:
        for word in words:
            yield event({"content": word}, None)
        raise ConnectionResetError("the server went away")

    return lambda body: StreamingResponse(events(), media_type="text/event-stream", headers={"content-length": "99999"})


def no_end(*words: str) -> Answer:
    """A stream that is closed in good order, without a finish reason: a proxy that gave up."""
    return lambda body: StreamingResponse((event({"content": f"{word} "}, None) for word in words), media_type=SSE)


def whole(message: dict[str, Any], finish: str) -> Response:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    body = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": USAGE}
    return JSONResponse(body)


def stream(deltas: Sequence[dict[str, Any]], finish: str, body: dict[str, Any], repeat_usage: bool = False) -> Response:
    """Server-sent events; the usage comes last, and with `repeat_usage` as a running total with each chunk as well."""
    usage = USAGE if repeat_usage else None

    def events() -> Iterator[str]:
        for delta in deltas:
            yield event(delta, None, usage)
        yield event({}, finish, usage)
        if repeat_usage or (body.get("stream_options") or {}).get("include_usage"):
            yield f"data: {json.dumps({**frame(), 'choices': [], 'usage': USAGE})}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


def totals_with_each_chunk(body: dict[str, Any]) -> Response:
    return stream([{"role": "assistant", "content": "a "}, {"content": "b"}], "stop", body, repeat_usage=True)


def error_event(body: dict[str, Any]) -> Response:
    """A stream whose first event is an error, as gateways send once the status line is out."""
    line = json.dumps({"error": {"message": "overloaded", "code": "server_error"}})
    return StreamingResponse(iter([f"data: {line}\n\n"]), media_type="text/event-stream")


def event(delta: dict[str, Any], finish: str | None, usage: dict[str, int] | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {**frame(), "choices": [choice], **({"usage": usage} if usage else {})}
    return f"data: {json.dumps(body)}\n\n"


def frame() -> dict[str, Any]:
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
