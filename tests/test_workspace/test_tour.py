"""A tour of every route with databricks-sdk: each is answered at least once, and each answer keeps the contract."""

import base64
import io
import time
from collections.abc import Callable

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.catalog import (
    ColumnTypeName,
    CreateFunction,
    CreateFunctionParameterStyle,
    CreateFunctionRoutineBody,
    CreateFunctionSecurityType,
    CreateFunctionSqlDataAccess,
    FunctionParameterInfos,
    PermissionsChange,
    Privilege,
    VolumeType,
)
from databricks.sdk.service.iam import AccessControlRequest, PermissionLevel
from databricks.sdk.service.jobs import JobSettings, NotebookTask, SubmitTask, Task
from databricks.sdk.service.serving import ChatMessage, ChatMessageRole
from databricks.sdk.service.workspace import AclPermission, ImportFormat, Language
from fastapi.routing import APIRoute

from tests.workspace.contract import is_outside
from tests.workspace.fixtures import Place
from tests.workspace.lakebase import BRANCH, ENDPOINT, INSTANCE, PROJECT
from tests.workspace.postgres import binaries
from tests.workspace.routes import SERVICES
from tests.workspace.serving import MODEL
from tests.workspace.workspace import Workspace

pytestmark = [pytest.mark.workspace, pytest.mark.skipif(binaries() is None, reason="no PostgreSQL binaries")]

# Creating, updating, deleting an endpoint and its logs need a registered model: test_deploying.py visits them.
_ELSEWHERE = {
    ("POST", "/api/2.0/serving-endpoints"),
    ("PUT", "/api/2.0/serving-endpoints/{name}/config"),
    ("DELETE", "/api/2.0/serving-endpoints/{name}"),
    ("GET", "/api/2.0/serving-endpoints/{name}/served-models/{entity}/logs"),
}
ROUTES = {
    (method, route.path)
    for service in SERVICES
    for route in service.api.routes
    if isinstance(route, APIRoute)
    for method in route.methods
    if not is_outside(method, route.path.replace("{version}", "2.0").replace("{path:path}", "/x"))
} - _ELSEWHERE


def sql(client: WorkspaceClient, ws: Workspace, place: Place) -> None:
    api = client.statement_execution
    done = api.execute_statement("SELECT 1", ws.warehouse_id)
    given = {"statement": "SELECT 1", "warehouse_id": ws.warehouse_id}
    client.api_client.do("POST", "/api/2.0/sql/statements/", body=given)
    api.get_statement(done.statement_id)
    api.get_statement_result_chunk_n(done.statement_id, 0)
    api.cancel_execution(done.statement_id)
    list(client.warehouses.list())
    client.warehouses.stop(ws.warehouse_id)
    client.warehouses.start(ws.warehouse_id).result()
    client.warehouses.get(ws.warehouse_id)


def files(client: WorkspaceClient, ws: Workspace, place: Place) -> None:
    path = f"{place.volume}/d/f"
    client.files.create_directory(f"{place.volume}/d")
    client.files.upload(path, io.BytesIO(b"x"))
    client.files.get_metadata(path)
    client.api_client.do("GET", f"/api/2.0/fs/files{path}", raw=True)["contents"].read()
    client.files.get_directory_metadata(f"{place.volume}/d")
    list(client.files.list_directory_contents(f"{place.volume}/d"))
    client.files.delete(path)
    client.files.delete_directory(f"{place.volume}/d")


def objects(client: WorkspaceClient, ws: Workspace, place: Place) -> None:
    path, api = f"{place.directory}/note", client.workspace
    content = base64.b64encode(b"print(1)").decode()
    api.import_(path, content=content, format=ImportFormat.SOURCE, language=Language.PYTHON)
    api.export(path)
    api.get_status(path)
    list(api.list(place.directory))
    api.mkdirs(f"{place.directory}/deep")
    api.delete(f"{place.directory}/deep")


