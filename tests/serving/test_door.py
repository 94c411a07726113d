"""Who gets in, and as whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from starlette.datastructures import Headers

from agent.config import ServeSettings
from agent.principal import LOCAL
from agent.serving.door import BEARER, Lock, open_lock
from agent.serving.errors import Refused
from graph.errors import InvalidRequest

TOKEN = "a-token-of-some-length"
SECRETS = {"SERVE_TOKEN": TOKEN, "SHORT": "short"}

ON_LOOPBACK: dict[str, Any] = {}
WITH_TOKEN = {"host": "0.0.0.0", "hosts": ["agent.example.com", "*.apps.example.com"], "token_env": "SERVE_TOKEN"}
BEHIND_A_PROXY = {
    "host": "10.1.2.3",
    "hosts": ["agent.example.com"],
    "user_header": "X-Forwarded-Email",
    "trusted_proxies": ["10.0.0.7", "fd00::/8"],
}
LOCALLY_BEHIND_A_PROXY = {"user_header": "X-User", "trusted_proxies": ["127.0.0.1"]}
EITHER = BEHIND_A_PROXY | {"token_env": "SERVE_TOKEN"}


def lock(settings: Mapping[str, Any]) -> Lock:
    return open_lock(ServeSettings.model_validate(settings), SECRETS.get)


def headers(*pairs: tuple[str, str], host: str = "agent.example.com") -> Headers:
    return Headers(raw=[(name.lower().encode(), value.encode()) for name, value in (("host", host), *pairs)])


def bearer(token: str = TOKEN) -> tuple[str, str]:
    return "Authorization", f"Bearer {token}"


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "[::1]", "LOCALHOST:1"],
)
def test_on_this_machine_it_goes_by_this_machines_names(host: str) -> None:
    assert lock(ON_LOOPBACK).admit(headers(host=host), "127.0.0.1").name == LOCAL


@pytest.mark.parametrize(
    "host",
    [
        "evil.example.com",
        "localhost.evil.example.com",
        "127.0.0.1.evil.example.com",
        "evil.example.com:8000",
        "localhost@evil.example.com",
        "evil.example.com#localhost",
        "localhost, evil.example.com",
        "",
        " localhost",
        "localhost:",
        "0.0.0.0",
        "[::2]",
    ],
)
def test_a_name_that_was_bound_to_this_machine_by_somebody_else_is_refused(host: str) -> None:
    with pytest.raises(Refused) as refused:
        lock(ON_LOOPBACK).admit(headers(host=host), "127.0.0.1")
    assert refused.value.status == 421


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, None),
        ("http://localhost:8000", None),
        ("https://localhost:8000", None),
        ("http://localhost:3000", 403),
        ("http://localhost", 403),
        ("https://evil.example.com", 403),
        ("https://localhost:8000.evil.example.com", 403),
        ("null", 403),
        ("", 403),
        ("localhost:8000", 403),
        ("file://", 403),
    ],
)
def test_only_pages_of_this_server_may_ask(origin: str | None, status: int | None) -> None:
    sent = headers(*([("Origin", origin)] if origin is not None else []), host="localhost:8000")
    if status is None:
        lock(ON_LOOPBACK).admit(sent, "127.0.0.1")
        return
    with pytest.raises(Refused) as refused:
        lock(ON_LOOPBACK).admit(sent, "127.0.0.1")
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("settings", "sent", "peer", "who"),
    [
        (WITH_TOKEN, headers(bearer()), "203.0.113.9", BEARER),
        (WITH_TOKEN, headers(bearer(), host="one.apps.example.com"), "203.0.113.9", BEARER),
        (WITH_TOKEN, headers(("Authorization", f"bearer  {TOKEN}")), "203.0.113.9", BEARER),
        (WITH_TOKEN, headers(), "203.0.113.9", 401),
        (WITH_TOKEN, headers(bearer("another-token-of-some-length")), "203.0.113.9", 401),
        (WITH_TOKEN, headers(bearer(TOKEN[:-1])), "203.0.113.9", 401),
        (WITH_TOKEN, headers(bearer("ä")), "203.0.113.9", 401),
        (WITH_TOKEN, headers(("Authorization", TOKEN)), "203.0.113.9", 401),
        (WITH_TOKEN, headers(bearer(), host="apps.example.com"), "203.0.113.9", 421),
        (WITH_TOKEN, headers(("X-Forwarded-Email", "ada@x")), "127.0.0.1", 401),
        ({"token_env": "SERVE_TOKEN"}, headers(bearer(), host="localhost"), "127.0.0.1", LOCAL),
        ({"token_env": "SERVE_TOKEN"}, headers(host="localhost"), "127.0.0.1", 401),
        (BEHIND_A_PROXY, headers(("x-forwarded-email", "ada@x")), "10.0.0.7", "ada@x"),
        (BEHIND_A_PROXY, headers(("X-Forwarded-Email", "ada@x")), "fd00::1", "ada@x"),
        (BEHIND_A_PROXY, headers(("X-Forwarded-Email", "ada@x"), host="10.1.2.3:8000"), "10.0.0.7", "ada@x"),
        (BEHIND_A_PROXY, headers(("X-Forwarded-Email", "ada@x")), "10.0.0.8", 403),
        (BEHIND_A_PROXY, headers(("X-Forwarded-Email", "ada@x")), None, 403),
        (BEHIND_A_PROXY, headers(("X-Forwarded-Email", "ada@x")), "not an address", 403),
        (BEHIND_A_PROXY, headers(), "10.0.0.7", 403),
        (BEHIND_A_PROXY, headers(("X-Forwarded-Email", "")), "10.0.0.7", 403),
        (BEHIND_A_PROXY, headers(("X-Forwarded-Email", LOCAL)), "10.0.0.7", 403),
        (BEHIND_A_PROXY, headers(("X-Forwarded-Email", BEARER)), "10.0.0.7", 403),
        (BEHIND_A_PROXY, headers(("X-Forwarded-Email", "a" * 201)), "10.0.0.7", 403),
        (BEHIND_A_PROXY, headers(("X-Forwarded-Email", "ada@x"), ("X-Forwarded-Email", "bob@x")), "10.0.0.7", 403),
        (BEHIND_A_PROXY, headers(("X-Forwarded-For", "10.0.0.7"), ("X-Forwarded-Email", "a")), "10.0.0.8", 403),
        (LOCALLY_BEHIND_A_PROXY, headers(("X-User", "ada"), host="localhost"), "127.0.0.1", "ada"),
        (LOCALLY_BEHIND_A_PROXY, headers(host="localhost"), "127.0.0.1", 403),
        (EITHER, headers(("X-Forwarded-Email", "ada@x")), "10.0.0.7", "ada@x"),
        (EITHER, headers(bearer(), ("X-Forwarded-Email", "ada@x")), "10.0.0.8", BEARER),
        (EITHER, headers(("X-Forwarded-Email", "ada@x")), "10.0.0.8", 401),
    ],
)
def test_who_asks_is_who_has_the_token_or_whom_a_trusted_proxy_names(
    settings: dict[str, Any], sent: Headers, peer: str | None, who: str | int
) -> None:
    if isinstance(who, str):
        assert lock(settings).admit(sent, peer).name == who
        return
    with pytest.raises(Refused) as refused:
        lock(settings).admit(sent, peer)
    assert refused.value.status == who
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({"host": "0.0.0.0"}, "serve.token_env"),
        ({"host": "192.168.1.5", "hosts": ["agent.example.com"]}, "serve.token_env"),
        ({"host": "::"}, "serve.token_env"),
        ({"host": "agent.example.com"}, "serve.token_env"),
        ({"host": "0.0.0.0", "token_env": "SERVE_TOKEN"}, "serve.hosts"),
        ({"host": "0.0.0.0", "hosts": ["a"], "token_env": "MISSING"}, "MISSING"),
        ({"token_env": "SHORT"}, "at least 16"),
        ({"host": "0.0.0.0", "hosts": ["a"], "user_header": "X-User"}, "serve.trusted_proxies"),
        ({"trusted_proxies": ["10.0.0.1"]}, "serve.user_header"),
        ({"user_header": "X-User", "trusted_proxies": ["my-proxy"]}, "my-proxy"),
        ({"hosts": ["*"]}, "serve.hosts"),
        ({"hosts": ["http://agent.example.com"]}, "serve.hosts"),
    ],
)
def test_a_door_that_anybody_could_walk_through_is_not_opened(settings: dict[str, Any], needed: str) -> None:
    with pytest.raises(InvalidRequest, match=needed):
        lock(settings)


def test_a_lock_does_not_show_its_token() -> None:
    assert TOKEN not in repr(lock(WITH_TOKEN))
