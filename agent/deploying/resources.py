"""The one truth about what is deployed. The shape is the bundle's; `deploy` gives the same table to the SDK.

The values are real ones, or the bundle's `${var.…}` texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.jobs import ingestor, orchestrator

Resource = dict[str, Any]

EXECUTOR, ORCHESTRATOR, INGESTOR, AGENT = "executor", "orchestrator", "ingestor", "agent"
JOBS = (EXECUTOR, ORCHESTRATOR, INGESTOR)
MODEL = "agent"
DEPLOYED = "deployed"
"""The Volume that only who deploys writes to: what the principals run must not be theirs to change."""
EVERY_FIVE_MINUTES = "0 0/5 * * * ?"
PARALLEL = 16
"""Runs of delegations at once: limits.max_parallel. More wait in the queue."""
TIMEOUTS = {EXECUTOR: 2 * 3600, ORCHESTRATOR: 3 * 3600, INGESTOR: 1800}
"""Seconds; the agent's own limits end a run earlier."""


@dataclass(frozen=True)
class Place:
    """Where the files lie, and how the jobs are known."""

    notebooks: str
    wheel: str
    config: str
    executor_id: str
    orchestrator_id: str
    host: str


def resources(values: Mapping[str, str], place: Place) -> dict[str, dict[str, Resource]]:
    return {
        "schemas": {
            "own": schema(values["catalog"], values["schema"], "The agent's Volume, model and tables"),
            "scratch": schema(values["catalog"], values["scratch_schema"], "Where generated code may write"),
        },
        "volumes": {
            "files": volume(values, values["volume"], "Code, outputs and notebooks of runs; attachments of tasks"),
            "deployed": volume(values, DEPLOYED, "The jobs' wheel and settings, which generated code only reads"),
        },
        "secret_scopes": {
            "keys": {
                "name": values["secret_scope"],
                "permissions": [
                    permission("READ", values["serving_principal"]),
                    permission("READ", values["ingestor_principal"]),
                ],
            }
        },
        "jobs": {name: make_job(name, values, place) for name in JOBS},
        "model_serving_endpoints": {AGENT: make_endpoint(values, place)},
    }


def schema(catalog: str, name: str, comment: str) -> Resource:
    return {"catalog_name": catalog, "name": name, "comment": comment}


def volume(values: Mapping[str, str], name: str, comment: str) -> Resource:
    return {
        "catalog_name": values["catalog"],
        "schema_name": values["schema"],
        "name": name,
        "volume_type": "MANAGED",
        "comment": comment,
    }


def permission(level: str, principal: str) -> Resource:
    return {"level": level, "service_principal_name": principal}


def make_job(name: str, values: Mapping[str, str], place: Place) -> Resource:
    """One notebook on serverless with our wheel, run as its own principal, never tried again by itself."""
    principal, starter = {
        EXECUTOR: ("executor_principal", "serving_principal"),
        ORCHESTRATOR: ("serving_principal", "ingestor_principal"),
        INGESTOR: ("ingestor_principal", None),
    }[name]
    made: Resource = {
        "name": f"{values['name']} {name}",
        "description": ABOUT[name],
        "tasks": [
            {
                "task_key": name,
                "notebook_task": {
                    "notebook_path": place.notebooks.format(name=name),
                    **({"base_parameters": given} if (given := parameters(name, values, place)) else {}),
                },
                "environment_key": "agent",
                "max_retries": 0,
                "disable_auto_optimization": True,
            }
        ],
        "environments": [
            {"environment_key": "agent", "spec": {"environment_version": "4", "dependencies": [place.wheel]}}
        ],
        "run_as": {"service_principal_name": values[principal]},
        "timeout_seconds": TIMEOUTS[name],
        "max_concurrent_runs": 1 if name == INGESTOR else PARALLEL,
        "queue": {"enabled": name != INGESTOR},
        "tags": {"deployed_as": values["name"]},
    }
    if starter:
        made["permissions"] = [permission("CAN_MANAGE_RUN", values[starter])]
    if name == INGESTOR:
        made["schedule"] = {
            "quartz_cron_expression": EVERY_FIVE_MINUTES,
            "timezone_id": "UTC",
            "pause_status": "PAUSED",
        }
    return made


ABOUT = {
    EXECUTOR: "Job B: runs one delegation. The agent starts it.",
    ORCHESTRATOR: "Job A: asks the agent once.",
    INGESTOR: "Job C: hands new and newly assigned tasks to the orchestrator, each once.",
}


def parameters(name: str, values: Mapping[str, str], place: Place) -> dict[str, str]:
    own = {
        EXECUTOR: {},
        ORCHESTRATOR: {
            "CONFIG": place.config,
            "REQUEST_ID": "{{job.run_id}}",
            "ADK_EXECUTOR_JOB_ID": place.executor_id,
            "ADK_DELTA_CATALOG": values["data_catalog"],
            "ADK_DELTA_SCHEMA": values["data_schema"],
            "ADK_SECRET_SCOPE": values["secret_scope"],
        },
        INGESTOR: {
            "CONFIG": place.config,
            "ADK_ORCHESTRATOR_JOB_ID": place.orchestrator_id,
            "ADK_DELTA_CATALOG": values["catalog"],
            "ADK_DELTA_SCHEMA": values["schema"],
            "ADK_SECRET_SCOPE": values["secret_scope"],
            "ADK_TASK_TABLE": values["task_table"],
            "ADK_ASSIGNEE": values["assignee"],
            "ADK_ATTACHMENT_HOSTS": values["attachment_hosts"],
        },
    }[name]
    known = {ORCHESTRATOR: orchestrator.PARAMETERS, INGESTOR: ingestor.PARAMETERS}.get(name, ())
    return {one.name: own.get(one.name, one.default) for one in known}


def make_endpoint(values: Mapping[str, str], place: Place) -> Resource:
    scope = values["secret_scope"]
    return {
        "name": values["name"],
        "config": {
            "served_entities": [
                {
                    "name": AGENT,
                    "entity_name": f"{values['catalog']}.{values['schema']}.{MODEL}",
                    "entity_version": values["model_version"],
                    "workload_size": "Small",
                    "scale_to_zero_enabled": True,
                    "environment_vars": {
                        "DATABRICKS_CLIENT_ID": f"{{{{secrets/{scope}/serving-client-id}}}}",
                        "DATABRICKS_CLIENT_SECRET": f"{{{{secrets/{scope}/serving-client-secret}}}}",
                        "DATABRICKS_HOST": place.host,
                    },
                }
            ]
        },
    }
