"""The settings: what can be set, the defaults, and what each means. Read once, at the top; nothing below asks for them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from graph.budget import Digesting, Limits, Memory


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSettings(Section):
    """One chat model. `name` is `offline`, `provider:model` for init_chat_model, or `databricks:endpoint`.

    With `base_url` it is a model of any OpenAI-compatible server. `api_key_env` names the variable that holds the key.
    Prices are US dollars per million tokens; `timeout` is seconds; `fallbacks` are tried in order, named like `name`.
    """

    name: str = "offline"
    base_url: str | None = None
    api_key_env: str | None = None
    temperature: float | None = None
    max_output_tokens: int | None = None
    timeout: float = 120.0
    retries: int = 4
    fallbacks: tuple[str, ...] = ()
    input_price: float = 0.0
    output_price: float = 0.0


class GenieSettings(Section):
    space_id: str | None = None
    agent_name: str = "Genie"
    description: str = "Answers questions about the tables in natural language"


class CheckpointerSettings(Section):
    kind: Literal["sqlite", "duckdb", "postgres", "lakebase"] = "sqlite"
    path: Path | None = None
    dsn_env: str | None = None
    on_busy: Literal["wait", "reject", "fork"] = "wait"
    busy_seconds: float = 30.0


class DataSettings(Section):
    sample: bool = True
    paths: tuple[Path, ...] = ()
    text: Path | None = None
    catalog: str | None = None
    schema_name: str | None = Field(None, alias="schema")


class ExecutionSettings(Section):
    backend: Literal["local"] = "local"
    max_output_bytes: int = 64 * 1024 * 1024
    memory_mb: int = 4096


class TracingSettings(Section):
    enabled: bool = True
    uri: str | None = None
    experiment: str = "rlm-agent"
    max_payload_chars: int = 4_000


class ServeSettings(Section):
    host: str = "127.0.0.1"
    port: int = 8000
    request_deadline: float = 270.0


class Settings(Section):
    mode: Literal["local", "databricks"] = "local"
    home: Path = Path(".rlm")
    app_name: str = "rlm-agent"
    user_id: str = "local"

    llm_endpoint_name: str | None = None
    system_prompt: str | None = None
    mlflow_experiment_id: str | None = None
    lakebase_instance_name: str | None = None
    databricks_job_id: str | None = None
    genie: GenieSettings = GenieSettings()

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
    serve: ServeSettings = ServeSettings()
