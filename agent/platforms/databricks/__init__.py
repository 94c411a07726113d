"""The databricks mode: code in a job of the workspace, data in Unity Catalog, what it leaves in a Volume, threads and
records in Lakebase. Nothing that has to last is on the machine itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from agent.platforms.checkpointer import name_lakebase, open_saver
from agent.platforms.models import open_models
from agent.platforms.parts import Given, Parts, Stores, Workbench, Workbenches
from graph.context import ReadingAllowance, RunContext
from graph.errors import BudgetExceeded, InvalidRequest

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient
    from langchain_core.language_models import BaseChatModel
    from langchain_core.tools import BaseTool

    from agent.artifacts.volume import VolumeArtifacts
    from agent.config import Settings
    from agent.data.source import DataSource
    from agent.execution.databricks_job import Compute
    from agent.principal import Principal
    from agent.records.book import RecordBook
    from agent.records.scopes import Scopes
    from agent.tools.services import Catalog
    from graph.context import ExecutionBackend

Client = Callable[[], "WorkspaceClient"]


def open_stores(settings: Settings, given: Given, stack: ExitStack) -> Stores:
    from agent.artifacts.values import FolderValues
    from agent.data.question import LongQuestions
    from agent.records.index import ThreadIndex

    given = sign_in(settings, given)
    records, scopes = open_records(settings, given, stack)
    return Stores(
        saver=stack.enter_context(open_saver(settings, given)),
        records=records,
        artifacts=open_artifacts(settings, given, stack),
        scopes=scopes,
        index=ThreadIndex(scopes.store),
        questions=LongQuestions(settings.home / "questions"),
        values=FolderValues(settings.values_path),
        place=f"{client_of(given)().config.host}{settings.databricks.volume}",
    )


def open_artifacts(settings: Settings, given: Given, stack: ExitStack) -> VolumeArtifacts:
    from agent.artifacts.volume import VolumeArtifacts
    from agent.workspace.files import VolumeFiles, check_volume

    root = check_volume(settings.databricks.volume)
    return VolumeArtifacts(VolumeFiles(client_of(sign_in(settings, given)), f"{root}/artifacts"))


def open_records(settings: Settings, given: Given, stack: ExitStack) -> tuple[RecordBook, Scopes]:
    """Beside the checkpoints, where every replica sees them; in files below home when the checkpoints are there."""
    app_name, most = settings.app_name, settings.tracing.max_payload_chars
    if settings.checkpointer.kind not in ("lakebase", "postgres"):
        from agent.home import make_home
        from agent.records.scopes import open_scopes
        from agent.records.sqlite import open_records as open_file

        make_home(settings.home)
        records = stack.enter_context(open_file(settings.records_path, app_name, most))
        return records, stack.enter_context(open_scopes(settings.scopes_path))
    from agent.records.postgres import Place, open_postgres_records

    if settings.checkpointer.kind == "postgres":
        place = Place(given.secrets(settings.checkpointer.dsn_env or "") or "", None, "PostgreSQL")
    else:
        from checkpointers.lakebase import find_lakebase

        access = find_lakebase(**name_lakebase(settings), workspace_client=client_of(given)())
        place = Place(access.conninfo, access.connection_class, access.label)
    return stack.enter_context(open_postgres_records(place, app_name, most))


def open_parts(settings: Settings, given: Given, stack: ExitStack) -> Parts:
    given = sign_in(settings, given)
    stores = open_stores(settings, given, stack)
    workbenches = Workbenches(partial(open_workbench, settings, given, stores))
    stack.callback(workbenches.close)
    return Parts(stores, workbenches)


def open_workbench(
    settings: Settings, given: Given, stores: Stores, principal: Principal, source: DataSource, stack: ExitStack
) -> Workbench:
    """What one principal's turns over one place in the catalog work with; as the principal where it has a client."""
    from agent.data.catalogue import catalogue
    from agent.guards import GuardRules, build_guards
    from agent.guards.sql import SqlRules
    from agent.models import close_model
    from agent.prompts import AgentPrompts
    from agent.schema import check_schema
    from agent.workspace.statements import Statements
    from graph.budget import Ledger

    if source.paths:
        raise InvalidRequest("data.paths are files of this machine: in databricks mode name tables by data.catalog.")
    client = of_principal(principal, given)
    warehouse = settings.data.warehouse_id
    statements = Statements(client, warehouse) if warehouse else None
    catalog = open_catalog(statements, source)
    base, sub = open_models(settings, given, client, partial(offline_model, catalog))
    for model in (base, sub):
        stack.callback(close_model, model)
    tools = {
        **build_tools_of(settings, stores, client, catalog),
        **{tool.name: tool for tool in given.tools},
    }
    scratch = settings.execution.scratch_schema
    rules = SqlRules(dialect="databricks", scratch=("temp", *([scratch] if scratch else [])))
    text = place_text(settings, client, source.text)
    context = RunContext(
        base_model=replace(base, chat=base.chat.bind_tools(list(tools.values()))),  # type: ignore[attr-defined]
        sub_model=sub,
        prompts=AgentPrompts(
            mode=settings.mode,
            system_prompt=settings.system_prompt,
            tables=lambda question: catalogue(cast(Any, catalog.tables()), question),
            genie=settings.genie.description if settings.genie.space_id else None,
            text=f"It is of {len(text)} files." if text else None,
            offers=IN_A_JOB,
        ),
        tools=tools,
        guards=build_guards(GuardRules(settings.digesting.strict_instruction, rules)),
        backend=open_backend(settings, stores, client, principal),
        host=lambda ctx, artifact: JobHost(source.catalog, source.schema, text),
        artifacts=stores.artifacts,
        records=stores.records.for_request("", "", ""),
        ledger=Ledger(settings.limits),
        limits=settings.limits,
        digesting=settings.digesting,
        memory=settings.memory,
        check_schema=check_schema,
    )
    return Workbench(context, catalog)


