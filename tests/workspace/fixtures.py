"""pytest fixtures: one workspace a session, a place of its own for every test.

    from tests.workspace.fixtures import honest, place, target, ws     # in a conftest.py

With DATABRICKS_HOST set `target` is a real workspace, and only tests that need nothing but `target` and `place` run.
"""

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from tests.workspace.contract import violations
from tests.workspace.workspace import LINK_SECONDS, Workspace

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

PREFIX = "standin_test_"
PLACES = tuple(f"place_{number:02}" for number in range(48))
_free = list(PLACES)

# What databricks-connect 16 itself does wrong, as marks for a module that uses it.
SPARK_WARNINGS = (
    pytest.mark.filterwarnings("ignore:distutils Version classes are deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
)


@dataclass(frozen=True)
class Target:
    """The workspace under test, a stand-in or a real one."""

    standin: Workspace | None
    warehouse_id: str

    def client(self, **settings: Any) -> "WorkspaceClient":
        """The SDK's client."""
        if self.standin:
            settings = {"host": self.standin.url, "token": self.standin.token, **settings}
        return _client(**settings)

    def connect(self, **settings: Any) -> Any:
        """databricks-sql-connector's connection."""
        from databricks import sql

        path = f"/sql/1.0/warehouses/{self.warehouse_id}"
        if self.standin:
            where = {
                "server_hostname": "127.0.0.1",
                "access_token": self.standin.token,
                "_connection_uri": f"{self.standin.url}{path}",
                "enable_telemetry": False,
            }
            return sql.connect(http_path=path, **where, **settings)
        config = self.client().config
        host = str(config.host).removeprefix("https://")
        return sql.connect(
            server_hostname=host, http_path=path, credentials_provider=lambda: config.authenticate, **settings
        )

    def spark(self) -> Any:
        """databricks-connect's session."""
        from databricks.connect import DatabricksSession

        if self.standin:
            return DatabricksSession.builder.remote(self.standin.spark_url).getOrCreate()
        return DatabricksSession.builder.serverless().getOrCreate()


@cache
def _client(**settings: Any) -> "WorkspaceClient":
    """One client for the same settings: each keeps its connections open until it is collected."""
    from databricks.sdk import WorkspaceClient

    return WorkspaceClient(**settings)


@dataclass(frozen=True)
class Place:
    """A catalog, a schema in it, a volume and a workspace directory that nobody else uses."""

    catalog: str
    schema: str
    volume: str
    directory: str

    def table(self, name: str) -> str:
        """A table's full name."""
        return f"{self.catalog}.{self.schema}.{name}"


@pytest.fixture(scope="session")
def target() -> Iterator[Target]:
    """The workspace of this session: real when DATABRICKS_HOST is set."""
    if os.environ.get("DATABRICKS_HOST"):
        yield Target(None, os.environ["DATABRICKS_WAREHOUSE_ID"])
        return
    with Workspace.start(catalogs=("main", "samples", *PLACES)) as standin:
        yield Target(standin, standin.warehouse_id)


@pytest.fixture
def ws(target: Target) -> Iterator[Workspace]:
    """The stand-in itself, for tests that script it; they are skipped on a real workspace."""
    if target.standin is None:
        pytest.skip("needs the stand-in workspace")
    yield target.standin
    target.standin.faults.clear()
    target.standin.serving.reset()
    target.standin.genie.reset()
    target.standin.jobs.reset()
    target.standin.link_seconds = LINK_SECONDS


@pytest.fixture(autouse=True)
def honest(target: Target) -> Iterator[None]:
    """Fails the test that asks an unknown route, or that gets an answer which Databricks would not give."""
    if target.standin is None:
        yield
        return
    before = len(target.standin.exchanges)
    yield
    found = [line for exchange in target.standin.exchanges[before:] for line in violations(exchange)]
    assert not found, "\n".join(found)


@pytest.fixture
def place(target: Target) -> Iterator[Place]:
    """A place of one's own, removed afterwards. On a real workspace its catalog is DATABRICKS_TEST_CATALOG (main)."""
    client, name = target.client(), f"{PREFIX}{uuid.uuid4().hex[:8]}"
    catalog = _free.pop() if target.standin else os.environ.get("DATABRICKS_TEST_CATALOG", "main")
    directory = f"/Users/{client.current_user.me().user_name}/{name}"
    client.schemas.create(name=name, catalog_name=catalog)
    try:
        volume = _make(client, catalog, name, directory)
        yield Place(catalog, name, volume, directory)
    finally:
        _remove(client, catalog, name, directory)
        if target.standin:
            _free.append(catalog)


def _make(client: "WorkspaceClient", catalog: str, schema: str, directory: str) -> str:
    from databricks.sdk.service.catalog import VolumeType

    client.volumes.create(catalog_name=catalog, schema_name=schema, name="files", volume_type=VolumeType.MANAGED)
    client.workspace.mkdirs(directory)
    return f"/Volumes/{catalog}/{schema}/files"


def _remove(client: "WorkspaceClient", catalog: str, schema: str, directory: str) -> None:
    client.schemas.delete(f"{catalog}.{schema}", force=True)
    client.workspace.delete(directory, recursive=True)
