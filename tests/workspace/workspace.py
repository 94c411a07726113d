"""The stand-in workspace.

    with Workspace.start() as ws:
        client = WorkspaceClient(host=ws.url, token=ws.token)

Engines start when they are first used: Sail for SQL and Spark, PostgreSQL for Lakebase, a process for each job task.
"""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, asynccontextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tests.workspace.catalog import Catalog
from tests.workspace.clusters import Clusters
from tests.workspace.faults import Faults
from tests.workspace.front import Connections, Exchange, Front
from tests.workspace.genie import Genie
from tests.workspace.grants import Grants
from tests.workspace.jobs.environment import Environments
from tests.workspace.jobs.store import Jobs
from tests.workspace.journal import Journal
from tests.workspace.lakebase import Lakebase
from tests.workspace.lifeline import Lifeline
from tests.workspace.mlflow_server import MlflowServer
from tests.workspace.objects import Objects
from tests.workspace.principals import Principals
from tests.workspace.routes import attach
from tests.workspace.secrets import Secrets
from tests.workspace.server import Server, application, widen
from tests.workspace.serving import Serving
from tests.workspace.sessions import Sessions, SparkSession
from tests.workspace.tokens import USER, Tokens
from tests.workspace.volumes import Volumes
from tests.workspace.warehouses import Warehouses

if TYPE_CHECKING:
    from tests.workspace.connect import Connect
    from tests.workspace.sail import Sail
    from tests.workspace.sql.access import Access
    from tests.workspace.sql.engine import SqlEngine
    from tests.workspace.sql.statement import Statements
    from tests.workspace.sql.thrift import Operations

WAREHOUSE = "stand-in"
LINK_SECONDS = 900.0


