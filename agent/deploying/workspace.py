"""The table of resources applied to a workspace by the SDK: made, changed, looked at, removed."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from agent.deploying.grants import grants, permissions
from agent.deploying.resources import AGENT, DEPLOYED, EXECUTOR, JOBS, MODEL, ORCHESTRATOR, Place, Resource, resources
from agent.deploying.settings import deployed_settings
from agent.workspace.refusals import named
from graph.errors import AgentError, InvalidRequest

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

    from agent.config import Settings

ROOT = Path(__file__).parents[2]
PATIENCE = 1800.0
"""Seconds that an endpoint may take to load a version: it installs everything."""
SECRETS = ("serving-client-id", "serving-client-secret")
UNKNOWN = "0"


class DeployFailed(AgentError):
    """The workspace refused a step; what was made before stays, and deploying again goes on."""


def step(what: str, setting: str) -> AbstractContextManager[None]:
    return named(DeployFailed, what, setting)


@dataclass(frozen=True)
class Found:
    """A resource and what there is of it; `id` is None when it is not there."""

    kind: str
    name: str
    id: str | None
    about: str = ""


@dataclass
class Deployment:
    """`say` is told each step."""

    client: WorkspaceClient
    values: Mapping[str, str]
    settings: Settings
    say: Callable[[str], None] = lambda line: None
    root: Path = ROOT

    @property
    def folder(self) -> str:
        """The notebooks: in the deployer's own folder, where nobody else writes."""
        with step("Who is signed in", "the credentials"):
            return f"/Users/{self.client.current_user.me().user_name}/.rlm/{self.values['name']}"

    @property
    def volume(self) -> str:
        """What is deployed, which generated code may read and not change."""
        return f"/Volumes/{self.values['catalog']}/{self.values['schema']}/{DEPLOYED}"

    @property
    def model(self) -> str:
        return f"{self.values['catalog']}.{self.values['schema']}.{MODEL}"

    def place(self, wheel: str = "") -> Place:
        ids = {name: self.find_job(name) for name in (EXECUTOR, ORCHESTRATOR)}
        return Place(
            notebooks=f"{self.folder}/{{name}}",
            wheel=wheel,
            config=f"{self.volume}/{self.values['name']}.yaml",
            executor_id=str(ids[EXECUTOR] or UNKNOWN),
            orchestrator_id=str(ids[ORCHESTRATOR] or UNKNOWN),
            host=str(self.client.config.host),
        )

    def deploy(self, wheel: Path, grant: bool = False, force_update_secrets: bool = False) -> None:
        """Raises DeployFailed; without the endpoint's secrets all but the endpoint is made, and that is said."""
        with_secrets = self.check()
        self.make_storage()
        if grant:
            self.grant()
        self.make_jobs(self.upload(wheel))
        self.keep_ids(force_update_secrets)
        self.write_settings()
        if with_secrets:
            self.serve(self.register())

    def check(self) -> bool:
        """Whether the endpoint's secrets are there. Raises InvalidRequest for what has to be there before."""
        scope = self.values["secret_scope"]
        for what, setting, look in (
            ("The SQL warehouse", "warehouse_id", self.client.warehouses.get),
            ("The serving endpoint", "llm_endpoint_name", self.client.serving_endpoints.get),
            ("The catalog", "catalog", self.client.catalogs.get),
        ):
            with step(f"{what} {self.values[setting]}", f"--var {setting}"):
                look(self.values[setting])
        with step(f"The secret scope {scope}", "--var secret_scope"):
            scopes = [one.name for one in self.client.secrets.list_scopes()]
            keys = {one.key for one in self.client.secrets.list_secrets(scope)} if scope in scopes else set()
        missing = [key for key in SECRETS if key not in keys]
        if missing:
            self.say(
                f"no endpoint yet: the scope {scope} lacks {' and '.join(missing)}, by which it signs in as "
                f"{self.values['serving_principal']}; put them there and deploy again"
            )
        return not missing

    # what keeps files and keys

    def make_storage(self) -> None:
        from databricks.sdk.service.catalog import VolumeType

        table = resources(self.values, self.place())
        for one in table["schemas"].values():
            self.make(
                "schema",
                f"{one['catalog_name']}.{one['name']}",
                self.client.schemas.get,
                self.client.schemas.create,
                one,
            )
        for one in table["volumes"].values():
            name = f"{one['catalog_name']}.{one['schema_name']}.{one['name']}"
            settings = {**one, "volume_type": VolumeType(one["volume_type"])}
            self.make("Volume", name, self.client.volumes.read, self.client.volumes.create, settings)
        for one in table["secret_scopes"].values():
            self.make_scope(one)

    def make(
        self, kind: str, name: str, look: Callable[[str], Any], create: Callable[..., Any], settings: Resource
    ) -> None:
        from databricks.sdk.errors import NotFound

        with step(f"The {kind} {name}", "the variables"):
            try:
                look(name)
            except NotFound:
                create(**settings)
                self.say(f"made {kind} {name}")

    def make_scope(self, scope: Resource) -> None:
        from databricks.sdk.service.workspace import AclPermission

        secrets, name = self.client.secrets, scope["name"]
        with step(f"The secret scope {name}", "--var secret_scope"):
            if name not in [one.name for one in secrets.list_scopes()]:
                secrets.create_scope(name)
                self.say(f"made secret scope {name}")
            for one in scope["permissions"]:
                secrets.put_acl(name, one["service_principal_name"], AclPermission(one["level"]))

    def grant(self) -> None:
        """What the three principals may do, run as who deploys."""
        from agent.workspace.statements import Statements

        warehouse = Statements(lambda: self.client, self.values["warehouse_id"])
        for statement in grants(self.values):
            with step(f"The statement {statement}", "who deploys"):
                warehouse.run(statement)
        for one in permissions(self.values):
            with step(f"The permission {one}", "who deploys"):
                name = self.client.serving_endpoints.get(one.name).id if one.kind == "serving-endpoints" else one.name
                acl = [{"service_principal_name": one.principal, "permission_level": one.level}]
                self.permit(one.kind, str(name or one.name), acl)
        self.say("gave the three principals their grants")

    # the jobs

    def upload(self, wheel: Path) -> str:
        """The wheel in the Volume, in a folder named by what is in it: no environment keeps an older one."""
        from databricks.sdk.service.workspace import ImportFormat, Language

        data = wheel.read_bytes()
        path = f"{self.volume}/{sha256(data).hexdigest()[:12]}/{wheel.name}"
        with step(f"The file {path}", "--var volume"):
            self.client.files.upload(path, io.BytesIO(data), overwrite=True)
        with step(f"The folder {self.folder}", "who deploys"):
            self.client.workspace.mkdirs(self.folder)
            for name in JOBS:
                source = (self.root / "notebooks" / f"{name}.py").read_bytes()
                self.client.workspace.import_(
                    f"{self.folder}/{name}",
                    content=base64.b64encode(source).decode(),
                    format=ImportFormat.SOURCE,
                    language=Language.PYTHON,
                    overwrite=True,
                )
        self.say(f"uploaded {path} and the notebooks to {self.folder}")
        return path

    def make_jobs(self, wheel: str) -> None:
        from databricks.sdk.service.jobs import JobSettings

        for name in JOBS:
            given = dict(resources(self.values, self.place(wheel))["jobs"][name])
            given["access_control_list"] = [as_acl(one) for one in given.pop("permissions", [])]
            with step(f"The job {given['name']}", "the principals: may you run jobs as them?"):
                known = self.find_job(name)
                if known is None:
                    acl = given.pop("access_control_list")
                    settings = JobSettings.from_dict(given).as_shallow_dict()
                    made = self.client.jobs.create(**settings)
                    known = int(made.job_id or 0)
                    self.say(f"made job {given['name']} ({known})")
                else:
                    acl = given.pop("access_control_list")
                    self.client.jobs.reset(known, JobSettings.from_dict(given))
                    self.say(f"changed job {given['name']} ({known})")
                self.permit("jobs", str(known), acl)

    def permit(self, kind: str, name: str, acl: list[dict[str, str]]) -> None:
        from databricks.sdk.service.iam import AccessControlRequest

        if acl:
            self.client.permissions.update(
                kind, name, access_control_list=[AccessControlRequest.from_dict(one) for one in acl]
            )

    def find_job(self, name: str) -> int | None:
        """Raises DeployFailed when two jobs have its name."""
        full = f"{self.values['name']} {name}"
        with step(f"The job {full}", "who deploys"):
            found = [one.job_id for one in self.client.jobs.list(name=full)]
        if len(found) > 1:
            raise DeployFailed(
                f"There are {len(found)} jobs named {full}: remove those that are not ours, or say another --var name."
            )
        return found[0] if found else None

    def keep_ids(self, force: bool) -> None:
        """The jobs' ids in the secret scope, for those who start them by other means."""
        scope = self.values["secret_scope"]
        with step(f"The secret scope {scope}", "--var secret_scope"):
            there = {one.key for one in self.client.secrets.list_secrets(scope)}
            for name in JOBS:
                if force or f"{name}-job-id" not in there:
                    self.client.secrets.put_secret(scope, f"{name}-job-id", string_value=str(self.find_job(name)))

    def run(self, prompt: str = "") -> int:
        """Start the orchestrator; the run's id. Raises DeployFailed when it is not deployed."""
        job = self.find_job(ORCHESTRATOR)
        if job is None:
            raise DeployFailed(f"There is no job {self.values['name']} {ORCHESTRATOR}: deploy first.")
        with step(f"The job {job}", "who deploys"):
            given = {"ADK_PROMPT": prompt} if prompt else None
            return int(self.client.jobs.run_now(job, notebook_params=given).response.run_id)  # type: ignore[attr-defined]

    def write_settings(self) -> None:
        import yaml

        path = self.place().config
        text = yaml.safe_dump(self.agent_settings(), sort_keys=False)
        with step(f"The file {path}", "--var volume"):
            self.client.files.upload(path, io.BytesIO(text.encode()), overwrite=True)
        self.say(f"wrote {path}")

    def agent_settings(self) -> dict[str, Any]:
        return deployed_settings(self.settings, self.values, self.place().executor_id)

    # the endpoint

    def register(self) -> str:
        """A new version of the model; its number."""
        import mlflow

        from agent.config import load_settings
        from agent.serving.registration import log_agent

        self.registry()
        settings = load_settings(self.agent_settings(), {}, {}).settings
        with step(f"The model {self.model}", "--var catalog and --var schema"):
            mlflow.set_experiment(f"{self.folder}/experiment")
            with mlflow.start_run(run_name="deploy"):
                logged = log_agent(settings, root=self.root, registered_model_name=self.model)
        version = str(logged.registered_model_version)
        self.say(f"registered {self.model} version {version}")
        return version

    def registry(self) -> Any:
        """MLflow's client, which reaches the workspace by the same credentials."""
        import mlflow
        from mlflow import MlflowClient

        profile = self.settings.databricks.profile
        mlflow.set_tracking_uri(f"databricks://{profile}" if profile else "databricks")
        mlflow.set_registry_uri(f"databricks-uc://{profile}" if profile else "databricks-uc")
        return MlflowClient()

    def remove_model(self) -> None:
        """With all its versions; one that is not there is no error."""
        from mlflow.exceptions import MlflowException

        registry = self.registry()
        try:
            for one in registry.search_model_versions(f"name='{self.model}'"):
                registry.delete_model_version(self.model, one.version)
            registry.delete_registered_model(self.model)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
                raise DeployFailed(f"The model {self.model} can't be removed: {error.message}") from error

    def serve(self, version: str) -> None:
        """Have the endpoint load a version. Raises DeployFailed when it can't; the version before goes on answering."""
        from databricks.sdk.errors import NotFound
        from databricks.sdk.service.serving import EndpointCoreConfigInput

        given = resources({**self.values, "model_version": version}, self.place())["model_serving_endpoints"][AGENT]
        config = EndpointCoreConfigInput.from_dict({"name": given["name"], **given["config"]})
        api, name = self.client.serving_endpoints, given["name"]
        with step(f"The endpoint {name}", "--var name"):
            try:
                api.get(name)
            except NotFound:
                api.create(name, config=config)
            else:
                api.update_config(name, served_entities=config.served_entities)
        self.say(f"the endpoint {name} loads version {version}: this takes minutes")
        self.settle(name)
        self.say(f"the endpoint {name} answers with version {version}")

    def settle(self, name: str) -> None:
        until, pause = monotonic() + PATIENCE, 0.5
        while True:
            with step(f"The endpoint {name}", "--var name"):
                seen: Any = self.client.serving_endpoints.get(name)
            state = seen.state.config_update.value
            if state not in ("IN_PROGRESS", "UPDATE_CANCELED"):
                break
            if monotonic() > until:
                raise DeployFailed(
                    f"The endpoint {name} has not loaded its version in {PATIENCE / 60:.0f} minutes: see its logs."
                )
            sleep(pause)
            pause = min(pause * 1.5, 10.0)
        if state == "UPDATE_FAILED" or seen.state.ready.value != "READY":
            entities = seen.pending_config.served_entities if seen.pending_config else []
            said = "; ".join(str(one.state.deployment_state_message) for one in entities if one.state)
            raise DeployFailed(
                f"The endpoint {name} could not load the version, and serves what it served before. {said}"
            )

    def rollback(self) -> None:
        """Serve the version before the one that is served."""
        with step(f"The endpoint {self.values['name']}", "--var name"):
            seen: Any = self.client.serving_endpoints.get(self.values["name"])
            served = int(seen.config.served_entities[0].entity_version)
            versions = sorted(int(one.version) for one in self.registry().search_model_versions(f"name='{self.model}'"))
        before = [version for version in versions if version < served]
        if not before:
            raise InvalidRequest(f"There is no version before {served} of {self.model} to go back to.")
        self.serve(str(before[-1]))

    # looking and removing

    def status(self) -> list[Found]:
        from databricks.sdk.errors import NotFound

        found = [Found("job", f"{self.values['name']} {name}", text_of(self.find_job(name))) for name in JOBS]
        table = resources(self.values, self.place())
        for one in table["schemas"].values():
            found.append(self.look("schema", f"{one['catalog_name']}.{one['name']}", self.client.schemas.get))
        for one in table["volumes"].values():
            name = f"{one['catalog_name']}.{one['schema_name']}.{one['name']}"
            found.append(self.look("Volume", name, self.client.volumes.read))
        scope = self.values["secret_scope"]
        with step(f"The secret scope {scope}", "--var secret_scope"):
            there = scope in [one.name for one in self.client.secrets.list_scopes()]
        found.append(Found("secret scope", scope, scope if there else None))
        with step(f"The endpoint {self.values['name']}", "--var name"):
            try:
                seen: Any = self.client.serving_endpoints.get(self.values["name"])
            except NotFound:
                return [*found, Found("endpoint", self.values["name"], None)]
        entities = seen.config.served_entities if seen.config else []
        about = f"{seen.state.ready.value}, version {', '.join(str(one.entity_version) for one in entities or [])}"
        return [*found, Found("endpoint", self.values["name"], self.values["name"], about)]

    def look(self, kind: str, name: str, read: Callable[[str], Any]) -> Found:
        from databricks.sdk.errors import NotFound

        with step(f"The {kind} {name}", "the variables"):
            try:
                read(name)
            except NotFound:
                return Found(kind, name, None)
        return Found(kind, name, name)

    def destroy(self, purge: bool = False) -> None:
        """The endpoint, the jobs and the notebooks go; with `purge` the model, the scope and both schemas, too."""
        from databricks.sdk.errors import NotFound

        for kind, name, remove in self.removals(purge):
            with step(f"The {kind} {name}", "who deploys"):
                try:
                    remove()
                except NotFound:
                    continue
                self.say(f"removed {kind} {name}")

    def is_ours(self, schema: str, comment: str) -> bool:
        """Whether a deployment made it: what was there before keeps all its tables."""
        from databricks.sdk.errors import NotFound

        with step(f"The schema {schema}", "the variables"):
            try:
                ours = self.client.schemas.get(schema).comment == comment
            except NotFound:
                return False
        if not ours:
            self.say(f"left schema {schema}: it was there before")
        return ours

    def removals(self, purge: bool) -> Iterator[tuple[str, str, Callable[[], Any]]]:
        client, values = self.client, self.values
        yield "endpoint", values["name"], lambda: client.serving_endpoints.delete(values["name"])
        for name in JOBS:
            if (known := self.find_job(name)) is not None:
                yield "job", f"{values['name']} {name}", lambda known=known: client.jobs.delete(known)  # type: ignore[misc]
        yield "folder", self.folder, lambda: client.workspace.delete(self.folder, recursive=True)
        if purge:
            own = f"{values['catalog']}.{values['schema']}"
            if self.look("schema", own, client.schemas.get).id:
                yield "model", self.model, self.remove_model
            for one in reversed(resources(values, self.place())["schemas"].values()):
                full = f"{one['catalog_name']}.{one['name']}"
                if self.is_ours(full, one["comment"]):
                    yield "schema", full, lambda full=full: client.schemas.delete(full, force=True)  # type: ignore[misc]
            yield "secret scope", values["secret_scope"], lambda: client.secrets.delete_scope(values["secret_scope"])


def as_acl(permission: Resource) -> dict[str, str]:
    return {
        "service_principal_name": permission["service_principal_name"],
        "permission_level": permission["level"],
    }


def text_of(number: int | None) -> str | None:
    return None if number is None else str(number)