IN_A_JOB = ("execute_sql", "place")
"""Of the names that code finds, those that need nobody to ask: a job can't reach us."""


@dataclass(frozen=True)
class JobHost:
    """Implements graph.context.RunHost for runs that can't reach us: they are told what they need before they start."""

    catalog: str | None
    schema: str | None
    text: tuple[str, ...] = ()

    @property
    def setup(self) -> dict[str, Any]:
        return {"catalog": self.catalog, "schema": self.schema, "text": list(self.text)}

    @property
    def handlers(self) -> dict[str, Any]:
        return {}

    def allowance(self) -> ReadingAllowance:
        """Nothing: code in a job reads nothing by models yet."""
        raise BudgetExceeded("code in a job of a workspace asks no models")

    def settle(self, report: Mapping[str, Any] | None) -> None:
        """Nothing was spent."""

    def close(self) -> None:
        """Nothing is held."""


def sign_in(settings: Settings, given: Given) -> Given:
    """What was given, with a client that is signed in and keys that may come from the secret scope."""
    from agent.platforms.databricks.secrets import find_secrets

    if given.workspace is None:
        from agent.workspace.connection import open_client

        client = open_client(settings.databricks.profile)
        given = replace(given, workspace=lambda: client)
    return replace(given, secrets=find_secrets(given.secrets, client_of(given), settings.databricks.secret_scope))


def client_of(given: Given) -> Client:
    if given.workspace is None:
        raise InvalidRequest("there is no workspace to sign in to: set DATABRICKS_HOST")
    return given.workspace


def of_principal(principal: Principal, given: Given) -> Client:
    """The principal's own client, made once in the request's thread; else the process's."""
    if principal.workspace is None:
        return client_of(given)
    client = principal.workspace()
    return lambda: client


def open_catalog(statements: Any, source: DataSource) -> Catalog:
    from agent.platforms.databricks.catalog import NoCatalog, UnityCatalog

    if statements is None:
        return NoCatalog()
    return UnityCatalog(lambda: statements, source.catalog, source.schema)


def offline_model(catalog: Catalog) -> BaseChatModel:
    from agent.models.offline import OfflineModel

    chat: BaseChatModel = OfflineModel(tables=catalog.tables, has_text=False)
    return chat