def jobs(client: WorkspaceClient, ws: Workspace, place: Place) -> None:
    api, note = client.jobs, NotebookTask(f"{place.directory}/note")
    job = api.create(name=place.schema, tasks=[Task("a", notebook_task=note)])
    api.get(job.job_id)
    list(api.list(expand_tasks=True))
    run = api.run_now(job.job_id)
    api.cancel_run(run.run_id)
    run.result()
    list(api.list_runs(job_id=job.job_id, expand_tasks=True))
    once = api.submit(tasks=[SubmitTask("a", notebook_task=note)], run_name="once").result()
    api.get_run_output(once.tasks[0].run_id)
    api.repair_run(once.run_id, rerun_tasks=["a"])
    api.wait_get_run_job_terminated_or_skipped(once.run_id)
    api.delete_run(once.run_id)
    api.update(job.job_id, new_settings=JobSettings(name="updated"))
    api.reset(job.job_id, JobSettings(name="reset", tasks=[Task("a", notebook_task=note)]))
    permissions(client, str(job.job_id), ws)
    api.delete(job.job_id)


def permissions(client: WorkspaceClient, job_id: str, ws: Workspace) -> None:
    allowed = [AccessControlRequest(user_name=ws.user, permission_level=PermissionLevel.CAN_MANAGE)]
    client.permissions.get("jobs", job_id)
    client.permissions.update("jobs", job_id, access_control_list=allowed)
    client.permissions.set("jobs", job_id, access_control_list=allowed)
    client.permissions.get("warehouses", ws.warehouse_id)
    allowed = [AccessControlRequest(user_name=ws.user, permission_level=PermissionLevel.CAN_USE)]
    client.permissions.update("warehouses", ws.warehouse_id, access_control_list=allowed)


def clusters(client: WorkspaceClient, ws: Workspace, place: Place) -> None:
    api = client.clusters
    made = api.create(spark_version="16.4.x-scala2.12", cluster_name="toured", num_workers=1).cluster_id
    list(api.list())
    api.get(made)
    api.delete(made)
    api.start(made)
    api.permanent_delete(made)


def catalog(client: WorkspaceClient, ws: Workspace, place: Place) -> None:
    schema = f"{place.catalog}.{place.schema}"
    client.catalogs.create("toured")
    client.catalogs.get("toured")
    list(client.catalogs.list())
    client.catalogs.delete("toured", force=True)
    client.schemas.create("toured", place.catalog)
    client.schemas.get(f"{place.catalog}.toured")
    list(client.schemas.list(place.catalog))
    client.schemas.delete(f"{place.catalog}.toured")
    ws.engine.rows(f"CREATE TABLE {schema}.t (id INT, l ARRAY<INT>, s STRUCT<a: INT>, at TIMESTAMP_NTZ)")
    ws.engine.rows(f"CREATE VIEW {schema}.v AS SELECT id FROM {schema}.t")
    assert len(list(client.tables.list(place.catalog, place.schema))) == 2
    client.tables.get(f"{schema}.t")
    client.tables.exists(f"{schema}.t")
    client.tables.delete(f"{schema}.v")
    client.grants.get("schema", schema)
    client.grants.get_effective("table", f"{schema}.t")
    client.grants.update("schema", schema, changes=[PermissionsChange(add=[Privilege.SELECT], principal="users")])
    client.volumes.create(place.catalog, place.schema, "toured", VolumeType.MANAGED)
    client.volumes.read(f"{schema}.toured")
    list(client.volumes.list(place.catalog, place.schema))
    client.volumes.delete(f"{schema}.toured")
    functions(client, place)


