"""Who may do what: each refusal here is one that a product with too few grants would meet."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.errors import NotFound, PermissionDenied
from databricks.sdk.service.catalog import PermissionsChange, Privilege, VolumeType
from databricks.sdk.service.iam import AccessControlRequest, PermissionLevel
from databricks.sdk.service.jobs import JobRunAs, NotebookTask, Task
from databricks.sdk.service.serving import ChatMessage, ChatMessageRole
from databricks.sdk.service.workspace import AclPermission

from tests.test_workspace.runs import ended, job, notebook, value
from tests.workspace.fixtures import SPARK_WARNINGS, Place, Target
from tests.workspace.principals import Principal
from tests.workspace.serving import MODEL
from tests.workspace.workspace import Workspace

pytestmark = [pytest.mark.workspace, *SPARK_WARNINGS]


@pytest.fixture
def executor(ws: Workspace, place: Place) -> Principal:
    """A service principal that may do nothing."""
    return ws.principals.add_service_principal(f"executor of {place.schema}")


def as_principal(ws: Workspace, who: Principal) -> WorkspaceClient:
    """The SDK, signed in by OAuth machine to machine."""
    return WorkspaceClient(config=Config(host=ws.url, client_id=who.name, client_secret=who.secret))


@contextmanager
def denied(message: str) -> Iterator[None]:
    with pytest.raises(PermissionDenied, match=message):
        yield


def table(target: Target, place: Place) -> str:
    run(target.client(), target, f"CREATE TABLE {place.table('t')} AS SELECT id FROM range(3)")
    return place.table("t")


def run(client: WorkspaceClient, target: Target, text: str) -> Any:
    done = client.statement_execution.execute_statement(text, target.warehouse_id, wait_timeout="30s")
    return (done.status.state.value, done.status.error and done.status.error.message, done.result)


def reads(ws: Workspace, who: str, place: Place) -> None:
    """What reading a schema needs."""
    ws.grants.allow(who, "CAN_USE", "warehouses", ws.warehouse_id)
    ws.grants.allow(who, "USE CATALOG", "CATALOG", place.catalog)
    ws.grants.allow(who, "USE SCHEMA", "SCHEMA", f"{place.catalog}.{place.schema}")
    ws.grants.allow(who, "SELECT", "SCHEMA", f"{place.catalog}.{place.schema}")


def test_a_warehouse_and_each_level_above_a_table_must_be_granted(
    ws: Workspace, target: Target, place: Place, executor: Principal
) -> None:
    name, client = table(target, place), as_principal(ws, executor)
    with denied("CAN_USE permission on warehouses"):
        run(client, target, "SELECT 1")
    ws.grants.allow(executor.id, "CAN_USE", "warehouses", ws.warehouse_id)
    admin = target.client()
    for missing, grant in (
        ("USE CATALOG", f"GRANT USE CATALOG ON CATALOG {place.catalog}"),
        ("USE SCHEMA", f"GRANT USE SCHEMA ON SCHEMA {place.catalog}.{place.schema}"),
        ("SELECT", f"GRANT SELECT ON TABLE {name}"),
    ):
        state, error, _ = run(client, target, f"SELECT * FROM {name}")
        assert state == "FAILED"
        assert (
            f"INSUFFICIENT_PERMISSIONS] Insufficient privileges: User '{executor.id}' does not have {missing}" in error
        )
        assert run(admin, target, f"{grant} TO `{executor.id}`")[0] == "SUCCEEDED"
    assert run(client, target, f"SELECT * FROM {name}")[0] == "SUCCEEDED"


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO {t} SELECT 9",
        "DELETE FROM {t}",
        "UPDATE {t} SET id = 1",
        "DROP TABLE {t}",
        "CREATE TABLE {s}.other AS SELECT 1 AS a",
        "CREATE SCHEMA {c}.another",
        "GRANT SELECT ON TABLE {t} TO `x`",
        "MERGE INTO {t} USING (SELECT 1 AS id) AS n ON {t}.id = n.id WHEN NOT MATCHED THEN INSERT *",
    ],
)
def test_reading_is_not_writing(ws: Workspace, target: Target, place: Place, executor: Principal, text: str) -> None:
    name = table(target, place)
    reads(ws, executor.id, place)
    whole = text.format(t=name, s=f"{place.catalog}.{place.schema}", c=place.catalog)
    state, error, _ = run(as_principal(ws, executor), target, whole)
    assert state == "FAILED"
    assert "INSUFFICIENT_PERMISSIONS" in error
    assert run(target.client(), target, f"SELECT count(*) FROM {name}")[2].data_array == [["3"]]


def test_who_makes_a_table_owns_it(ws: Workspace, target: Target, place: Place, executor: Principal) -> None:
    reads(ws, executor.id, place)
    ws.grants.allow(executor.id, "CREATE TABLE", "SCHEMA", f"{place.catalog}.{place.schema}")
    client = as_principal(ws, executor)
    for text in ("CREATE TABLE {n} AS SELECT 1 AS a", "INSERT INTO {n} SELECT 2", "DROP TABLE {n}"):
        assert run(client, target, text.format(n=place.table("own")))[0] == "SUCCEEDED"


def test_listings_show_what_may_be_seen(ws: Workspace, target: Target, place: Place, executor: Principal) -> None:
    table(target, place)
    run(target.client(), target, f"CREATE TABLE {place.table('hidden')} AS SELECT 1 AS a")
    reads(ws, executor.id, place)
    schema = f"{place.catalog}.{place.schema}"
    ws.grants.revoke(executor.id, "SELECT", "SCHEMA", schema)
    ws.grants.allow(executor.id, "SELECT", "TABLE", place.table("t"))
    client = as_principal(ws, executor)
    found = run(client, target, f"SELECT table_name FROM {place.catalog}.information_schema.tables")[2]
    assert found.data_array == [["t"]]
    assert [known.name for known in client.tables.list(place.catalog, place.schema)] == ["t"]
    with denied("SELECT"):
        client.tables.get(place.table("hidden"))


def test_a_statement_belongs_to_its_author(ws: Workspace, target: Target, place: Place, executor: Principal) -> None:
    reads(ws, executor.id, place)
    api = target.client().statement_execution
    statement = api.execute_statement("SELECT 1", ws.warehouse_id).statement_id
    stranger = as_principal(ws, executor).statement_execution
    with denied("was not executed by"):
        stranger.get_statement(statement)
    with denied("was not executed by"):
        stranger.cancel_execution(statement)


def test_a_run_has_the_rights_of_its_principal(
    ws: Workspace, target: Target, place: Place, executor: Principal
) -> None:
    name = table(target, place)
    reads(ws, executor.id, place)
    target.client().volumes.create(place.catalog, place.schema, "hidden", VolumeType.MANAGED)
    hidden = f"/Volumes/{place.catalog}/{place.schema}/hidden"
    for volume in (place.volume, hidden):
        target.client().files.upload(f"{volume}/in.txt", io.BytesIO(b"x"))
    cell = f"""
