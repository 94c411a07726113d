"""What differs from workspace to workspace: the bundle's variables, and where `deploy` takes them from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.deploying.resources import DEPLOYED
from graph.errors import InvalidRequest

if TYPE_CHECKING:
    from agent.config import Settings

Values = Mapping[str, str]


@dataclass(frozen=True)
class Variable:
    """`setting` gives its value when nobody says otherwise; one without a default has to be said."""

    name: str
    meaning: str
    default: str | None = None
    setting: str | None = None


VARIABLES = (
    Variable("name", "what everything that is deployed is named after", "rlm-agent"),
    Variable("catalog", "catalog of the agent's own schema"),
    Variable(
        "schema", "the agent's own schema: its Volume, its registered model, the ingestor's two tables", "rlm_agent"
    ),
    Variable("volume", "its Volume: code, outputs, notebooks of runs; attachments of tasks", "files"),
    Variable("llm_endpoint_name", "serving endpoint of the base model", setting="llm_endpoint_name"),
    Variable(
        "warehouse_id", "SQL warehouse for execute_sql, catalog search and the ingestor", setting="data.warehouse_id"
    ),
    Variable("lakebase_endpoint_name", "Lakebase endpoint of threads and records", setting="lakebase_endpoint_name"),
    Variable("genie_space_id", "Genie space that query_genie asks; empty for none", "", "genie.space_id"),
    Variable("data_catalog", "where code looks up unqualified tables", setting="data.catalog"),
    Variable("data_schema", "likewise; generated code may read this schema", setting="data.schema"),
    Variable("scratch_schema", "the one schema where generated code may write", "rlm_scratch"),
    Variable(
        "secret_scope",
        "scope with serving-client-id, serving-client-secret, and JIRA_TOKEN if tasks have files",
        "rlm-agent",
    ),
    Variable("executor_principal", "application id of the service principal that generated code runs as"),
    Variable("serving_principal", "application id of the one that the orchestrator and the endpoint work as"),
    Variable("ingestor_principal", "application id of the one that reads tasks"),
    Variable("task_table", "table of tasks, catalog.schema.table, with a change data feed; empty for none", ""),
    Variable("assignee", "whose tasks are handed over", ""),
    Variable("attachment_hosts", "hosts of attachments; JIRA_TOKEN goes to the first", ""),
    Variable("model_version", "version of the registered model that the endpoint serves", "1"),
)

PLAIN = re.compile(r"[A-Za-z0-9_-]+")
TABLE = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){2}")
IN_SQL = ("catalog", "schema", "volume", "data_catalog", "data_schema", "scratch_schema")
PRINCIPALS = ("executor_principal", "serving_principal", "ingestor_principal")


def resolve(settings: Settings, said: Values, only_shown: bool = False) -> dict[str, str]:
    """A value for each variable: what is said, then the settings, then the default.

    What is only shown gets a name that stands for what is missing. Else raises InvalidRequest, which names what to say.
    """
    known = {one.name: one for one in VARIABLES}
    if strange := sorted(said.keys() - known.keys()):
        raise InvalidRequest(f"--var {strange[0]}: there is no such variable; there are {', '.join(known)}.")
    values = {one.name: said.get(one.name) or of_settings(settings, one) or one.default for one in VARIABLES}
    missing = [one for one in VARIABLES if values[one.name] is None]
    if only_shown:
        values |= {one.name: stand_in(one) for one in missing}
    elif missing:
        ways = [f"{one.name} ({one.meaning})" for one in missing]
        raise InvalidRequest(f"Not said where to deploy to: give --var NAME=VALUE for {'; '.join(ways)}.")
    return check({name: str(value) for name, value in values.items()})


def stand_in(variable: Variable) -> str:
    return f"YOUR_{variable.name.upper()}"


def of_settings(settings: Settings, variable: Variable) -> str | None:
    if variable.name in ("catalog", "schema", "volume"):
        parts = (settings.databricks.volume or "").split("/")
        place = {"catalog": 2, "schema": 3, "volume": 4}[variable.name]
        return parts[place] if len(parts) > place else None
    found: object = settings
    for name in (variable.setting or "").split("."):
        found = getattr(found, {"schema": "schema_name"}.get(name, name), None) if name else None
    return None if found is None else str(found)


def check(values: dict[str, str]) -> dict[str, str]:
    """Raises InvalidRequest for names that would end a statement, and for a principal that is two."""
    for name in (*IN_SQL, *PRINCIPALS):
        if not PLAIN.fullmatch(values[name]):
            raise InvalidRequest(f"--var {name}={values[name]!r}: letters, digits, - and _ alone.")
    if values["task_table"] and not TABLE.fullmatch(values["task_table"]):
        raise InvalidRequest(f"--var task_table={values['task_table']!r}: name it as catalog.schema.table.")
    if values["volume"] == DEPLOYED:
        raise InvalidRequest(f"--var volume={DEPLOYED}: that is the Volume of what is deployed; name another.")
    if values["executor_principal"] in (values["serving_principal"], values["ingestor_principal"]):
        raise InvalidRequest(
            "--var executor_principal: generated code must run as a principal that nothing else works as."
        )
    return values
