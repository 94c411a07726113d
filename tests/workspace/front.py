"""The front of the server: each request passes here, is given its fault, and is remembered as an exchange."""

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from uvicorn.protocols.http.h11_impl import H11Protocol

from tests.workspace.faults import Fault, Faults

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

KEPT_BODY = 1_000_000


@dataclass(frozen=True)
class Exchange:
    """A request and the answer the workspace gave to it (before a fault spoiled it). JSON bodies only, else None."""

    method: str
    path: str
    query: dict[str, list[str]]
    request: Any
    status: int
    response: Any
    fault: str | None = None
    route: str | None = None


@dataclass
class Answer:
    """A response, held back until it is known whether it may go out."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""

    @property
    def is_json(self) -> bool:
        """Whether the body is JSON."""
        return any(name == b"content-type" and value.startswith(b"application/json") for name, value in self.headers)

    async def send(self, send: Send) -> None:
        """Let it go."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


class Connections:
    """The open connections by the client's address, so that one can be cut."""

    def __init__(self) -> None:
        self._transports: dict[tuple[str, int], asyncio.Transport] = {}

    def protocol(self) -> type[H11Protocol]:
        """uvicorn's protocol, which tells us of its connections."""
        transports = self._transports

        class Known(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                transports[transport.get_extra_info("peername")[:2]] = transport
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                transports.pop(self.transport.get_extra_info("peername")[:2], None)
                super().connection_lost(exc)

        return Known

    def reset(self, client: tuple[str, int]) -> None:
        """Cut it with a RST: SO_LINGER with no time to linger."""
        transport = self._transports.get((client[0], client[1]))
        if transport is None:
            return
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


class Front:
    """ASGI middleware around the whole application."""

    def __init__(self, app: App, faults: Faults, connections: Connections, seen: Callable[[Exchange], None]) -> None:
        self._app = app
        self._faults = faults
        self._connections = connections
        self._seen = seen
        self._last: dict[tuple[str, bytes], Answer] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        fault = self._faults.take(scope["method"], scope["path"])
        if fault and not fault.after:
            spoiled = await self._spoil(fault, scope, None, send)
            self._remember(scope, body, spoiled, fault)
            return
        if fault is None:
            await self._serve(scope, body, receive, send, lambda whole: self._remember(scope, body, whole, None))
            return
        answer = await self._serve(scope, body, receive, None, lambda whole: self._remember(scope, body, whole, fault))
        await self._spoil(fault, scope, answer, send)

    async def _serve(
        self, scope: Scope, body: bytes, receive: Receive, send: Send | None, ended: Callable[[Answer], None]
    ) -> Answer:
        """Run the application. The answer is passed on as it comes, or held back when there is nowhere to send it.

        JSON of it is kept either way. `ended` is told before the last of it goes out: who has an answer finds the
        request remembered.
        """
        answer = Answer(500, [])
        unread, tellings = [body], [ended]

        async def replay() -> Message:
            return {"type": "http.request", "body": unread.pop(), "more_body": False} if unread else await receive()

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status, answer.headers = message["status"], list(message.get("headers", []))
            elif send is None or answer.is_json:
                answer.body += message.get("body", b"")
            if message["type"] == "http.response.body" and not message.get("more_body"):
                tellings.pop()(answer)
            if send is not None:
                await send(message)

        try:
            await self._app(scope, replay, watch)
        finally:
            if tellings:  # the client left early, or the application broke off
                ended(answer)
        return answer

    async def _spoil(self, fault: Fault, scope: Scope, answer: Answer | None, send: Send) -> Answer | None:
        """Do what the fault says; the answer that went out, if one did."""
        if fault.effect in ("reset", "hang"):
            if fault.effect == "hang":
                await asyncio.sleep(fault.seconds)
            self._connections.reset(scope["client"])
            return None
        if fault.effect == "truncated" and answer:
            await _send_half(answer, send)
            return None
        spoiled = self._replacement(fault, scope, answer)
        await spoiled.send(send)
        return spoiled

    def _replacement(self, fault: Fault, scope: Scope, answer: Answer | None) -> Answer:
        kind = [(b"content-type", b"application/json")]
        if fault.effect == "stale":
            return self._last.get((scope["path"], scope["query_string"])) or Answer(200, kind, b"{}")
        if fault.effect == "empty":
            return Answer(200, [*kind, (b"content-length", b"0")])
        if fault.effect == "malformed":
            return Answer(200, kind, b'{"this is": not JSON')
        if fault.xml is not None:
            return Answer(fault.status, [(b"content-type", b"application/xml")], fault.xml.encode())
        body = json.dumps({"error_code": fault.code, "message": f"fault: {fault.status} {fault.code}", "details": []})
        wait = [(b"retry-after", fault.retry_after.encode())] if fault.retry_after else []
        return Answer(fault.status, kind + wait, body.encode())

    def _remember(self, scope: Scope, body: bytes, answer: Answer | None, fault: Fault | None) -> None:
        if answer and scope["method"] == "GET" and answer.status == 200 and answer.is_json:
            self._last[(scope["path"], scope["query_string"])] = answer
        route = scope.get("route")
        self._seen(
            Exchange(
                method=scope["method"],
                path=scope["path"],
                query=parse_qs(scope["query_string"].decode(), keep_blank_values=True),
                request=_json(body),
                status=answer.status if answer else 0,
                response=_json(answer.body) if answer and answer.is_json else None,
                fault=fault.effect if fault else None,
                route=getattr(route, "path", None),
            )
        )


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"".join(parts)
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _send_half(answer: Answer, send: Send) -> None:
    """The headers promise the whole body; half of it comes, and the server closes the connection."""
    headers = [pair for pair in answer.headers if pair[0] != b"content-length"]
    length = (b"content-length", str(len(answer.body)).encode())
    await send({"type": "http.response.start", "status": answer.status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": answer.body[: len(answer.body) // 2], "more_body": True})


def _json(body: bytes) -> Any:
    if not body or len(body) > KEPT_BODY:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return None
