"""What deploying needs: a model logged and registered with MLflow's own client, served by an endpoint that loads it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk.errors import NotFound, ResourceAlreadyExists
from databricks.sdk.service.serving import EndpointCoreConfigInput, ServedEntityInput

from tests.test_workspace.runs import until
from tests.workspace.fixtures import Place, Target
from tests.workspace.workspace import Workspace

pytestmark = [
    pytest.mark.workspace,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

AGENT = """
import os
import mlflow
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import ResponsesAgentRequest, ResponsesAgentResponse, ResponsesAgentStreamEvent

class Agent(ResponsesAgent):
    def predict(self, request):
        said = request.input[-1].content
        text = f"v{VERSION} {said} {self._who()} {os.environ.get('OWN_SECRET')}"
        return ResponsesAgentResponse(output=[self.create_text_output_item(text=text, id="1")])

    def predict_stream(self, request):
        for item in self.predict(request).output:
            yield ResponsesAgentStreamEvent(type="response.output_item.done", item=item)

    def _who(self):
        if os.environ.get("IS_IN_DB_MODEL_SERVING_ENV") != "true":
            return "nobody"
        from databricks.sdk import WorkspaceClient
        client = WorkspaceClient()
        rows = client.statement_execution.execute_statement("SELECT count(*) FROM TABLE", "stand-in").result
        return f"{client.config.auth_type} {rows.data_array}"

mlflow.models.set_model(Agent())
"""


@pytest.fixture
def signed_in(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLflow's client takes no other way in than the environment."""
    import mlflow

    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    for name, value in ws.env.items():
        monkeypatch.setenv(name, value)
    mlflow.set_tracking_uri("databricks")
    mlflow.set_registry_uri("databricks-uc")
    yield
    mlflow.set_tracking_uri(before[0])
    mlflow.set_registry_uri(before[1])


def logged(place: Place, directory: Path, version: int, **settings: Any) -> str:
    """A version of the agent, logged and registered; its full name."""
    import mlflow
    from mlflow.models.resources import DatabricksSQLWarehouse, DatabricksTable

    file = directory / f"agent_{version}.py"
    file.write_text(AGENT.replace("VERSION", str(version)).replace("TABLE", place.table("orders")))
    mlflow.set_experiment(f"{place.directory}/agent")
    name = f"{place.catalog}.{place.schema}.agent"
    with mlflow.start_run():
        mlflow.pyfunc.log_model(
            name="agent",
            python_model=str(file),
            registered_model_name=name,
            pip_requirements=["mlflow", "databricks-sdk", *settings.pop("pip", [])],
            resources=[DatabricksSQLWarehouse("stand-in"), DatabricksTable(place.table("orders"))],
            **settings,
        )
    return name


def config(name: str, version: int, **settings: Any) -> EndpointCoreConfigInput:
    entity = ServedEntityInput(
        entity_name=name,
        entity_version=str(version),
        workload_size="Small",
        scale_to_zero_enabled=True,
        environment_vars={"OWN_SECRET": settings.pop("secret", "none")},
    )
    return EndpointCoreConfigInput(name="", served_entities=[entity])


def asked(target: Target, endpoint: str, text: str, **more: Any) -> str:
    body = {"input": [{"role": "user", "content": text}], **more}
    answer = target.client().api_client.do("POST", f"/serving-endpoints/{endpoint}/invocations", body=body)
    return str(answer["output"][0]["content"][0]["text"])


def settled(target: Target, endpoint: str) -> Any:
    api = target.client().serving_endpoints
    until(lambda: api.get(endpoint).state.config_update.value != "IN_PROGRESS", 120)
    return api.get(endpoint)