def functions(client: WorkspaceClient, place: Place) -> None:
    made = client.functions.create(
        CreateFunction(
            name="one",
            catalog_name=place.catalog,
            schema_name=place.schema,
            input_params=FunctionParameterInfos(parameters=[]),
            data_type=ColumnTypeName.INT,
            full_data_type="int",
            routine_body=CreateFunctionRoutineBody.SQL,
            routine_definition="1",
            parameter_style=CreateFunctionParameterStyle.S,
            is_deterministic=True,
            sql_data_access=CreateFunctionSqlDataAccess.CONTAINS_SQL,
            is_null_call=False,
            security_type=CreateFunctionSecurityType.DEFINER,
            specific_name="one",
        )
    )
    client.functions.get(made.full_name)
    list(client.functions.list(place.catalog, place.schema))
    client.functions.delete(made.full_name)


def secrets(client: WorkspaceClient, ws: Workspace, place: Place) -> None:
    api, scope = client.secrets, place.schema
    api.create_scope(scope)
    api.put_secret(scope, "k", string_value="v")
    api.get_secret(scope, "k")
    list(api.list_secrets(scope))
    list(api.list_scopes())
    api.put_acl(scope, "users", AclPermission.READ)
    api.get_acl(scope, "users")
    list(api.list_acls(scope))
    api.delete_acl(scope, "users")
    api.delete_secret(scope, "k")
    api.delete_scope(scope)


def genie(client: WorkspaceClient, ws: Workspace, place: Place) -> None:
    api, space = client.genie, place.schema
    ws.genie.add_space(space, "Toured", "A space")
    ws.genie.answer(space, "one", sql="SELECT 1 AS one", text="One.", suggestions=("Two?",))
    api.list_spaces()
    api.get_space(space)
    message = api.start_conversation_and_wait(space, "one")
    talk, known = message.conversation_id, message.message_id
    attachment = message.attachments[0].attachment_id
    api.create_message(space, talk, "one")
    api.list_conversations(space)
    api.list_conversation_messages(space, talk)
    api.get_message_query_result(space, talk, known)
    api.get_message_query_result_by_attachment(space, talk, known, attachment)
    api.get_message_attachment_query_result(space, talk, known, attachment)
    api.execute_message_query(space, talk, known)
    api.execute_message_attachment_query(space, talk, known, attachment)
    api.delete_conversation(space, talk)


def lakebase(client: WorkspaceClient, ws: Workspace, place: Place) -> None:
    list(client.database.list_database_instances())
    client.database.get_database_instance(INSTANCE)
    client.database.generate_database_credential(request_id="1", instance_names=[INSTANCE])
    branch = f"projects/{PROJECT}/branches/{BRANCH}"
    list(client.postgres.list_projects())
    client.postgres.get_project(f"projects/{PROJECT}")
    list(client.postgres.list_branches(f"projects/{PROJECT}"))
    client.postgres.get_branch(branch)
    list(client.postgres.list_endpoints(branch))
    client.postgres.get_endpoint(ENDPOINT)
    client.postgres.generate_database_credential(endpoint=ENDPOINT)


def serving(client: WorkspaceClient, ws: Workspace, place: Place) -> None:
    client.current_user.me()
    list(client.serving_endpoints.list())
    client.serving_endpoints.get(MODEL)
    client.serving_endpoints.query(MODEL, messages=[ChatMessage(role=ChatMessageRole.USER, content="hi")])


STOPS: tuple[Callable[[WorkspaceClient, Workspace, Place], None], ...] = (
    sql,
    files,
    objects,
    jobs,
    clusters,
    catalog,
    secrets,
    genie,
    lakebase,
    serving,
)


def test_every_route_is_answered_and_keeps_the_contract(ws: Workspace, place: Place) -> None:
    before = len(ws.exchanges)
    client = WorkspaceClient(host=ws.url, token=ws.token)
    for stop in STOPS:
        stop(client, ws, place)
    deadline = time.monotonic() + 5
    while (missed := ROUTES - answered(ws, before)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not missed


def answered(ws: Workspace, since: int) -> set[tuple[str, str | None]]:
    return {(made.method, made.route) for made in ws.exchanges[since:] if 200 <= made.status < 300}
