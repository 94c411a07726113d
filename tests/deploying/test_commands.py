"""`deploy`, `status` and `destroy` as they are typed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.terminal.command_line import main
from tests.deploying.test_bundle import SAID
from tests.workspace.fixtures import Place
from tests.workspace.lakebase import ENDPOINT
from tests.workspace.serving import MODEL
from tests.workspace.workspace import Workspace

Play = Callable[..., tuple[int, str, str]]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Play:
    monkeypatch.setenv("RLM_HOME", str(tmp_path))

    def run(command: str, said: dict[str, str], *flags: str) -> tuple[int, str, str]:
        given = [part for name, value in said.items() for part in ("--var", f"{name}={value}")]
        code = main([command, *flags, *given])
        return code, *capsys.readouterr()

    return run


def test_a_dry_run_needs_no_workspace(play: Play) -> None:
    code, out, _ = play("deploy", SAID, "--dry-run")
    assert code == 0
    assert "GRANT SELECT ON SCHEMA `main`.`sales` TO `e-1`;" in out
    assert "-- What costs" in out


def test_a_dry_run_shows_what_is_not_said_yet_by_a_name_that_stands_for_it(play: Play) -> None:
    code, out, _ = play("deploy", {"catalog": "main"}, "--dry-run")
    assert code == 0
    assert "-- schemas: main.rlm_agent" in out
    assert "TO `YOUR_EXECUTOR_PRINCIPAL`;" in out


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({}, "--var NAME=VALUE for catalog"),
        ({**SAID, "schema": "a b"}, "--var schema"),
        ({**SAID, "x": "1"}, "--var x"),
    ],
)
def test_what_is_missing_or_wrong_is_one_line(play: Play, said: dict[str, str], complaint: str) -> None:
    code, _, err = play("deploy", said)
    assert (code, err.count("\n")) == (2, 1)
    assert complaint in err


def test_without_credentials_the_variables_are_named(
    play: Play, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DATABRICKS_HOST", raising=False)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    code, _, err = play("status", SAID)
    assert code == 2
    assert "DATABRICKS_HOST" in err


@pytest.mark.workspace
def test_nothing_is_there_yet(play: Play, ws: Workspace, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ws.env.items():
        monkeypatch.setenv(name, value)
    said = {
        **SAID,
        "name": place.schema.replace("_", "-"),
        "catalog": place.catalog,
        "schema": f"{place.schema}_own",
        "scratch_schema": f"{place.schema}_scratch",
        "secret_scope": place.schema,
        "llm_endpoint_name": MODEL,
        "lakebase_endpoint_name": ENDPOINT,
        "warehouse_id": ws.warehouse_id,
    }
    code, out, _ = play("status", said)
    assert code == 2
    assert out.count("MISSING") == 9, out
    assert "All is there" in play("deploy", said, "--checks-only")[1]
    assert play("deploy", said, "--skip-deploy", "--run")[::2] == (
        2,
        f"There is no job {said['name']} orchestrator: deploy first.\n",
    )
    assert "there is no such file" in play("deploy", said, "--wheel", "/nothing.whl")[2]
    assert "is not there: check --var name" in play("deploy", said, "--rollback")[2]
    assert play("destroy", said, "--yes", "--purge")[0] == 0
