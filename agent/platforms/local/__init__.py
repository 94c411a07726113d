"""The local mode: files below home, code in processes of this machine, data in DuckDB. Nothing to configure."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from agent.home import make_home
from agent.platforms.checkpointer import open_saver
from agent.platforms.models import open_models
from agent.platforms.parts import Given, Parts, Stores, Workbench, Workbenches
from graph.context import RunContext
from graph.errors import InvalidRequest

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.tools import BaseTool

    from agent.artifacts.folder import FolderArtifacts
    from agent.config import Settings
    from agent.data.source import DataSource
    from agent.data.warehouse import Warehouse
    from agent.execution.local import LocalBackend
    from agent.platforms.local.remote_warehouse import RemoteWarehouse
    from agent.principal import Principal
    from agent.records.book import RecordBook


def open_stores(settings: Settings, given: Given, stack: ExitStack) -> Stores:
    from agent.artifacts.values import FolderValues
    from agent.data.question import LongQuestions
    from agent.platforms.local.genie import Conversations
    from agent.records.index import ThreadIndex
    from agent.records.scopes import open_scopes

    records = open_record_store(settings, given, stack)
    saver = stack.enter_context(open_saver(settings, given))
    scopes = stack.enter_context(open_scopes(settings.scopes_path))
    return Stores(
        saver=saver,
        records=records,
        artifacts=open_artifacts(settings, given, stack),
        scopes=scopes,
        index=ThreadIndex(scopes.store),
        questions=LongQuestions(settings.home / "questions"),
        values=FolderValues(settings.values_path),
        keepers=(Conversations(settings.home.absolute() / "genie"),),
    )


def open_record_store(settings: Settings, given: Given, stack: ExitStack) -> RecordBook:
    from agent.records.sqlite import open_records

    make_home(settings.home)
    return stack.enter_context(
        open_records(settings.records_path, settings.app_name, settings.tracing.max_payload_chars)
    )


def open_artifacts(settings: Settings, given: Given, stack: ExitStack) -> FolderArtifacts:
    from agent.artifacts.folder import FolderArtifacts

    return FolderArtifacts(settings.artifacts_path)


def open_parts(settings: Settings, given: Given, stack: ExitStack) -> Parts:
    stores = open_stores(settings, given, stack)
    backend = stack.enter_context(open_backend(settings, open_artifacts(settings, given, stack)))
    workbenches = Workbenches(partial(open_workbench, settings, given, stores, backend))
    stack.callback(workbenches.close)
    return Parts(stores, workbenches)


def open_backend(settings: Settings, artifacts: FolderArtifacts) -> LocalBackend:
    from agent.execution import BACKENDS
    from agent.execution.run import RunLimits

    chosen = settings.execution
    if chosen.backend != "local":
        raise InvalidRequest(
            f"execution.backend {chosen.backend} goes with mode databricks: set mode, or leave it out."
        )
    limits = RunLimits(
        seconds=settings.limits.run_seconds,
        memory_bytes=chosen.memory_mb << 20,
        output_bytes=chosen.max_output_bytes,
    )
    backend: LocalBackend = BACKENDS[chosen.backend](artifacts, limits)
    return backend


def open_workbench(
    settings: Settings,
    given: Given,
    stores: Stores,
    backend: LocalBackend,
    principal: Principal,
    source: DataSource,
    stack: ExitStack,
) -> Workbench:
    """The source's warehouse, models and tools bound to it, and prompts that describe it."""
    from agent.artifacts.readings import FolderReadings
    from agent.data.catalogue import catalogue
    from agent.data.text import describe_text, open_text
    from agent.execution.host import Data, Kept, open_host
    from agent.guards import GuardRules, build_guards
    from agent.guards.sql import check_sql
    from agent.models import close_model
    from agent.prompts import AgentPrompts
    from agent.schema import check_schema
    from graph.budget import Ledger

    source.check()
    home = settings.home.absolute()
    rules = sql_rules(settings, source)
    warehouse = open_data(settings, given, principal, source, stack)
    text = open_text(Path(source.text)) if source.text else None
    base, sub = open_models(
        settings, given, principal.workspace or given.workspace, partial(offline_model, warehouse, source)
    )
    for model in (base, sub):
        stack.callback(close_model, model)
    tools = {
        **build_tools_of(settings, home, warehouse, source),
        **{tool.name: tool for tool in given.tools},
    }
    data = Data(
        session=session_of(settings, source, warehouse),
        check_sql=partial(check_sql, rules=rules),
        text=text.paths if text else (),
        catalog=source.catalog or warehouse.catalog,
        schema=source.schema or warehouse.schema,
        opening={"home": str(home), "source": source.to_json()},
        sql_seconds=settings.execution.sql_seconds,
    )
    kept = Kept(stores.artifacts, stores.values, settings.execution.value_mb << 20)
    context = RunContext(
        base_model=base.bind_tools(list(tools.values())),
        sub_model=sub,
        prompts=AgentPrompts(
            mode=settings.mode,
            system_prompt=settings.system_prompt,
            tables=lambda question: catalogue(warehouse.tables(), question, warehouse.aside()),
            genie=settings.genie.description,
            text=describe_text(text) if text else None,
        ),
        tools=tools,
        guards=build_guards(GuardRules(settings.digesting.strict_instruction, rules)),
        backend=backend,
        host=partial(open_host, data, kept),
        artifacts=stores.artifacts,
        records=stores.records.for_request("", "", ""),
        ledger=Ledger(settings.limits),
        check_schema=check_schema,
        recall=FolderReadings(settings.values_path).of,
        limits=settings.limits,
        digesting=settings.digesting,
        memory=settings.memory,
    )
    return Workbench(context, warehouse)