class Workspace(AbstractContextManager["Workspace"]):
    """Everything that a Databricks workspace is, as far as docs/workspace.md says."""

    def __init__(self, *, catalogs: tuple[str, ...] = ("main", "samples"), port: int = 0) -> None:
        started = time.perf_counter()
        self.directory = Path(tempfile.mkdtemp(prefix="workspace-"))
        self._lifeline = Lifeline(directory=self.directory)
        self._lock = threading.RLock()
        self._sail: Sail | None = None
        self._connect: Connect | None = None
        self._engine: SqlEngine | None = None
        self._statements: Statements | None = None
        self._session: SparkSession | None = None
        self.faults = Faults()
        self.exchanges: list[Exchange] = []
        self.listeners: list[Callable[[Exchange], None]] = []
        self.journal = Journal(self.directory / "journal.jsonl")
        self.tokens = Tokens()
        self.user = USER
        self.token = self.tokens.mint(USER).value
        self.principals = Principals(self.tokens, USER)
        self.grants = Grants(self.principals)
        self.warehouses = Warehouses()
        self.warehouse_id = WAREHOUSE
        self.link_seconds = LINK_SECONDS
        self.volumes = Volumes(self.directory / "volumes", self.journal)
        self.objects = Objects(self.directory / "objects", self.journal)
        self.secrets = Secrets(self.journal)
        self.serving = Serving(self)
        self.lakebase = Lakebase(self.journal, self.user)
        self._server = Server(port=port)
        self.url = self._server.url
        self.catalog = Catalog(self, catalogs)
        self.sessions = Sessions(self)
        self.genie = Genie(self)
        self.mlflow = MlflowServer(self.directory / "mlflow")
        self.clusters = Clusters()
        self.environments = Environments(self.directory / "environments", self.file)
        self.jobs = Jobs(self)
        self._serve()
        self.seconds_to_start = time.perf_counter() - started

    @classmethod
    def start(cls, **settings: Any) -> "Workspace":
        """A running workspace."""
        return cls(**settings)

    @property
    def env(self) -> dict[str, str]:
        """The environment that points the client libraries here. It starts no engine: `SPARK_REMOTE` is `spark_url`."""
        return {
            "DATABRICKS_HOST": self.url,
            "DATABRICKS_TOKEN": self.token,
            "DATABRICKS_WAREHOUSE_ID": self.warehouse_id,
            "DATABRICKS_AUTH_TYPE": "pat",
            "DATABRICKS_CONFIG_FILE": str(self.directory / "no-config"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.directory / 'mlflow.db'}",
        }

    def env_for(self, principal: str) -> dict[str, str]:
        """The environment that signs in as somebody else: a service principal by OAuth, a user by a token."""
        known = self.principals.get(principal)
        env = {
            name: value for name, value in self.env.items() if name not in ("DATABRICKS_TOKEN", "DATABRICKS_AUTH_TYPE")
        }
        if known.kind == "service_principal":
            return {**env, "DATABRICKS_CLIENT_ID": known.name, "DATABRICKS_CLIENT_SECRET": known.secret}
        return {**env, "DATABRICKS_TOKEN": self.token_for(principal)}

    def token_for(self, principal: str) -> str:
        """A new personal token of somebody's."""
        return self.tokens.mint(principal).value

    @property
    def sail(self) -> "Sail":
        """The engine; it starts on the first use."""
        from tests.workspace.sail import Sail

        with self._lock:
            if self._sail is None:
                self._sail = Sail(self.directory, self.catalog.names)
            return self._sail

    @property
    def spark_url(self) -> str:
        """Where databricks-connect connects: one session of the user's, a new one when it was stopped."""
        with self._lock:
            if self._session is None or self._session.released:
                self._session = self.sessions.open(self.user)
            return self.spark_address(self._session)

    def spark_address(self, session: "SparkSession") -> str:
        """Where databricks-connect finds a session (starts the engine)."""
        from tests.workspace.connect import Connect

        with self._lock:
            if self._connect is None:
                self._connect = Connect(lambda: self.sail, self.engine, self.sessions)
        return f"sc://127.0.0.1:{self._connect.port}/;session_id={session.id}"

    @property
    def engine(self) -> "SqlEngine":
        """SQL as a warehouse runs it."""
        from tests.workspace.sql.engine import SqlEngine

        with self._lock:
            if self._engine is None:
                scratch = self.directory / "scratch"
                scratch.mkdir()
                self._engine = SqlEngine(lambda: self.sail, self._access, self.sessions.shaped, scratch)
            return self._engine

    @cached_property
    def _access(self) -> "Access":
        from tests.workspace.sql.access import Access

        return Access(self.grants, self.sessions.knows)

    @property
    def statements(self) -> "Statements":
        """All statements."""
        from tests.workspace.sql.statement import Statements

        with self._lock:
            if self._statements is None:
                self._statements = Statements(self.engine, self.journal)
            return self._statements

    @cached_property
    def thrift(self) -> "Operations":
        """What the Thrift endpoint remembers."""
        from tests.workspace.sql.thrift import Operations

        return Operations()

    def file(self, path: str) -> Path:
        """Where a file of a volume or of the workspace lies."""
        return self.volumes.find(path) if path.startswith("/Volumes/") else Path(self.objects.place(path))

    def may_use_volume(self, principal: str, privilege: str, full: str) -> bool:
        """Whether a volume may be read or written, with USE on what is above it."""
        return self.may(principal, privilege, "VOLUME", full)

    def may(self, principal: str, privilege: str, kind: str, full: str) -> bool:
        """Whether something of Unity Catalog may be used, with USE on what is above it."""
        from tests.workspace.sql.access import Need

        need = Need(privilege, kind, full)
        return all(self._access.holds(principal, single) for single in need.whole())

    @property
    def has_engine(self) -> bool:
        """Whether Sail runs."""
        return self._sail is not None

    def restart_sail(self) -> None:
        """Start the engine again on the same port, with the catalogs of now."""
        from tests.workspace.sail import Sail

        with self._lock:
            if self._sail is None:
                return
            port = self._sail.port
            self._sail.stop()
            self._sail = Sail(self.directory, self.catalog.names, port=port)

    def stop(self) -> None:
        """Stop every engine and process, and remove every file."""
        self.jobs.stop()
        if self._statements:
            self._statements.cancel_all()
        self.serving.stop()
        self._server.stop()
        self.mlflow.stop()
        self.lakebase.stop()
        if self._connect:
            self._connect.stop()
        if self._sail:
            self._sail.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
        self._lifeline.release()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _serve(self) -> None:
        app = application()
        app.state.workspace = self

        @asynccontextmanager
        async def lifespan(_: Any) -> Any:
            await widen()
            yield

        app.router.lifespan_context = lifespan
        attach(app)
        self.app = app
        connections = Connections()
        self._server.start(Front(app, self.faults, connections, self._see), connections)

    def _see(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        for listener in self.listeners:
            listener(exchange)
