"""What comes in over HTTP is a JSON object of bearable size, decoded once, or it is refused before anybody reads on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from agent.serving.errors import Refused

if TYPE_CHECKING:
    from starlette.requests import Request

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BYTES = 4 * 1024 * 1024
"""Model Serving's limit of a request."""

PATIENCE_SECONDS = 60.0
"""In which a body has to arrive."""


async def read_object(request: Request, patience: float = PATIENCE_SECONDS) -> dict[str, Any]:
    """Raises Refused. Only what says that it is JSON is read: a form in a web page can't say so unasked."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, f"the content type has to be application/json, not {kind or 'missing'}")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Refused(415, "the body has to come without a content encoding")
    try:
        async with asyncio.timeout(patience):
            return parse(await request.body())
    except TimeoutError as error:
        raise Refused(408, f"the body did not arrive within {patience:.0f} s") from error


def parse(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Refused(400, "the request has to be JSON, in whole characters") from error
    if not isinstance(value, dict):
        raise Refused(400, 'the request has to be a JSON object, such as {"input": "a question"}')
    return value


def bounded(receive: Receive) -> Receive:
    """Raises Refused when more arrives than a request may hold; what is left of it is not read."""
    size = 0

    async def read_on() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MOST_BYTES:
            raise Refused(413, f"the request is larger than {MOST_BYTES:,} bytes: hand data over as data")
        return message

    return read_on
