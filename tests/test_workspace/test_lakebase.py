"""Lakebase: lookups and credentials with databricks-sdk, and the savers and stores that live on them."""

import asyncio
import contextlib
import socket
import subprocess
import time
import uuid
import warnings
from pathlib import Path

import psycopg
import pytest
from databricks.sdk.errors import NotFound
from langgraph.checkpoint.base import empty_checkpoint

from tests.workspace.fixtures import Target
from tests.workspace.lakebase import BRANCH, ENDPOINT, INSTANCE, PROJECT
from tests.workspace.postgres import Postgres, Tls, binaries, debian_binaries
from tests.workspace.workspace import Workspace

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # pydantic's, of a dependency
    from databricks_langchain import AsyncCheckpointSaver, CheckpointSaver, DatabricksStore

pytestmark = [
    pytest.mark.workspace,
    pytest.mark.skipif(binaries() is None, reason="no PostgreSQL binaries"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def connect(ws: Workspace, user: str, token: str) -> psycopg.Connection:
    return psycopg.connect(ws.lakebase.postgres.dsn(user=user, password=token))


def test_a_provisioned_instance_and_its_credential(ws: Workspace, target: Target) -> None:
    api = target.client().database
    instance = api.get_database_instance(INSTANCE)
    assert instance.state.value == "AVAILABLE"
    assert [known.name for known in api.list_database_instances()] == [INSTANCE]
    token = api.generate_database_credential(request_id="r", instance_names=[INSTANCE]).token
    with connect(ws, ws.user, token) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (ws.user,)
    with pytest.raises(NotFound):
        api.get_database_instance("another")


def test_an_autoscaling_endpoint_and_its_credential(ws: Workspace, target: Target) -> None:
    api = target.client().postgres
    assert [known.name for known in api.list_projects()] == [f"projects/{PROJECT}"]
    branch = f"projects/{PROJECT}/branches/{BRANCH}"
    assert [known.name for known in api.list_branches(f"projects/{PROJECT}")] == [branch]
    assert [known.name for known in api.list_endpoints(branch)] == [ENDPOINT]
    assert api.get_endpoint(ENDPOINT).status.hosts.host == ws.lakebase.host
    token = api.generate_database_credential(endpoint=ENDPOINT).token
    connect(ws, ws.user, token).close()


def test_old_and_new_credentials_hold_until_they_expire(ws: Workspace, target: Target) -> None:
    api = target.client().database
    first, second = (
        api.generate_database_credential(request_id=str(number), instance_names=[INSTANCE]).token for number in range(2)
    )
    for token in (first, second):
        connect(ws, ws.user, token).close()
    with pytest.raises(psycopg.OperationalError):
        connect(ws, "somebody@example.com", first)


def test_a_credential_expires_by_the_clock(ws: Workspace, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ws.lakebase, "lifetime", 1.0)
    token = target.client().postgres.generate_database_credential(endpoint=ENDPOINT).token
    with connect(ws, ws.user, token) as open_before:
        time.sleep(1.1)
        with pytest.raises(psycopg.OperationalError):
            connect(ws, ws.user, token)
        assert open_before.execute("SELECT 1").fetchone() == (1,)


def config(thread: str) -> dict[str, dict[str, str]]:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}


@pytest.mark.parametrize("where", [{"instance_name": INSTANCE}, {"autoscaling_endpoint": ENDPOINT}])
def test_the_saver_survives_a_token_rotation(ws: Workspace, target: Target, where: dict[str, str]) -> None:
    thread, checkpoint = uuid.uuid4().hex, empty_checkpoint()
    with CheckpointSaver(workspace_client=target.client(), token_cache_duration_seconds=0, **where) as saver:
        saver.setup()
        saver.put(config(thread), checkpoint, {"step": 1}, {})
        minted = ws.journal.count("credential_minted")
        ws.lakebase.expire()
        with pytest.raises(psycopg.OperationalError):
            saver.get_tuple(config(thread))
        assert after_the_dead_ones(saver, thread) == checkpoint["id"]
        assert ws.journal.count("credential_minted") > minted


def after_the_dead_ones(saver: CheckpointSaver, thread: str) -> str:
    """The pool hands out its cut connections one by one before it opens a new one."""
    for _ in range(20):
        with contextlib.suppress(psycopg.OperationalError):
            return saver.get_tuple(config(thread)).checkpoint["id"]
    raise AssertionError("the pool did not recover")


async def rotate(ws: Workspace, target: Target) -> str:
    thread, checkpoint = uuid.uuid4().hex, empty_checkpoint()
    async with AsyncCheckpointSaver(
        workspace_client=target.client(), instance_name=INSTANCE, token_cache_duration_seconds=0
    ) as saver:
        await saver.setup()
        await saver.aput(config(thread), checkpoint, {"step": 1}, {})
        ws.lakebase.expire(disconnect=False)
        found = await saver.aget_tuple(config(thread))
    async with AsyncCheckpointSaver(workspace_client=target.client(), instance_name=INSTANCE) as saver:
        again = await saver.aget_tuple(config(thread))
    assert found is not None
    assert again is not None
    assert found.checkpoint["id"] == again.checkpoint["id"] == checkpoint["id"]
    return thread


def test_the_async_saver_survives_a_token_rotation(ws: Workspace, target: Target) -> None:
    before = ws.journal.count("credential_minted")
    assert asyncio.run(rotate(ws, target))
    assert ws.journal.count("credential_minted") > before


def test_the_store_survives_a_token_rotation(ws: Workspace, target: Target) -> None:
    namespace = ("user", uuid.uuid4().hex)
    store = DatabricksStore(workspace_client=target.client(), instance_name=INSTANCE)
    store.setup()
    store.put(namespace, "colour", {"is": "blue"})
    ws.lakebase.expire(disconnect=False)
    fresh = DatabricksStore(workspace_client=target.client(), instance_name=INSTANCE)
    assert fresh.get(namespace, "colour").value == {"is": "blue"}


@pytest.mark.skipif(debian_binaries() is None, reason="Debian's PostgreSQL (built with TLS) is not installed")
def test_tls_as_lakebase_requires_it(tmp_path: Path, free_port: int) -> None:
    tls = Tls(tmp_path / "server.crt", tmp_path / "server.key")
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*make, "-keyout", str(tls.key), "-out", str(tls.certificate)], check=True, capture_output=True)
    with Postgres(tcp_port=free_port, bin_dir=debian_binaries(), tls=tls) as pg:
        pg.create_role("me", "secret")
        with psycopg.connect(pg.dsn(user="me", password="secret", host="127.0.0.1", sslmode="require")) as connection:
            assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (True,)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(pg.dsn(user="me", password="secret", host="127.0.0.1", sslmode="disable"))


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
