"""The composition root: settings in, live parts out. The mode chooses implementations here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graph.context import Model, RunContext
from graph.errors import InvalidRequest

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.tools import BaseTool
    from langgraph.graph.state import CompiledStateGraph

    from agent.artifacts.folder import FolderArtifacts
    from agent.config import ModelSettings, Settings
    from agent.data.warehouse import Warehouse
    from agent.execution.local import LocalBackend
    from agent.records.scopes import Scopes
    from agent.records.sqlite import SqliteRecords
    from checkpointers import Saver

Secrets = Callable[[str], str | None]
"""Looks up a secret by the name of its variable."""


@dataclass(frozen=True)
class Given:
    """What the caller brings: secrets by name, a WorkspaceClient for Lakebase and ChatDatabricks (without it they find
    their own credentials), models instead of the settings' ones, and tools of its own.
    """

    secrets: Secrets = lambda name: None
    workspace: Callable[[], Any] | None = None
    base_model: BaseChatModel | None = None
    sub_model: BaseChatModel | None = None
    tools: Iterable[BaseTool] = ()


@dataclass(frozen=True)
class Parts:
    """An agent's live things. `context` is a request's context without what only the request knows."""

    saver: Saver
    records: SqliteRecords
    artifacts: FolderArtifacts
    warehouse: Warehouse
    backend: LocalBackend
    scopes: Scopes
    context: RunContext
    graph: CompiledStateGraph[Any, Any, Any, Any]


def compose(settings: Settings, stack: ExitStack, given: Given) -> Parts:
    """Open every part; `stack` closes them in reverse. Raises AgentError or StoreError, which name what to change."""
    from agent.artifacts.folder import FolderArtifacts
    from agent.models import close_model
    from agent.records.scopes import open_scopes
    from agent.records.sqlite import open_records
    from graph.budget import Ledger
    from graph.builder import build_graph

    if settings.mode != "local":
        raise InvalidRequest(f"mode is {settings.mode}, and running there is not built yet: set mode to local.")
    home = prepared(settings.home)
    records = stack.enter_context(
        open_records(settings.records_path, settings.app_name, settings.tracing.max_payload_chars)
    )
    scopes = stack.enter_context(open_scopes(settings.scopes_path))
    artifacts = FolderArtifacts(settings.artifacts_path)
    warehouse = stack.enter_context(opened_warehouse(settings, home))
    saver = stack.enter_context(opened_saver(settings, given))
    backend = stack.enter_context(opened_backend(settings, artifacts, warehouse))
    base, sub = opened_models(settings, warehouse, given)
    for model in (base, sub):
        stack.callback(close_model, model)
    tools = {**built_tools(settings, home, warehouse, sub), **{tool.name: tool for tool in given.tools}}
    context = RunContext(
        base_model=replace(base, chat=base.chat.bind_tools(list(tools.values()))),  # type: ignore[attr-defined]
        sub_model=sub,
        prompts=prompts_of(settings, warehouse),
        tools=tools,
        guards=guards_of(settings),
        backend=backend,
        artifacts=artifacts,
        records=records,
        ledger=Ledger(settings.limits),
        limits=settings.limits,
        digesting=settings.digesting,
        memory=settings.memory,
    )
    return Parts(saver, records, artifacts, warehouse, backend, scopes, context, build_graph(saver))


def prepared(home: Path) -> Path:
    """The home folder, made if need be. It holds people's questions and data: others on the machine stay out."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise InvalidRequest(f"The home folder {home} can't be made ({error.strerror}); set home.") from error
    return home.absolute()


def opened_warehouse(settings: Settings, home: Path) -> Warehouse:
    from agent.data.warehouse import open_warehouse

    return open_warehouse(home, settings.data.sample, settings.data.paths)


def opened_saver(settings: Settings, given: Given) -> Saver:
    """The thread's memory: a file below home, or a server."""
    from checkpointers import open_checkpointer
    from graph.types import CHECKPOINTED

    chosen = settings.checkpointer
    allowed = [(kind.__module__, kind.__name__) for kind in CHECKPOINTED]
    options: dict[str, dict[str, Any]] = {
        "sqlite": {"path": settings.threads_path("sqlite")},
        "duckdb": {"path": settings.threads_path("duckdb")},
        "postgres": {"conninfo": given.secrets(chosen.dsn_env) if chosen.dsn_env else None},
        "lakebase": {"instance_name": settings.lakebase_instance_name},
    }
    checked = checked_options(chosen.kind, options[chosen.kind])
    if chosen.kind == "lakebase" and given.workspace is not None:
        checked["workspace_client"] = given.workspace()
    return open_checkpointer(chosen.kind, allowed_types=allowed, **checked)


