"""Whose threads they are when Model Serving serves the model: by the vendor's own credentials."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from mlflow.exceptions import MlflowException

from agent.config import Settings
from agent.models.scripted import ScriptedModel
from agent.principal import LOCAL
from agent.serving.door import ENDPOINT
from agent.serving.identity import principal_of_model
from agent.serving.model import ServedAgent

USERS = {"Bearer token-of-ada": "ada@example.com", "Bearer token-of-bob": "bob@example.com"}
KEPT_UNDER = "invokers_token"
"""Where Model Serving leaves the token of the user who asks."""


class Directory(BaseHTTPRequestHandler):
    """Says whose a token is."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        user = USERS.get(self.headers.get("Authorization", ""))
        if self.path.endswith("/scim/v2/Me") and user:
            self.asked.append(user)
            self.answer(200, {"userName": user})
        else:
            self.answer(404, {"error_code": "NOT_FOUND", "message": "no"})

    def answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def model_serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Directory) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("IS_IN_DB_MODEL_SERVING_ENV", "true")
        monkeypatch.setenv("DB_MODEL_SERVING_HOST_URL", f"http://127.0.0.1:{server.server_port}")
        for name in ("DATABRICKS_HOST", "DATABRICKS_TOKEN", "DATABRICKS_MODEL_SERVING_HOST_URL"):
            monkeypatch.delenv(name, raising=False)
        Directory.asked.clear()
        yield
        threading.main_thread().__dict__.pop(KEPT_UNDER, None)
        server.shutdown()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedAgent]:
    model = ScriptedModel.by(lambda messages: "ok")
    given = {"home": tmp_path / "state", "data": {"sample": False}, "tracing": {"enabled": False}}
    agent = ServedAgent(Settings.model_validate(given), base_model=model, sub_model=model)
    yield agent
    agent.close()


def comes(user: str | None) -> None:
    """The next request is this user's; None: Model Serving was not told to say whose."""
    place = threading.main_thread().__dict__
    place.pop(KEPT_UNDER, None)
    if user:
        place[KEPT_UNDER] = f"token-of-{user}"


def ask(agent: ServedAgent, thread: str) -> str:
    asked = {
        "input": [{"role": "user", "content": "Hello"}],
        "custom_inputs": {"thread_id": thread},
        "context": {"user_id": "ada@example.com"},
    }
    return str(agent.predict(asked).status)


def test_outside_of_it_the_user_is_the_one_at_this_machine() -> None:
    assert principal_of_model().name == LOCAL


@pytest.mark.usefixtures("model_serving")
def test_the_user_on_whose_behalf_it_runs_is_asked_for_once_a_token() -> None:
    comes("ada")
    first, second = principal_of_model(), principal_of_model()
    comes("bob")

    assert first.name == second.name == "ada@example.com"
    assert principal_of_model().name == "bob@example.com"
    assert first.workspace is not None
    assert first.workspace().current_user.me().user_name == "ada@example.com", "though it is bob's turn now"
    assert first.identity == second.identity != principal_of_model().identity
    assert Directory.asked == ["ada@example.com", "bob@example.com", "ada@example.com"]


@pytest.mark.usefixtures("model_serving")
def test_without_users_the_endpoint_is_one_principal() -> None:
    comes(None)

    assert principal_of_model().name == ENDPOINT
    assert principal_of_model().workspace is None


@pytest.mark.usefixtures("model_serving")
@pytest.mark.parametrize("other", ["bob", None], ids=["another user", "nobody"])
def test_a_thread_is_not_there_for_anybody_else_whatever_the_body_says(served: ServedAgent, other: str | None) -> None:
    comes("ada")
    assert ask(served, "t") == "completed"
    comes(other)

    with pytest.raises(MlflowException, match="no thread t") as refused:
        ask(served, "t")
    assert refused.value.get_http_status_code() == 404
    assert ask(served, "another") == "completed"
