"""What web pages, strangers and careless clients send to a server."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from openai import AuthenticationError, NotFoundError, OpenAI

from agent.serving.body import MOST_BYTES
from tests.serving.processes import scripted_server

pytestmark = pytest.mark.slow

TOKEN = "a-token-of-some-length"
QUESTION = json.dumps({"input": "Hello"})
JSON = "Content-Type: application/json"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with scripted_server(tmp_path_factory.mktemp("attacked")) as (url, _):
        yield url


def send(url: str, *lines: str, body: str | bytes = b"", host: str | None = None) -> tuple[int, str]:
    """One request by hand: its status, and what it was answered."""
    place = urlsplit(url)
    content = body.encode() if isinstance(body, str) else body
    head = [lines[0], f"Host: {host or place.netloc}", *lines[1:], f"Content-Length: {len(content)}"]
    with socket.create_connection((place.hostname, place.port), timeout=30) as connection:
        connection.sendall("\r\n".join([*head, "Connection: close", "", ""]).encode() + content)
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    return int(answer.split(" ", 2)[1]), answer.partition("\r\n\r\n")[2]


POST = "POST /v1/responses HTTP/1.1"


def test_a_question_is_answered(url: str) -> None:
    assert send(url, POST, JSON, body=QUESTION)[0] == 200
    assert send(url, POST, "Content-Type: Application/JSON; charset=utf-8", body=QUESTION)[0] == 200
    assert send(url, POST, JSON, f"Origin: {url}", body=QUESTION)[0] == 200


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("Content-Type: application/x-www-form-urlencoded", "input=Hello"),
        ("Content-Type: text/plain", QUESTION),
        ("Content-Type: text/plain; application/json", QUESTION),
        ("Content-Type: multipart/form-data; boundary=x", QUESTION),
        ("Content-Type: application/jsonp", QUESTION),
        ("X-Nothing: said", QUESTION),
    ],
)
@pytest.mark.parametrize("path", ["/responses", "/v1/responses", "/invocations", "/v1/chat/completions"])
def test_a_form_of_a_web_page_asks_nothing(url: str, path: str, kind: str, body: str) -> None:
    status, answer = send(url, f"POST {path} HTTP/1.1", kind, body=body)

    assert status == 415
    assert "application/json" in json.loads(answer)["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/models", "/agent/info", "/nothing"])
@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("evil.example.com", None, 421),
        ("evil.example.com", "http://evil.example.com", 421),
        (None, "http://evil.example.com", 403),
        (None, "null", 403),
        (None, "http://localhost:3000", 403),
    ],
)
def test_a_foreign_page_asks_nothing_by_any_name(
    url: str, path: str, host: str | None, origin: str | None, status: int
) -> None:
    headers = [f"Origin: {origin}"] if origin else []

    assert send(url, f"POST {path} HTTP/1.1", JSON, *headers, body=QUESTION, host=host)[0] == status
    assert send(url, f"OPTIONS {path} HTTP/1.1", *headers, host=host)[0] == status


def test_no_page_is_told_that_it_may_read_an_answer(url: str) -> None:
    answer = httpx.options(f"{url}/v1/responses", headers={"access-control-request-method": "POST"})

    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"text"',
        b"[" * 200_000,
        b'{"input": ' + b"[" * 100_000,
        b'{"input": "\\ud800"}',
        b'{"\\ud800": 1, "input": "x"}',
        b"\xff\xfe",
        b'{"input": "\xff"}',
        b"",
    ],
)
def test_what_is_no_json_is_refused(url: str, body: bytes) -> None:
    status, answer = send(url, POST, JSON, body=body)

    assert status == 400
    assert "JSON" in json.loads(answer)["error"]["message"]


def test_a_body_that_is_too_long_is_not_read_to_its_end(url: str) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(MOST_BYTES // 65536 + 20):
            yield b" " * 65536

    headers = {"content-type": "application/json"}
    assert httpx.post(f"{url}/v1/responses", content=b" " * (MOST_BYTES + 1), headers=headers).status_code == 413
    assert httpx.post(f"{url}/v1/responses", content=endless(), headers=headers).status_code == 413


def test_a_zipped_body_is_not_unpacked(url: str) -> None:
    assert send(url, POST, JSON, "Content-Encoding: gzip", body=b"\x1f\x8b")[0] == 415


def test_connections_that_say_nothing_are_closed_and_keep_nobody_out(tmp_path: Path) -> None:
    with scripted_server(tmp_path, variables={"HEADER_SECONDS": "1"}) as (url, _):
        place = urlsplit(url)
        silent = [socket.create_connection((place.hostname, place.port), timeout=20) for _ in range(50)]
        for number, connection in enumerate(silent):
            connection.sendall(b"POST /v1/responses HTTP/1.1\r\nHost: loc"[: number % 40])
        assert send(url, POST, JSON, body=QUESTION)[0] == 200
        began = time.monotonic()
        assert all(connection.recv(1) == b"" for connection in silent)
        assert time.monotonic() - began < 20
        for connection in silent:
            connection.close()


def test_others_reach_it_only_with_its_token(tmp_path: Path) -> None:
    serve = {"host": "0.0.0.0", "port": 0, "hosts": ["127.0.0.1"], "token_env": "SERVE_TOKEN"}
    with scripted_server(tmp_path, variables={"SERVE_TOKEN": TOKEN}, serve=serve) as (address, _):
        url = address.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{url}/health").status_code == 200
        assert httpx.get(f"{url}/v1/models").status_code == 401
        with OpenAI(base_url=f"{url}/v1", api_key="a-wrong-token-of-some-length", max_retries=0) as stranger:
            with pytest.raises(AuthenticationError):
                stranger.responses.create(model="x", input="Hello")
        with OpenAI(base_url=f"{url}/v1", api_key=TOKEN) as client:
            assert client.responses.create(model="x", input="Hello").output_text == "Message 1: Hello"
    assert TOKEN not in (tmp_path / "server.log").read_text()


def test_users_behind_a_proxy_have_threads_of_their_own(tmp_path: Path) -> None:
    serve = {"port": 0, "user_header": "X-Forwarded-Email", "trusted_proxies": ["127.0.0.1"]}
    with scripted_server(tmp_path, serve=serve) as (url, _):

        def client_of(name: str) -> OpenAI:
            return OpenAI(
                base_url=f"{url}/v1", api_key="none", max_retries=0, default_headers={"X-Forwarded-Email": name}
            )

        with client_of("ada@x") as ada, client_of("bob@x") as bob:
            code = "run: print('private')"
            thread = {"custom_inputs": {"thread_id": "t", "request_id": "ask-1"}, "context": {"user_id": "ada@x"}}
            first = ada.responses.create(model="x", input=code, extra_body=thread)
            artifact = first.custom_outputs["artifact_ids"][0]

            with pytest.raises(NotFoundError):
                bob.responses.create(model="x", input="And?", extra_body=thread)
            with pytest.raises(NotFoundError):
                bob.responses.create(model="x", input="And?", extra_body=thread, stream=True)
            with pytest.raises(NotFoundError):
                bob.responses.retrieve(first.id)
            with pytest.raises(NotFoundError):
                bob.responses.cancel(first.id)
            with pytest.raises(NotFoundError):
                bob.get(f"/artifacts/{artifact}", cast_to=object)
            with pytest.raises(NotFoundError):
                bob.get(f"/artifacts/{artifact}/files/stdout.txt", cast_to=object)
            said = [{"role": "user", "content": code}, {"role": "assistant", "content": first.output_text}]
            other = bob.chat.completions.create(model="x", messages=[*said, {"role": "user", "content": "told?: "}])
            mine = ada.chat.completions.create(model="x", messages=[*said, {"role": "user", "content": "told?: "}])

        assert "success, iteration 1" in (mine.choices[0].message.content or "")
        assert "success, iteration 1" not in (other.choices[0].message.content or "").rpartition("It said")[0]
        assert httpx.get(f"{url}/v1/responses/{first.id}").status_code == 403


def test_app_state_is_set_only_where_the_settings_say_so(url: str, tmp_path: Path) -> None:
    body = {"input": "Hello", "custom_inputs": {"state": {"app:motd": "hacked"}}}

    refused = httpx.post(f"{url}/v1/responses", json=body)
    with scripted_server(tmp_path, serve={"port": 0, "allow_app_state": True}) as (open_url, _):
        allowed = httpx.post(f"{open_url}/v1/responses", json=body)

    assert refused.status_code == 400
    assert "serve.allow_app_state" in refused.json()["error"]["message"]
    assert allowed.status_code == 200