def open_backend(settings: Settings, stores: Stores, client: Client, principal: Principal) -> ExecutionBackend:
    """As the principal where it brings a client: a job would run as its own identity instead, so it is off then."""
    from agent.execution import BACKENDS
    from agent.execution.run import RunLimits
    from agent.platforms.databricks.refused import RefusedBackend

    chosen = settings.execution
    if chosen.backend != "databricks_job":
        raise InvalidRequest("execution.backend local goes with mode local: set data.warehouse_id there.")
    if principal.workspace is not None and chosen.job_id:
        reason = (
            f"code can't be run on behalf of {principal.name}: job {chosen.job_id} (execution.job_id) runs as its own "
            "identity. With execution.notebook instead, each run is the user's own."
        )
        return RefusedBackend(cast("VolumeArtifacts", stores.artifacts), reason)
    limits = RunLimits(seconds=settings.limits.run_seconds, output_bytes=chosen.max_output_bytes)
    backend: ExecutionBackend = BACKENDS["databricks_job"](
        stores.artifacts, limits, stores.saver, client, compute_of(settings)
    )
    return backend


def compute_of(settings: Settings) -> Compute:
    """Raises InvalidRequest when nothing says where code runs."""
    from agent.execution.databricks_job import Compute

    chosen = settings.execution
    if not chosen.job_id and not chosen.notebook:
        raise InvalidRequest(
            "nothing says where code runs: set execution.job_id (the executor's job), or execution.notebook (the "
            "workspace path of notebooks/executor.py)."
        )
    return Compute(
        job_id=number_of("execution.job_id", chosen.job_id),
        notebook=chosen.notebook,
        cluster_id=chosen.cluster_id,
        environment_version=chosen.environment_version,
        wheel=chosen.wheel,
        warehouse_id=settings.data.warehouse_id,
    )


def number_of(name: str, value: str | None) -> int | None:
    if value is not None and not (value.isascii() and value.isdigit()):
        raise InvalidRequest(f"{name} is {value!r}: a job's id is a number.")
    return int(value) if value else None


def place_text(settings: Settings, client: Client, text: str | None) -> tuple[str, ...]:
    """The files of `context` as paths that a job sees: those of this machine are copied to the Volume, once.

    A thread's text that another replica copied is found there.
    """
    if text is None or text.startswith("/Volumes/"):
        return (text,) if text else ()
    from agent.data.text import open_text
    from agent.workspace.files import VolumeFiles, check_volume

    files = VolumeFiles(client, check_volume(settings.databricks.volume))
    folder = f"texts/{sha256(text.encode(errors='surrogatepass')).hexdigest()[:16]}"
    if not Path(text).exists():
        found = tuple(sorted(files.path(f"{folder}/{name}") for name, _ in files.walk(folder)))
        if not found:
            raise InvalidRequest(f"there is no text {text} here, and none was copied to databricks.volume before.")
        return found
    paths = open_text(Path(text)).paths
    return tuple(files.upload(f"{folder}/{number:04d}-{path.name}", path) for number, path in enumerate(paths))


def build_tools_of(settings: Settings, stores: Stores, client: Client, catalog: Catalog) -> dict[str, BaseTool]:
    from agent.platforms.databricks.genie import NoGenie, SpaceGenie
    from agent.platforms.databricks.jobs import WorkspaceJobs
    from agent.platforms.databricks.volumes import SavedFiles
    from agent.tools import build_tools
    from agent.tools.services import ToolServices
    from agent.workspace.files import VolumeFiles, check_volume

    space = settings.genie.space_id
    saved = VolumeFiles(client, f"{check_volume(settings.databricks.volume)}/saved")
    services = ToolServices(
        catalog=catalog,
        volumes=SavedFiles(saved),
        genie=SpaceGenie(client, space, stores.saver) if space else NoGenie(),
        jobs=WorkspaceJobs(client, number_of("databricks_job_id", settings.databricks_job_id), stores.saver),
        genie_name=settings.genie.agent_name,
        genie_description=settings.genie.description,
    )
    return build_tools(services)