def open_data(
    settings: Settings, given: Given, principal: Principal, source: DataSource, stack: ExitStack
) -> Warehouse | RemoteWarehouse:
    """The SQL warehouse that the settings name, unless people's own files are asked about; else the local one."""
    if is_remote(settings, source):
        from agent.platforms.local.remote_warehouse import RemoteWarehouse
        from agent.workspace.connection import open_client

        client = (principal.workspace or given.workspace or partial(open_client, settings.databricks.profile))()
        return RemoteWarehouse(lambda: client, str(settings.data.warehouse_id), source.catalog, source.schema)
    from agent.data.warehouse import open_warehouse

    home, paths = settings.home.absolute(), [Path(path) for path in source.paths]
    return stack.enter_context(open_warehouse(home, source.sample, paths, given.on_progress))


def is_remote(settings: Settings, source: DataSource) -> bool:
    """Whether SQL goes to a workspace's warehouse: people's own files are asked about here."""
    return settings.data.warehouse_id is not None and not source.paths


def session_of(settings: Settings, source: DataSource, warehouse: Warehouse | RemoteWarehouse) -> Any:
    """Opens a run's own session; a local one with the memory that the settings give it."""
    if is_remote(settings, source):
        return warehouse.session
    return partial(cast(Any, warehouse.session), f"{settings.execution.sql_memory_mb}MiB")


def sql_rules(settings: Settings, source: DataSource) -> Any:
    """What SQL may do: read everything, and write what goes with the run's own in-memory database, or to the scratch
    schema of a workspace.
    """
    from agent.guards.sql import SESSION, SqlRules

    if is_remote(settings, source):
        scratch = settings.execution.scratch_schema
        return SqlRules(dialect="databricks", scratch=(scratch,) if scratch else ())
    return SqlRules(dialect="duckdb", scratch=SESSION)


def offline_model(warehouse: Warehouse | RemoteWarehouse, source: DataSource) -> BaseChatModel:
    from agent.models.offline import OfflineModel

    return OfflineModel(tables=warehouse.tables, has_text=source.text is not None)


def build_tools_of(
    settings: Settings, home: Path, warehouse: Warehouse | RemoteWarehouse, source: DataSource
) -> dict[str, BaseTool]:
    from agent.platforms.local.genie import LocalGenie
    from agent.platforms.local.jobs import JobData, LocalJobs
    from agent.platforms.local.volumes import LocalVolumes
    from agent.prompts import genie_sql
    from agent.tools import build_tools
    from agent.tools.services import ToolServices
    from graph.asking import ask_reader

    data = JobData(home, source.sample, [Path(path) for path in source.paths])
    services = ToolServices(
        catalog=warehouse,
        volumes=LocalVolumes(home / "volumes"),
        genie=LocalGenie(warehouse, ask_reader, genie_sql, home / "genie"),
        jobs=LocalJobs(settings.jobs_folder, home / "jobs", data),
        genie_name=settings.genie.agent_name,
        genie_description=settings.genie.description,
    )
    return build_tools(services)
