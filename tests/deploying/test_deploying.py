"""The whole way with real runs: deployed by the SDK, asked through its endpoint, rolled back, destroyed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient

from agent.config import load_settings
from agent.deploying.variables import resolve
from agent.deploying.workspace import DeployFailed, Deployment
from tests.jobs.conftest import Analyst
from tests.test_workspace.runs import ended
from tests.workspace.fixtures import Place, Target
from tests.workspace.lakebase import ENDPOINT
from tests.workspace.serving import MODEL
from tests.workspace.workspace import Workspace

pytestmark = [
    pytest.mark.workspace,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture
def signed_in(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLflow's client takes no other way in than the environment."""
    import mlflow

    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    for name, value in {**ws.env, "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}.items():
        monkeypatch.setenv(name, value)
    yield
    mlflow.set_tracking_uri(before[0])
    mlflow.set_registry_uri(before[1])


@pytest.fixture
def deployment(ws: Workspace, target: Target, place: Place, signed_in: None) -> Deployment:
    """Ready to be deployed: a table to ask about, three service principals, the endpoint's secrets."""
    client = target.client()
    ws.engine.rows(f"CREATE TABLE {place.table('orders')} AS SELECT id FROM range(7)")
    names = ("executor", "serving", "ingestor")
    principals = {name: ws.principals.add_service_principal(f"{place.schema} {name}") for name in names}
    settings = load_settings({"tracing": {"enabled": False}}, {}, {}).settings
    said = {
        "name": place.schema.replace("_", "-"),
        "catalog": place.catalog,
        "schema": f"{place.schema}_own",
        "scratch_schema": f"{place.schema}_scratch",
        "secret_scope": place.schema,
        "llm_endpoint_name": MODEL,
        "warehouse_id": ws.warehouse_id,
        "lakebase_endpoint_name": ENDPOINT,
        "data_catalog": place.catalog,
        "data_schema": place.schema,
        **{f"{name}_principal": principal.name for name, principal in principals.items()},
    }
    client.secrets.create_scope(place.schema)
    client.secrets.put_secret(place.schema, "serving-client-id", string_value=principals["serving"].name)
    client.secrets.put_secret(place.schema, "serving-client-secret", string_value=principals["serving"].secret)
    return Deployment(client, resolve(settings, said), settings, print)


def answer(deployment: Deployment, text: str, thread: str) -> Any:
    body = {"input": [{"role": "user", "content": text}], "custom_inputs": {"thread_id": thread}}
    path = f"/serving-endpoints/{deployment.values['name']}/invocations"
    return deployment.client.api_client.do("POST", path, body=body)


@pytest.mark.slow
def test_deployed_asked_rolled_back_and_destroyed(ws: Workspace, deployment: Deployment, wheel: Path) -> None:
    ws.serving.use(Analyst("result = {'rows': spark.table(f'{catalog}.{schema}.orders').count()}", []))
    assert not any(one.id for one in deployment.status() if one.kind != "secret scope")
    deployment.deploy(wheel, grant=True)
    found = deployment.status()
    assert all(one.id for one in found), found
    assert found[-1].about == "READY, version 1"

    run = ended(Target(ws, ws.warehouse_id), deployment.run("How many orders?"), 150)
    left = deployment.client.jobs.get_run_output(run.tasks[0].run_id)
    assert left.error is None, f"{left.error}\n{left.error_trace}"
    assert '"rows": 7' in json.loads(left.notebook_output.result)["response_text"]

    told = answer(deployment, "How many orders?", "served thread")
    assert told["custom_outputs"]["thread_id"] == "served thread"
    assert '"rows": 7' in json.dumps(told["output"]).replace("\\", "")

    deployment.deploy(wheel)
    assert deployment.status()[-1].about == "READY, version 2"
    deployment.rollback()
    assert deployment.status()[-1].about == "READY, version 1"

    deployment.destroy(purge=True)
    assert not any(one.id for one in deployment.status())
    deployment.destroy(purge=True)


def test_a_step_that_is_refused_names_what_to_change(deployment: Deployment, wheel: Path) -> None:
    deployment.values = {**deployment.values, "warehouse_id": "nowhere"}
    with pytest.raises(DeployFailed, match="The SQL warehouse nowhere is not there: check --var warehouse_id"):
        deployment.deploy(wheel)


def test_who_may_nothing_is_told_what_to_change(ws: Workspace, deployment: Deployment, wheel: Path) -> None:
    ws.principals.add_user("nobody@example.com")
    deployment.client = WorkspaceClient(host=ws.url, token=ws.token_for("nobody@example.com"))
    with pytest.raises(DeployFailed, match=r"may not be used by who is signed in|is not there: check"):
        deployment.deploy(wheel)
    with pytest.raises(DeployFailed, match=r"There is no job .* orchestrator: deploy first"):
        deployment.run()


def test_without_the_keys_all_but_the_endpoint_is_made(deployment: Deployment, wheel: Path) -> None:
    said: list[str] = []
    deployment.say = said.append
    deployment.client.secrets.delete_secret(deployment.values["secret_scope"], "serving-client-secret")
    deployment.deploy(wheel)
    assert any("no endpoint yet" in line and "serving-client-secret" in line for line in said)
    assert {one.kind for one in deployment.status() if not one.id} == {"endpoint"}
    assert deployment.client.secrets.get_secret(deployment.values["secret_scope"], "executor-job-id").value
    said.clear()
    deployment.deploy(wheel)
    assert not any(line.startswith("made") for line in said), "again, it only changes"
    deployment.destroy()
    assert {one.kind for one in deployment.status() if one.id} == {"schema", "Volume", "secret scope"}
    data = f"{deployment.values['data_catalog']}.{deployment.values['data_schema']}"
    deployment.values = {**deployment.values, "scratch_schema": deployment.values["data_schema"]}
    deployment.destroy(purge=True)
    assert [one.name for one in deployment.status() if one.id] == [data], "what was there before stays"