import json
def tried(act):
    try:
        return str(act())
    except Exception as error:
        return type(error).__name__
from databricks.sdk import WorkspaceClient
found = [
    tried(lambda: spark.table('{name}').count()),
    tried(lambda: spark.sql('SELECT current_catalog()').count()),
    tried(lambda: spark.range(1).write.mode('append').saveAsTable('{name}')),
    tried(lambda: spark.sql('DELETE FROM {name}')),
    tried(lambda: spark.read.text('{place.volume}/in.txt').count()),
    tried(lambda: spark.read.text('{hidden}/in.txt').count()),
    tried(lambda: open('{place.volume}/in.txt').read()),
    tried(lambda: open('{place.volume}/out.txt', 'w')),
    tried(lambda: open('{hidden}/in.txt').read()),
    tried(lambda: WorkspaceClient().current_user.me().user_name),
]
dbutils.notebook.exit(json.dumps(found))
"""
    made = job(target, notebook(target, place, "main", cell), run_as=JobRunAs(service_principal_name=executor.id))
    ws.grants.allow(executor.id, "READ VOLUME", "VOLUME", place.volume.removeprefix("/Volumes/").replace("/", "."))
    got = json.loads(value(target, target.client().jobs.run_now(made.job_id).run_id))
    no = "AnalysisException"
    assert got == ["3", "1", no, no, "1", no, "x", "OSError", "FileNotFoundError", executor.id]


def test_jobs_are_seen_run_and_managed_by_level(
    ws: Workspace, target: Target, place: Place, executor: Principal
) -> None:
    made, client = job(target, notebook(target, place, "main", "print(1)")), as_principal(ws, executor)
    with denied("CAN_VIEW permission on job"):
        client.jobs.get(made.job_id)
    assert made.job_id not in {known.job_id for known in client.jobs.list()}
    target.client().permissions.update(
        "jobs",
        str(made.job_id),
        access_control_list=[
            AccessControlRequest(service_principal_name=executor.id, permission_level=PermissionLevel.CAN_MANAGE_RUN)
        ],
    )
    assert client.jobs.get(made.job_id).settings.name == "stand-in test"
    run_id = client.jobs.run_now(made.job_id).run_id
    assert ended(target, run_id).creator_user_name == executor.id
    with denied("CAN_MANAGE permission"):
        client.jobs.delete(made.job_id)


def test_volumes_are_read_and_written_by_grant(
    ws: Workspace, target: Target, place: Place, executor: Principal
) -> None:
    client, file = as_principal(ws, executor), f"{place.volume}/a.txt"
    target.client().files.upload(file, io.BytesIO(b"x"))
    with denied("READ VOLUME"):
        client.files.download(file)
    target.client().grants.update(
        "catalog", place.catalog, changes=[PermissionsChange(add=[Privilege.USE_CATALOG], principal=executor.id)]
    )
    target.client().grants.update(
        "schema",
        f"{place.catalog}.{place.schema}",
        changes=[PermissionsChange(add=[Privilege.USE_SCHEMA, Privilege.READ_VOLUME], principal=executor.id)],
    )
    assert client.files.download(file).contents.read() == b"x"
    with denied("WRITE VOLUME"):
        client.files.upload(f"{place.volume}/b.txt", io.BytesIO(b"y"))
    with pytest.raises(NotFound):
        client.files.download(f"/Volumes/{place.catalog}/{place.schema}/nowhere/x")
    shown = target.client().grants.get("schema", f"{place.catalog}.{place.schema}")
    assert shown.privilege_assignments[0].principal == executor.id


def test_secrets_endpoints_and_spaces_are_granted_one_by_one(
    ws: Workspace, target: Target, place: Place, executor: Principal
) -> None:
    admin, client, scope = target.client(), as_principal(ws, executor), place.schema
    admin.secrets.create_scope(scope)
    admin.secrets.put_secret(scope, "k", string_value="v")
    ws.genie.add_space(scope, "Granted")
    question = [ChatMessage(role=ChatMessageRole.USER, content="hi")]
    with denied("READ permission on scope"):
        client.secrets.get_secret(scope, "k")
    with denied("CAN_QUERY permission on endpoint"):
        client.serving_endpoints.query(MODEL, messages=question)
    with denied("CAN_RUN permission on Genie space"):
        client.genie.start_conversation(scope, "one")
    admin.secrets.put_acl(scope, executor.id, AclPermission.READ)
    ws.grants.allow(executor.id, "CAN_QUERY", "serving-endpoints", MODEL)
    ws.grants.allow(executor.id, "CAN_RUN", "genie", scope)
    assert client.secrets.get_secret(scope, "k").value
    assert client.serving_endpoints.query(MODEL, messages=question).choices
    assert client.genie.start_conversation(scope, "one").message_id
    with denied("WRITE permission on scope"):
        client.secrets.put_secret(scope, "k", string_value="w")
    admin.secrets.delete_scope(scope)


def test_a_token_on_behalf_of_a_user_has_his_rights_within_its_scopes(
    ws: Workspace, target: Target, place: Place
) -> None:
    name, bob = table(target, place), f"{place.schema}@example.com"
    ws.principals.add_user(bob)
    reads(ws, bob, place)
    token = ws.tokens.on_behalf_of(bob, "sql.statement-execution")
    client = WorkspaceClient(config=Config(host=ws.url, token=token.value))
    assert client.current_user.me().user_name == bob
    assert run(client, target, f"SELECT current_user(), count(*) FROM {name}")[2].data_array == [[bob, "3"]]
    assert run(client, target, f"DELETE FROM {name}")[0] == "FAILED"
    with denied("does not have required scopes: dashboards.genie"):
        client.genie.list_spaces()
    with denied("does not have required scopes: jobs"):
        list(client.jobs.list())


def test_nobody_runs_a_job_as_somebody_else(ws: Workspace, target: Target, place: Place, executor: Principal) -> None:
    path = notebook(target, place, "main", "print(1)")
    client = as_principal(ws, executor)
    tasks = [Task("a", notebook_task=NotebookTask(path))]
    with denied("may not set run_as"):
        client.jobs.create(tasks=tasks, run_as=JobRunAs(user_name=ws.user))
    with pytest.raises(Exception, match="does not exist"):
        target.client().jobs.create(tasks=tasks, run_as=JobRunAs(service_principal_name="nobody"))
