"""Jobs A and B in the stand-in workspace as they are deployed: the notebooks, our wheel in their environment."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from databricks.sdk.service.compute import Environment
from databricks.sdk.service.jobs import JobEnvironment, NotebookTask, QueueSettings, Task
from databricks.sdk.service.workspace import ImportFormat, Language

from tests.databricks.bench import ROOT, Deployed, deployed, wheel
from tests.test_workspace.runs import ended
from tests.workspace.fixtures import Place, Target, honest, place, target, ws
from tests.workspace.lakebase import ENDPOINT
from tests.workspace.serving import MODEL, Reply, calls, reply
from tests.workspace.workspace import Workspace

__all__ = ["deployed", "honest", "place", "target", "wheel", "ws"]

REQUEST = {"REQUEST_ID": "{{job.run_id}}"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents and "target" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.workspace)


@dataclass(frozen=True)
class Jobs:
    """The jobs of a workspace; `config` is their file of settings."""

    target: Target
    deployed: Deployed
    config: str
    executor: int
    orchestrator: int

    def run(self, job_id: int, seconds: float = 150, **parameters: str) -> Any:
        """A run of a job when it has ended."""
        started = self.target.client().jobs.run_now(job_id, notebook_params=parameters)
        return ended(self.target, started.run_id, seconds)

    def output(self, run: Any) -> Any:
        return self.target.client().jobs.get_run_output(run.tasks[0].run_id)

    def make(self, name: str, parameters: dict[str, str], **settings: Any) -> int:
        return make_job(self.target, self.deployed, name, parameters, **settings)


def make_job(target: Target, deployed: Deployed, name: str, parameters: dict[str, str], **settings: Any) -> int:
    client = target.client()
    path = f"{deployed.notebook.rpartition('/')[0]}/{name}"
    source = base64.b64encode((ROOT / "notebooks" / f"{name}.py").read_bytes()).decode()
    client.workspace.import_(path, content=source, format=ImportFormat.SOURCE, language=Language.PYTHON, overwrite=True)
    task = Task(
        name,
        notebook_task=NotebookTask(path, base_parameters=parameters),
        environment_key="agent",
        max_retries=0,
        disable_auto_optimization=True,
    )
    environment = Environment(environment_version="4", dependencies=[deployed.wheel])
    chosen = {"max_concurrent_runs": 16, "queue": QueueSettings(enabled=True), **settings}
    made = client.jobs.create(name=name, tasks=[task], environments=[JobEnvironment("agent", environment)], **chosen)
    return int(made.job_id)


@pytest.fixture
def jobs(ws: Workspace, target: Target, place: Place, deployed: Deployed) -> Jobs:
    executor = make_job(target, deployed, "executor", {})
    settings = {
        "mode": "databricks",
        "home": "/tmp/rlm",
        "databricks": {"volume": deployed.volume},
        "data": {"catalog": place.catalog, "schema": place.schema, "warehouse_id": ws.warehouse_id},
        "execution": {"job_id": str(executor)},
        "base_model": {"name": f"databricks:{MODEL}"},
        "lakebase_endpoint_name": ENDPOINT,
        "tracing": {"enabled": False},
    }
    config = f"{deployed.volume}/config.yaml"
    target.client().files.upload(config, io.BytesIO(yaml.safe_dump(settings).encode()), overwrite=True)
    orchestrator = make_job(target, deployed, "orchestrator", {"CONFIG": config, **REQUEST})
    return Jobs(target, deployed, config, executor, orchestrator)


@dataclass
class Analyst:
    """The chat model of the workspace: delegates once, then says what it was shown. `asked` are the questions."""

    code: str
    asked: list[str]

    def __call__(self, request: dict[str, Any]) -> Reply:
        messages = request["messages"]
        results = [one for one in messages if one["role"] == "tool"]
        if results:
            return reply(f"Found: {results[-1]['content']}")
        question = next(one["content"] for one in reversed(messages) if one["role"] == "user")
        self.asked.append(str(question))
        return calls("delegate_code_results", code=f"'''Say the number.'''\n{self.code}")


@pytest.fixture
def analyst(ws: Workspace) -> Analyst:
    made = Analyst("result = {'rows': spark.range(7).count()}", [])
    ws.serving.use(made)
    return made
