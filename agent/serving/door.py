"""Who may come in, and as whom: by the host and origin that a request names, its token, or a proxy's header."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any

from agent.principal import LOCAL, Principal
from agent.request import check_id
from agent.serving.body import App, Receive, Scope, Send, bound
from agent.serving.errors import Refused
from graph.errors import InvalidRequest

if TYPE_CHECKING:
    from starlette.datastructures import Headers

    from agent.config import ServeSettings

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - named, to ask for more than this
HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?")
SHORTEST_TOKEN = 16

BEARER = "token"
ENDPOINT = "endpoint"
RESERVED = (LOCAL, BEARER, ENDPOINT)
"""Principals that nobody can be by name: this machine's user, who has the token, and all of a Model Serving endpoint
that knows no users.
"""

OPEN = ("/health", "/ping")
"""Whoever looks whether the server is up may ask by any name."""


@dataclass(frozen=True)
class Lock:
    hosts: tuple[str, ...]
    local: bool
    token: str | None = field(default=None, repr=False)
    user_header: str | None = None
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()

    def admit(self, headers: Headers, peer: str | None) -> Principal:
        """Who asks. Raises Refused."""
        self.check_host(headers)
        check_origin(headers)
        if (user := self.user(headers, peer)) is not None:
            return Principal(user)
        if self.token is not None:
            self.check_token(headers.get("authorization", ""))
            return Principal() if self.local else Principal(BEARER)
        if self.user_header:
            raise Refused(403, f"this server takes requests of a trusted proxy only, which says who asks ({peer})")
        return Principal()

    def check_host(self, headers: Headers) -> None:
        found = HOST.fullmatch(headers.get("host", "").lower())
        name = found["name"] if found else ""
        if not any(match_host(name, allowed) for allowed in self.hosts):
            raise Refused(421, f"this server is not called {name or 'so'}: serve.hosts lists its names")

    def check_token(self, given: str) -> None:
        scheme, _, token = given.partition(" ")
        assert self.token is not None
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self.token.encode()):
            raise Refused(401, "this server asks for its token: send it as Authorization: Bearer …")

    def trusts(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self.proxies)

    def user(self, headers: Headers, peer: str | None) -> str | None:
        """None when no trusted proxy names anybody. Raises Refused when it names nobody that one could be."""
        if self.user_header is None or peer is None or not self.trusts(peer):
            return None
        values = headers.getlist(self.user_header)
        if not values:
            return None
        try:
            name = check_id(self.user_header, values[0])
        except InvalidRequest as error:
            raise Refused(403, str(error)) from error
        if len(values) > 1 or name is None or name in RESERVED:
            raise Refused(403, f"{self.user_header} has to name one user")
        return name


class Door:
    """An ASGI application in front of another one, which finds the principal in its request's state."""

    def __init__(self, app: App, lock: Lock) -> None:
        self.app, self.lock = app, lock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.datastructures import Headers

        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            if scope["path"] not in OPEN:
                peer = scope["client"][0] if scope.get("client") else None
                scope.setdefault("state", {})["principal"] = self.lock.admit(Headers(scope=scope), peer)
        except Refused as refused:
            answer: Any = refused.response()
            await answer(scope, receive, send)
            return
        await self.app(scope, bound(receive), send)


def open_lock(serve: ServeSettings, secrets: Callable[[str], str | None]) -> Lock:
    """Raises InvalidRequest, which names what to set, for a door that anybody could walk through."""
    local = is_loopback(serve.host)
    if bool(serve.user_header) != bool(serve.trusted_proxies):
        raise InvalidRequest("serve.user_header and serve.trusted_proxies belong together: set both, or neither.")
    if not local and serve.token_env is None and serve.user_header is None:
        raise InvalidRequest(
            f"serve.host is {serve.host}, which others can reach: set serve.token_env to the name of a variable that "
            "holds a token, or serve.user_header and serve.trusted_proxies for a proxy that says who asks."
        )
    if serve.host in ANY_ADDRESS and not serve.hosts:
        raise InvalidRequest(f"serve.host is {serve.host}: set serve.hosts to the names that clients call it by.")
    own = LOOPBACK if local else () if serve.host in ANY_ADDRESS else (bracket(serve.host),)
    return Lock(
        hosts=tuple(map(read_host, (*own, *serve.hosts))),
        local=local,
        token=read_token(serve.token_env, secrets),
        user_header=serve.user_header,
        proxies=tuple(map(read_network, serve.trusted_proxies)),
    )


def read_host(text: str) -> str:
    name = text.lower()
    if HOST.fullmatch(name.removeprefix("*.")) is None or ":" in name.rpartition("]")[2]:
        raise InvalidRequest(f"serve.hosts has {text!r}: give names such as agent.example.com or *.example.com.")
    return name


def read_token(variable: str | None, secrets: Callable[[str], str | None]) -> str | None:
    if variable is None:
        return None
    token = (secrets(variable) or "").strip()
    if len(token) < SHORTEST_TOKEN:
        raise InvalidRequest(
            f"serve.token_env is {variable}: that variable has to hold at least {SHORTEST_TOKEN} characters."
        )
    return token


def read_network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise InvalidRequest(
            f"serve.trusted_proxies has {text!r}: give addresses or networks, as 10.0.0.0/8."
        ) from error


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def match_host(name: str, allowed: str) -> bool:
    """`*.example.com` allows every name below example.com."""
    return name == allowed or (allowed.startswith("*.") and name.endswith(allowed[1:]))


def check_origin(headers: Headers) -> None:
    """A web page may ask only when it came from this server: browsers say where a page is from."""
    origin = headers.get("origin")
    if origin is not None and origin.lower().partition("://")[2] != headers["host"].lower():
        raise Refused(403, "this server takes no requests from web pages of others")
