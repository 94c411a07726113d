"""The settings: what can be set, its defaults and meaning. Read once, at the top; nothing below asks for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agent.settings.environment import find_ignored, read_environment
from agent.settings.error import SettingsError
from agent.settings.file import read_file
from agent.settings.keys import (
    Count,
    Given,
    Key,
    Money,
    Number,
    Port,
    Seconds,
    VariableName,
    Warmth,
    flatten,
    keys_of,
)
from graph.budget import Digesting, Limits, Memory

__all__ = ["Loaded", "Settings", "SettingsError", "load_settings", "settings_keys"]

DEFAULT = "default"


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class ModelSettings(Section):
    """One chat model. `name` is `offline`, `provider:model` for init_chat_model, or `databricks:endpoint`.

    With `base_url` it is a model of any OpenAI-compatible server. `api_key_env` names the variable that holds the key.
    Prices are US dollars per million tokens; `timeout` is seconds; `fallbacks` are tried in order, named like `name`.
    """

    name: str = "offline"
    base_url: str | None = None
    api_key_env: VariableName | None = None
    temperature: Warmth | None = None
    max_output_tokens: Count | None = None
    timeout: Seconds = 120.0
    retries: Number = 4
    fallbacks: tuple[str, ...] = ()
    input_price: Money = 0.0
    output_price: Money = 0.0


class GenieSettings(Section):
    space_id: str | None = None
    agent_name: str = "Genie"
    description: str = "Answers questions about the tables in natural language"


class CheckpointerSettings(Section):
    kind: Literal["sqlite", "duckdb", "postgres", "lakebase"] = "sqlite"
    path: Path | None = None
    dsn_env: VariableName | None = None
    on_busy: Literal["wait", "reject", "fork"] = "wait"
    busy_seconds: Seconds = 30.0


class DataSettings(Section):
    sample: bool = True
    paths: tuple[Path, ...] = ()
    text: Path | None = None
    catalog: str | None = None
    schema_name: str | None = Field(default=None, alias="schema")
    warehouse_id: str | None = None


class DatabricksSettings(Section):
    """`volume` is the folder where runs leave their files; `secret_scope` is asked for keys that no variable holds."""

    profile: str | None = None
    volume: str | None = None
    secret_scope: str | None = None


class ExecutionSettings(Section):
    """The `databricks_job` backend runs the executor's job `job_id`; without one `notebook` on `cluster_id`, else on
    serverless. `wheel` is ours in a Volume, for jobs whose environment does not have it.
    """

    backend: Literal["local", "databricks_job"] = "local"
    job_id: str | None = None
    notebook: str | None = None
    cluster_id: str | None = None
    environment_version: str = "4"
    wheel: str | None = None
    scratch_schema: str | None = None
    max_output_bytes: Count = 64 * 1024 * 1024
    memory_mb: Count = 4096
    sql_seconds: Seconds = 300.0
    sql_memory_mb: Count = 2048
    value_mb: Count = 256


class TracingSettings(Section):
    enabled: bool = True
    uri: str | None = None
    experiment: str = "rlm-agent"
    max_payload_chars: Count = 4_000


class LogsSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"


class ServeSettings(Section):
    host: str = "127.0.0.1"
    port: Port = 8000
    request_deadline: Seconds = 270.0
    hosts: tuple[str, ...] = ()
    token_env: VariableName | None = None
    user_header: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    allow_app_state: bool = False
    chat_app_port: Port | None = None


class Settings(Section):
    mode: Literal["local", "databricks"] = "local"
    home: Path = Path(".rlm")
    app_name: str = "rlm-agent"
    user_id: str = "local"

    llm_endpoint_name: str | None = None
    system_prompt: str | None = None
    mlflow_experiment_id: str | None = None
    lakebase_endpoint_name: str | None = None
    lakebase_instance_name: str | None = None
    databricks_job_id: str | None = None
    genie: GenieSettings = GenieSettings()
    databricks: DatabricksSettings = DatabricksSettings()

    base_model: ModelSettings = ModelSettings()
    sub_model: ModelSettings | None = None
    limits: Limits = Limits()
    digesting: Digesting = Digesting()
    memory: Memory = Memory()
    checkpointer: CheckpointerSettings = CheckpointerSettings()
    data: DataSettings = DataSettings()
    execution: ExecutionSettings = ExecutionSettings()
    jobs_folder: Path = Path("notebooks/jobs")
    tracing: TracingSettings = TracingSettings()
    logs: LogsSettings = LogsSettings()
    serve: ServeSettings = ServeSettings()

    @property
    def artifacts_path(self) -> Path:
        return self.home.absolute() / "artifacts"

    @property
    def logs_path(self) -> Path:
        return self.home.absolute() / "logs" / "log.txt"

    @property
    def values_path(self) -> Path:
        return self.home.absolute() / "values"

    @property
    def records_path(self) -> Path:
        return self.home.absolute() / "records.sqlite"

    @property
    def scopes_path(self) -> Path:
        return self.home.absolute() / "scopes.sqlite"

    def threads_path(self, suffix: str) -> Path:
        return self.checkpointer.path or self.home.absolute() / f"threads.{suffix}"


KINDS: dict[str, Any] = {
    "limits.max_iterations": Count,
    "limits.max_repairs": Number,
    "limits.max_delegations": Count,
    "limits.max_seconds": Seconds,
    "limits.max_tokens": Count,
    "limits.max_cost_usd": Money,
    "limits.request_deadline": Seconds,
    "limits.run_seconds": Seconds,
    "limits.max_parallel": Count,
    "digesting.short_chars": Number,
    "digesting.leaf_tokens": Count,
    "digesting.leaf_items": Count,
    "digesting.max_leaves": Count,
    "digesting.parallel_reads": Count,
    "memory.window_chars": Count,
    "memory.capsule_entries": Count,
}
"""What the numbers of the machine's own sections may be: its dataclasses don't check."""


@dataclass(frozen=True)
class Loaded:
    """Settings, and for each key by its dotted name where its value is from. `ignored`: older variables, and why."""

    settings: Settings
    provenance: Mapping[str, str]
    ignored: Mapping[str, str] = field(default_factory=dict)

    def rows(self) -> list[tuple[str, Any, str]]:
        """Every key with its value in force and where that is from."""
        values = dict(leaves(self.settings.model_dump(mode="json", by_alias=True)))
        return [(key, values.get(key), self.provenance[key]) for key in settings_keys()]


@cache
def settings_keys() -> Mapping[str, Key]:
    return {key.name: key for key in keys_of(Settings, KINDS)}


def load_settings(
    file: Path | Mapping[str, Any] | None,
    environment: Mapping[str, str],
    overrides: Mapping[str, Any],
    *,
    dotenv: Mapping[str, str] | None = None,
) -> Loaded:
    """What is in force: overrides, then environment, then `.env`, then the file, then the defaults.

    `overrides` maps dotted keys to values, or to `Given` when there is a better name for where it was said. A mapping
    as `file` is a configuration that was read already. Raises SettingsError, one line that names what to change.
    """
    keys = settings_keys()
    layers: list[Given] = []
    if isinstance(file, Path):
        layers += read_file(file, keys)
    elif file is not None:
        layers += flatten(file, keys, lambda key: "configuration")
    layers += read_environment(dotenv or {}, keys, ".env")
    layers += read_environment(environment, keys)
    layers += given_directly(overrides, keys)
    chosen = derive({given.key: given for given in layers}, {**(dotenv or {}), **environment})
    values = {key: keys[key].parse(given) for key, given in chosen.items()}
    settings = Settings.model_validate(nest(values))
    where = {key: chosen[key].where if key in chosen else DEFAULT for key in keys}
    return Loaded(settings, where, find_ignored({**(dotenv or {}), **environment}))


def given_directly(overrides: Mapping[str, Any], keys: Mapping[str, Key]) -> Iterable[Given]:
    for given in flatten(overrides, keys, lambda key: "command line"):
        yield given if not isinstance(given.value, Given) else given.value


def derive(given: Mapping[str, Given], environment: Mapping[str, str]) -> dict[str, Given]:
    """What follows from other keys: the mode from credentials, the base model from an endpoint, the sub-model from the
    base model.
    """
    chosen = dict(given)
    if "mode" not in chosen and "databricks.volume" in chosen and (found := find_credentials(environment, chosen)):
        chosen["mode"] = Given("mode", "databricks", f"{found} and databricks.volume are set")
    if "mode" in chosen and chosen["mode"].value == "databricks":
        chosen = {**{one.key: one for one in follow_mode(chosen)}, **chosen}
    endpoint = chosen.get("llm_endpoint_name")
    if endpoint and "base_model.name" not in chosen:
        chosen["base_model.name"] = replace(endpoint, key="base_model.name", value=f"databricks:{endpoint.value}")
    if any(key.startswith("sub_model.") for key in chosen) and "sub_model.name" not in chosen:
        for key in [key for key in chosen if key.startswith("base_model.")]:
            own = key.replace("base_model", "sub_model", 1)
            chosen.setdefault(own, replace(chosen[key], key=own))
    return chosen


CREDENTIALS = ("DATABRICKS_HOST", "DATABRICKS_CONFIG_PROFILE", "DATABRICKS_RUNTIME_VERSION")
"""Variables that say that there is a workspace to sign in to."""


def find_credentials(environment: Mapping[str, str], chosen: Mapping[str, Given]) -> str | None:
    if "databricks.profile" in chosen:
        return "databricks.profile"
    return next((name for name in CREDENTIALS if environment.get(name, "").strip()), None)


def follow_mode(chosen: Mapping[str, Given]) -> Iterable[Given]:
    """What databricks mode chooses when nothing else does."""
    yield Given("execution.backend", "databricks_job", "mode is databricks")
    yield Given("data.sample", "false", "mode is databricks")
    for name in ("lakebase_endpoint_name", "lakebase_instance_name"):
        if name in chosen:
            yield Given("checkpointer.kind", "lakebase", f"{name} is set")


def nest(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *sections, name = key.split(".")
        place = tree
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value
    return tree


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
