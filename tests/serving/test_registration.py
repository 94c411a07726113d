"""The agent logged as an MLflow model, loaded elsewhere and served by `mlflow models serve`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.config import GenieSettings, ModelSettings, Settings
from agent.serving.registration import ROOT, resources_of
from tests.serving.processes import free_port, running, wait_for

LOG = """
import json, sys, mlflow
from agent.config import Settings
from agent.serving.registration import log_agent
mlflow.set_tracking_uri(sys.argv[1])
experiment = mlflow.create_experiment("models", artifact_location=sys.argv[2])
mlflow.set_experiment(experiment_id=experiment)
info = log_agent(Settings.model_validate(json.loads(sys.argv[3])))
print(mlflow.artifacts.download_artifacts(info.model_uri))
"""

ASK = """
import json, sys, mlflow
model = mlflow.pyfunc.load_model(sys.argv[1])
asked = {"input": [{"role": "user", "content": "How many vendors are there?"}], "custom_inputs": {"thread_id": "t1"}}
print(json.dumps([model.predict(asked), list(model.predict_stream(asked))]))
"""


def logged(folder: Path, settings: dict[str, Any]) -> Path:
    """Log the model from an empty working folder, without any credentials, and return where it lies."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    store, artifacts = f"sqlite:///{folder / 'ml.db'}", (folder / "artifacts").as_uri()
    out = python(LOG, elsewhere, store, artifacts, json.dumps(settings), path=ROOT)
    assert list(elsewhere.iterdir()) == [], "logging wrote state of its own"
    return Path(out.splitlines()[-1])


def python(code: str, folder: Path, *arguments: str, path: Path | None = None) -> str:
    environment = {"PATH": str(Path(sys.executable).parent), "HOME": str(folder.parent)}
    if path:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return logged(tmp_path_factory.mktemp("logged"), {"tracing": {"enabled": False}, "user_id": "ada"})


def test_logging_needs_no_credentials_and_writes_no_state_even_with_models_that_cannot_be_reached(tmp_path: Path):
    settings = {
        "mode": "databricks",
        "base_model": {"name": "databricks:no-such-endpoint"},
        "checkpointer": {"kind": "lakebase"},
        "lakebase_instance_name": "nowhere",
    }

    assert (logged(tmp_path, settings) / "MLmodel").exists()


def test_the_model_holds_its_code_its_settings_and_its_locked_requirements(model: Path):
    assert {path.name for path in (model / "code").iterdir()} == {"agent", "graph", "checkpointers"}
    assert "user_id: ada" in (model / "MLmodel").read_text()
    required = (model / "requirements.txt").read_text()
    assert "langgraph==" in required
    assert "mlflow==" in required


@pytest.mark.slow
def test_the_model_answers_in_another_folder_and_process(model: Path, tmp_path: Path):
    whole, streamed = json.loads(python(ASK, tmp_path, str(model)).splitlines()[-1])

    assert whole["status"] == "completed"
    assert whole["custom_outputs"]["thread_id"] == "t1"
    assert whole["custom_outputs"]["delegation_count"] >= 1
    assert streamed[0]["type"] == "response.created"
    assert streamed[-1]["type"] == "response.completed"
    assert streamed[-1]["custom_outputs"]["thread_id"] == "t1"
    assert (tmp_path / ".rlm").is_dir()


@pytest.mark.slow
def test_mlflow_models_serve_answers_and_refuses_a_bad_request_with_400(model: Path, tmp_path: Path):
    port = free_port()
    serve = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(model), "--env-manager", "local"]
    with running([*serve, "--port", str(port)], cwd=tmp_path, log=tmp_path / "serve.log"):
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/ping", seconds=120)
        question = {"input": [{"role": "user", "content": "How many vendors are there?"}]}
        answer = httpx.post(f"{url}/invocations", json=question, timeout=120)
        refused = httpx.post(f"{url}/invocations", json={"input": [{"role": "user", "content": " "}]}, timeout=60)

    assert answer.status_code == 200, answer.text
    assert answer.json()["custom_outputs"]["status"] == "success"
    assert refused.status_code == 400
    assert "no new user message" in refused.json()["message"]
    assert "Traceback" not in refused.text


def test_the_deployed_model_may_reach_what_its_settings_name_and_nothing_else():
    settings = Settings(
        llm_endpoint_name="chat",
        base_model=ModelSettings(name="databricks:chat", fallbacks=("databricks:spare", "openai:gpt")),
        sub_model=ModelSettings(name="databricks:small"),
        genie=GenieSettings(space_id="space-1"),
        lakebase_instance_name="state",
    )

    named = {(type(resource).__name__, resource.name) for resource in resources_of(settings)}

    assert named == {
        ("DatabricksServingEndpoint", "chat"),
        ("DatabricksServingEndpoint", "spare"),
        ("DatabricksServingEndpoint", "small"),
        ("DatabricksGenieSpace", "space-1"),
        ("DatabricksLakebase", "state"),
    }
    assert resources_of(Settings()) == []
