"""The bundle's file is what the table of resources says, and the vendor's own classes read it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from databricks.bundles.jobs import Job
from databricks.bundles.model_serving_endpoints import ModelServingEndpoint
from databricks.bundles.schemas import Schema
from databricks.bundles.secret_scopes import SecretScope
from databricks.bundles.volumes import Volume

from agent.config import load_settings
from agent.deploying.bundle import FILE, render
from agent.deploying.grants import grants
from agent.deploying.plan import describe
from agent.deploying.variables import VARIABLES, resolve
from graph.errors import InvalidRequest

CLASSES: dict[str, Any] = {
    "jobs": Job,
    "schemas": Schema,
    "volumes": Volume,
    "secret_scopes": SecretScope,
    "model_serving_endpoints": ModelServingEndpoint,
}
SAID = {
    "catalog": "main",
    "llm_endpoint_name": "chat",
    "warehouse_id": "w",
    "lakebase_endpoint_name": "projects/p/branches/b/endpoints/e",
    "data_catalog": "main",
    "data_schema": "sales",
    "executor_principal": "e-1",
    "serving_principal": "s-1",
    "ingestor_principal": "i-1",
    "task_table": "main.jira.tasks",
}
SETTINGS = load_settings(None, {}, {}).settings


def test_the_file_is_what_is_generated() -> None:
    assert FILE.read_text(encoding="utf-8") == render(), "python -m agent.deploying.bundle"


def test_every_resource_loads_without_loss() -> None:
    for kind, made in yaml.safe_load(render())["resources"].items():
        for name, resource in made.items():
            assert CLASSES[kind].from_dict(resource).as_dict() == resource, (kind, name)


def test_every_variable_that_is_used_is_declared_and_commented() -> None:
    text = render()
    used = set(re.findall(r"\$\{var\.(\w+)\}", text))
    assert used <= {one.name for one in VARIABLES}
    assert all(f"# {one.meaning}" in text for one in VARIABLES)


def test_three_jobs_are_wired_and_the_schedule_is_paused() -> None:
    jobs = yaml.safe_load(render())["resources"]["jobs"]
    given = {name: job["tasks"][0]["notebook_task"].get("base_parameters", {}) for name, job in jobs.items()}
    assert given["orchestrator"]["ADK_EXECUTOR_JOB_ID"] == "${resources.jobs.executor.id}"
    assert given["ingestor"]["ADK_ORCHESTRATOR_JOB_ID"] == "${resources.jobs.orchestrator.id}"
    assert jobs["ingestor"]["schedule"]["pause_status"] == "PAUSED"
    assert all(job["tasks"][0]["max_retries"] == 0 for job in jobs.values())


def test_the_executor_may_change_nothing_but_the_scratch_schema_and_its_volume() -> None:
    own = [line for line in grants(resolve(SETTINGS, SAID)) if line.endswith("TO `e-1`")]
    writes = [line for line in own if re.search("MODIFY|CREATE|WRITE|ALL|MANAGE", line)]
    assert [line.split(" TO ")[0] for line in writes] == [
        "GRANT WRITE VOLUME ON VOLUME `main`.`rlm_agent`.`files`",
        "GRANT MODIFY ON SCHEMA `main`.`rlm_scratch`",
        "GRANT CREATE TABLE ON SCHEMA `main`.`rlm_scratch`",
    ]


def test_the_plan_shows_resources_grants_and_costs() -> None:
    text = describe(resolve(SETTINGS, SAID))
    for part in (
        "main.rlm_agent.files",
        "runs as e-1",
        "PAUSED",
        "GRANT SELECT ON SCHEMA `main`.`sales` TO `e-1`;",
        "tokens",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"catalog": ""}, "catalog (catalog of"),
        ({"nonsense": "1"}, "--var nonsense"),
        ({"schema": "a`; DROP"}, "--var schema"),
        ({"task_table": "a.b"}, "--var task_table"),
        ({"executor_principal": "s-1"}, "generated code must run as"),
        ({"volume": "deployed"}, "--var volume"),
    ],
)
def test_what_can_not_be_deployed_is_said_with_its_variable(said: dict[str, str], complaint: str) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(complaint)):
        resolve(SETTINGS, {**SAID, **said})