def checked_options(kind: str, options: dict[str, Any]) -> dict[str, Any]:
    needs = {
        "postgres": "checkpointer.dsn_env, the name of a variable that holds the connection string",
        "lakebase": "lakebase_instance_name",
    }
    if None in options.values():
        raise InvalidRequest(f"checkpointer.kind is {kind} and needs {needs[kind]}.")
    return options


def opened_backend(settings: Settings, artifacts: FolderArtifacts, warehouse: Warehouse) -> LocalBackend:
    from agent.data.text import open_text
    from agent.execution import BACKENDS
    from agent.execution.run import Data, RunLimits
    from agent.guards.sql import check_sql

    chosen = settings.execution
    data = Data(
        warehouse,
        partial(check_sql, rules=sql_rules()),
        text=open_text(settings.data.text).paths if settings.data.text else (),
        catalog=settings.data.catalog or warehouse.catalog,
        schema=settings.data.schema_name or warehouse.schema,
    )
    limits = RunLimits(
        seconds=settings.limits.run_seconds,
        memory_bytes=chosen.memory_mb << 20,
        output_bytes=chosen.max_output_bytes,
    )
    return BACKENDS[chosen.backend](artifacts, data, limits)


def sql_rules() -> Any:
    """What SQL may do locally: read everything, and write what goes with the run's own in-memory database."""
    from agent.guards.sql import SESSION, SqlRules

    return SqlRules(dialect="duckdb", scratch=SESSION)


def guards_of(settings: Settings) -> Any:
    from agent.guards import GuardRules, build_guards

    return build_guards(GuardRules(settings.digesting.strict_instruction, sql_rules()))


def opened_models(settings: Settings, warehouse: Warehouse, given: Given) -> tuple[Model, Model]:
    """Base model and sub-model; without settings of its own, the sub-model is the base model without tools."""
    base = model_of("base_model", settings.base_model, given.base_model, settings, warehouse, given)
    if settings.sub_model is None and given.sub_model is None:
        return base, base
    chosen = settings.sub_model or settings.base_model
    return base, model_of("sub_model", chosen, given.sub_model, settings, warehouse, given)


def model_of(
    section: str,
    chosen: ModelSettings,
    chat: BaseChatModel | None,
    settings: Settings,
    warehouse: Warehouse,
    given: Given,
) -> Model:
    from agent.models import open_model

    if chat is not None:
        return Model(chat, type(chat).__name__, chosen.input_price, chosen.output_price)

    def offline() -> BaseChatModel:
        from agent.offline import OfflineModel

        return OfflineModel(tables=warehouse.tables, has_text=settings.data.text is not None)

    return open_model(chosen, offline=offline, secrets=given.secrets, workspace=given.workspace, setting=section)


def prompts_of(settings: Settings, warehouse: Warehouse) -> Any:
    from agent.prompts import AgentPrompts

    return AgentPrompts(
        mode=settings.mode,
        system_prompt=settings.system_prompt,
        tables=warehouse.tables,
        genie=settings.genie.description,
        has_text=settings.data.text is not None,
    )


def built_tools(settings: Settings, home: Path, warehouse: Warehouse, model: Model) -> dict[str, BaseTool]:
    from agent.platforms.local.genie import LocalGenie
    from agent.platforms.local.jobs import JobData, LocalJobs
    from agent.prompts import genie_sql
    from agent.tools import build_tools
    from agent.tools.services import ToolServices

    data = JobData(home, settings.data.sample, settings.data.paths)
    services = ToolServices(
        catalog=warehouse,
        volumes_folder=home / "volumes",
        genie=LocalGenie(warehouse, model.chat, genie_sql, home / "genie"),
        jobs=LocalJobs(settings.jobs_folder, home / "jobs", data),
        genie_name=settings.genie.agent_name,
        genie_description=settings.genie.description,
    )
    return build_tools(services)
