"""What the three principals may do, and what nobody may: as SQL for data, as permissions for the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agent.deploying.resources import DEPLOYED

Values = Mapping[str, str]


@dataclass(frozen=True)
class Permission:
    """`level` on something of the workspace that Unity Catalog does not know."""

    principal: str
    level: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.level} on {self.kind} {self.name} to {self.principal}"


def grants(values: Values) -> list[str]:
    """SQL, in an order that can be run as it is; the same again changes nothing."""
    return [
        f"GRANT {privilege} ON {kind} {quote(name)} TO `{values[principal]}`"
        for principal, privilege, kind, name in dict.fromkeys(rows(values))
    ]


def rows(values: Values) -> Iterator[tuple[str, str, str, str]]:
    own, data = f"{values['catalog']}.{values['schema']}", f"{values['data_catalog']}.{values['data_schema']}"
    scratch, volume = f"{values['catalog']}.{values['scratch_schema']}", f"{own}.{values['volume']}"
    for principal in ("executor_principal", "serving_principal", "ingestor_principal"):
        yield principal, "USE CATALOG", "CATALOG", values["catalog"]
        yield principal, "USE SCHEMA", "SCHEMA", own
        yield principal, "READ VOLUME", "VOLUME", volume
        yield principal, "WRITE VOLUME", "VOLUME", volume
        yield principal, "READ VOLUME", "VOLUME", f"{own}.{DEPLOYED}"
    for principal in ("executor_principal", "serving_principal"):
        yield principal, "USE CATALOG", "CATALOG", values["data_catalog"]
        yield principal, "USE SCHEMA", "SCHEMA", data
        yield principal, "SELECT", "SCHEMA", data
    for privilege in ("USE SCHEMA", "SELECT", "MODIFY", "CREATE TABLE"):
        yield "executor_principal", privilege, "SCHEMA", scratch
    for privilege in ("SELECT", "MODIFY", "CREATE TABLE"):
        yield "ingestor_principal", privilege, "SCHEMA", own
    if values["task_table"]:
        catalog, schema, _ = values["task_table"].split(".")
        yield "ingestor_principal", "USE CATALOG", "CATALOG", catalog
        yield "ingestor_principal", "USE SCHEMA", "SCHEMA", f"{catalog}.{schema}"
        yield "ingestor_principal", "SELECT", "TABLE", values["task_table"]


def permissions(values: Values) -> list[Permission]:
    """What is there already and has to be opened to them; the jobs' and the scope's stand with the resources."""
    executor, serving, ingestor = (values[f"{name}_principal"] for name in ("executor", "serving", "ingestor"))
    found = [
        Permission(serving, "CAN_QUERY", "serving-endpoints", values["llm_endpoint_name"]),
        *(Permission(one, "CAN_USE", "warehouses", values["warehouse_id"]) for one in (executor, serving, ingestor)),
    ]
    if values["genie_space_id"]:
        found.append(Permission(serving, "CAN_RUN", "genie", values["genie_space_id"]))
    return found


def quote(name: str) -> str:
    return ".".join(f"`{part}`" for part in name.split("."))


COSTS = (
    ("each delegation", "a serverless job run: its start and its seconds"),
    ("each task from Jira", "an orchestrator run beside its delegations, for as long as the turn takes"),
    ("the ingestor, once its schedule is switched on", "a short serverless run and the warehouse, every five minutes"),
    ("the endpoint", "a small CPU replica while it answers and some minutes after; nothing when scaled to zero"),
    ("the base model's endpoint", "tokens; limits.max_tokens and limits.max_cost_usd bound a turn"),
    ("the SQL warehouse", "its running time, with its own auto-stop"),
    ("Lakebase", "its running time and storage"),
    ("the Volume", "storage: outputs of runs stay until they are removed"),
)
