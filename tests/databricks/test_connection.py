"""Signing in: what is missing or wrong is one line that names what to set, before any client waits for a dead host."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from agent.config import load_settings
from agent.core import Request, open_agent
from agent.models.scripted import ScriptedModel, delegates, says
from agent.principal import Principal
from agent.workspace.connection import find_host, open_client
from agent.workspace.files import check_volume
from graph.errors import InvalidRequest
from tests.workspace import faults
from tests.workspace.fixtures import Place, Target
from tests.workspace.workspace import Workspace


def test_a_workspace_signs_in(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ws.env.items():
        monkeypatch.setenv(name, value)
    assert open_client().current_user.me().user_name == ws.user


def test_without_credentials_it_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="set DATABRICKS_HOST with DATABRICKS_TOKEN"):
        open_client(environment={"DATABRICKS_CONFIG_FILE": str(tmp_path / "none")})


def test_a_host_where_nobody_listens_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(InvalidRequest, match=f"{host}.*check DATABRICKS_HOST"):
            open_client(environment={"DATABRICKS_HOST": host})


def test_a_host_that_never_answers_is_given_up_soon(ws: Workspace) -> None:
    ws.faults.on("/.well-known/databricks-config", faults.hang(30), times=3)
    with pytest.raises(InvalidRequest, match="check DATABRICKS_HOST"):
        open_client(environment={"DATABRICKS_HOST": ws.url})


@pytest.mark.parametrize(
    "given", [{"DATABRICKS_TOKEN": "dapi-wrong"}, {"DATABRICKS_CLIENT_ID": "no", "DATABRICKS_CLIENT_SECRET": "no"}]
)
def test_wrong_credentials_are_named(ws: Workspace, monkeypatch: pytest.MonkeyPatch, given: dict[str, str]) -> None:
    for name, value in ws.env.items():
        monkeypatch.setenv(name, value)
    for name in ("DATABRICKS_TOKEN", "DATABRICKS_AUTH_TYPE"):
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidRequest, match="check the credentials"):
        open_client()


def test_profiles_name_the_host(tmp_path: Path) -> None:
    file = tmp_path / "databrickscfg"
    file.write_text("[DEFAULT]\nhost = https://one.example\n[two]\nhost = two.example/\n")
    environment = {"DATABRICKS_CONFIG_FILE": str(file)}
    assert find_host(None, environment) == "https://one.example"
    assert find_host("two", environment) == "https://two.example"
    with pytest.raises(InvalidRequest, match=r"no profile three.*databricks\.profile"):
        find_host("three", environment)


@pytest.mark.parametrize("path", [None, "", "/tmp/x", "/Volumes/main/default", "/Volumes/a/b/c/../d"])
def test_what_is_no_volume_is_refused(path: str | None) -> None:
    with pytest.raises(InvalidRequest, match=r"databricks\.volume"):
        check_volume(path)


def test_the_mode_follows_from_credentials_and_a_volume_and_says_so() -> None:
    volume = {"databricks": {"volume": "/Volumes/main/agent/files"}}
    found = load_settings(volume, {"DATABRICKS_HOST": "https://one.example"}, {})
    assert (found.settings.mode, found.settings.execution.backend) == ("databricks", "databricks_job")
    assert found.provenance["mode"] == "DATABRICKS_HOST and databricks.volume are set"
    assert load_settings(volume, {}, {}).settings.mode == "local"
    assert load_settings({}, {"DATABRICKS_HOST": "https://one.example"}, {}).settings.mode == "local"
    assert load_settings({"mode": "local", **volume}, {"DATABRICKS_HOST": "x"}, {}).settings.mode == "local"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "databricks.volume"),
        ({"databricks": {"volume": "/Volumes/main/default/files"}}, "execution.job_id"),
        ({"databricks": {"volume": "/Volumes/main/default/files"}, "execution": {"job_id": "x"}}, "execution.job_id"),
    ],
)
def test_what_a_mode_lacks_is_named(
    ws: Workspace, target: object, tmp_path: Path, given: dict[str, object], told: str
) -> None:
    settings = load_settings({"mode": "databricks", "home": str(tmp_path), **given}, {}, {}).settings
    from databricks.sdk import WorkspaceClient

    with pytest.raises(InvalidRequest, match=told):
        open_agent(settings, workspace=lambda: WorkspaceClient(host=ws.url, token=ws.token))


def test_on_behalf_of_a_user_a_job_of_its_own_identity_is_off_and_the_answer_says_so(
    ws: Workspace, target: Target, place: Place, tmp_path: Path
) -> None:
    given = {
        "mode": "databricks",
        "home": str(tmp_path),
        "databricks": {"volume": place.volume},
        "execution": {"job_id": "123"},
        "tracing": {"enabled": "false"},
    }
    model = ScriptedModel(delegates("print(1)", instruction="Say."), lambda messages: says(messages[-1].text))
    settings = load_settings(given, {}, {}).settings
    with open_agent(settings, base_model=model, workspace=target.client) as agent:
        user = Principal("jo@example.com", workspace=target.client)
        told = agent.ask(Request("Run it.", thread_id="t", principal=user)).response_text
    assert "can't be run on behalf of jo@example.com" in told
    assert "execution.notebook" in told


def test_the_job_backend_goes_with_its_mode(tmp_path: Path) -> None:
    settings = load_settings({"home": str(tmp_path), "execution": {"backend": "databricks_job"}}, {}, {}).settings
    with pytest.raises(InvalidRequest, match="mode databricks"):
        open_agent(settings)