@pytest.mark.usefixtures("signed_in")
def test_a_model_is_logged_registered_served_and_updated(
    ws: Workspace, target: Target, place: Place, tmp_path: Path
) -> None:
    import mlflow
    from mlflow import MlflowClient

    client, api = target.client(), target.client().serving_endpoints
    ws.engine.rows(f"CREATE TABLE {place.table('orders')} AS SELECT id FROM range(3)")
    client.secrets.create_scope(place.schema)
    client.secrets.put_secret(place.schema, "k", string_value="s3cret")
    name, endpoint = logged(place, tmp_path, 1), place.schema.replace("_", "-")
    registry = MlflowClient()
    assert registry.get_model_version(name, "1").status == "READY"
    assert mlflow.models.get_model_info(f"models:/{name}/1").signature is not None
    with pytest.raises(NotFound):
        api.create(endpoint, config=config(name, 7))
    api.create(endpoint, config=config(name, 1, secret=f"{{{{secrets/{place.schema}/k}}}}"))
    with pytest.raises(ResourceAlreadyExists):
        api.create(endpoint, config=config(name, 1))
    made = settled(target, endpoint)
    assert (made.state.ready.value, made.config.served_entities[0].entity_version) == ("READY", "1"), (
        made.pending_config
    )
    assert asked(target, endpoint, "hello") == "v1 hello model-serving [['3']] s3cret"
    registry.set_registered_model_alias(name, "champion", "1")
    assert registry.get_model_version_by_alias(name, "champion").version == "1"
    logged(place, tmp_path, 2, pip=["no-such-package-at-all"])
    api.update_config(endpoint, served_entities=config(name, 2).served_entities)
    made = settled(target, endpoint)
    assert (made.state.ready.value, made.state.config_update.value) == ("READY", "UPDATE_FAILED")
    message = made.pending_config.served_entities[0].state.deployment_state_message
    assert "No matching distribution found for no-such-package-at-all" in message
    assert asked(target, endpoint, "again") == "v1 again model-serving [['3']] s3cret"
    api.update_config(endpoint, served_entities=config(name, 1, secret="changed").served_entities)
    made = settled(target, endpoint)
    assert (made.state.config_update.value, made.config.config_version) == ("NOT_UPDATING", 2)
    assert asked(target, endpoint, "third") == "v1 third model-serving [['3']] changed"
    assert api.logs(endpoint, made.config.served_entities[0].name).logs is not None
    api.delete(endpoint)
    with pytest.raises(NotFound):
        api.get(endpoint)
    client.secrets.delete_scope(place.schema)
    assert ws.journal.count("model_served", subject=endpoint) == 2


@pytest.mark.usefixtures("signed_in")
def test_names_in_the_registry_and_of_experiments_are_databricks_own(ws: Workspace, place: Place) -> None:
    import mlflow
    from mlflow.exceptions import MlflowException

    client = mlflow.MlflowClient()
    with pytest.raises(MlflowException, match="absolute path"):
        client.create_experiment("plain name")
    with pytest.raises(MlflowException, match="does not exist"):
        client.create_experiment("/Users/nobody@example.com/x")
    with pytest.raises(MlflowException, match="does not exist"):
        client.create_registered_model(f"{place.catalog}.nowhere.model")


def test_the_registry_is_as_strict_as_its_grants(ws: Workspace, target: Target, place: Place) -> None:
    import requests

    who = ws.principals.add_user(f"{place.schema}@models.example.com").name
    answer = requests.post(
        f"{ws.url}/api/2.0/mlflow/unity-catalog/registered-models/create",
        data=json.dumps({"name": f"{place.catalog}.{place.schema}.m"}),
        headers={"Authorization": f"Bearer {ws.token_for(who)}"},
        timeout=60,
    )
    assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")


def test_more_than_one_entity_is_not_covered(target: Target, place: Place) -> None:
    twice = config("a.b.c", 1).served_entities * 2
    with pytest.raises(Exception, match="does not cover 2 served entities"):
        target.client().serving_endpoints.create("x", config=EndpointCoreConfigInput(name="", served_entities=twice))
