"""What comes in over HTTP is a JSON object of bearable size, or it is refused before anybody reads on."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

MOST_BYTES = 4 * 1024 * 1024
"""Model Serving's limit of a request."""


class Bodies:
    """An ASGI application in front of another one."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        body = await whole(receive)
        if body is None:
            await refuse(send, 413, f"the request is larger than {MOST_BYTES:,} bytes: hand data over as data")
        elif complaint := faulty(body):
            await refuse(send, 400, complaint)
        else:
            await self.app(scope, again(body, receive), send)


async def whole(receive: Receive) -> bytes | None:
    """The body; None when it is too long. What is left of it is not read."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MOST_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def faulty(body: bytes) -> str | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return "the request has to be JSON"
    return None if isinstance(value, dict) else 'the request has to be a JSON object, such as {"input": "a question"}'


def again(body: bytes, receive: Receive) -> Receive:
    """Gives the body once, then whatever comes after it: that the client has left."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def refusal(status: int, message: str) -> dict[str, Any]:
    """The body of a refused request, as OpenAI's API gives it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


async def refuse(send: Send, status: int, message: str) -> None:
    body = json.dumps(refusal(status, message)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
