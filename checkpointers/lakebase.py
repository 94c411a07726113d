"""Checkpoints in Databricks Lakebase: PostgreSQL whose password is a token that changes every hour."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

from langgraph.checkpoint.serde.base import SerializerProtocol

from checkpointers.errors import StoreUnavailable
from checkpointers.postgres import PostgresSaver
from checkpointers.retention import Retention

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient
    from psycopg import Connection

T = TypeVar("T")
_DATABASE = "databricks_postgres"
_TOKEN_SECONDS = 15 * 60.0


class LakebaseSaver(PostgresSaver):
    """Checkpoints in a Lakebase instance (provisioned) or endpoint (autoscaling).

        with LakebaseSaver(instance_name="agent-state") as saver:
            graph = builder.compile(checkpointer=saver)

    Host, user and tokens come from `workspace_client` (a new one when none is given). A token serves new connections
    for a quarter of an hour, and is replaced at once when the server refuses it.
    """

    # The connection string of a Lakebase saver is its instance's name.
    def __init__(
        self,
        instance_name: str | None = None,
        *,
        autoscaling_endpoint: str | None = None,
        workspace_client: WorkspaceClient | None = None,
        database: str = _DATABASE,
        serde: SerializerProtocol | None = None,
        allowed_types: Iterable[tuple[str, ...]] = (),
        encryption_key: bytes | None = None,
        retention: Retention | None = None,
        segments: bool = False,
        schema: str | None = None,
        pool_size: int = 10,
        timeout: float = 30.0,
        token_seconds: float = _TOKEN_SECONDS,
    ) -> None:
        access = find_lakebase(
            instance_name,
            autoscaling_endpoint=autoscaling_endpoint,
            workspace_client=workspace_client,
            database=database,
            token_seconds=token_seconds,
        )
        super().__init__(
            access.conninfo,
            serde=serde,
            allowed_types=allowed_types,
            encryption_key=encryption_key,
            retention=retention,
            segments=segments,
            schema=schema,
            pool_size=pool_size,
            timeout=timeout,
            connection_class=access.connection_class,
            name=access.label,
        )


@dataclass(frozen=True)
class Access:
    """How to connect: connections of this class log in with a token that is current."""

    conninfo: str
    connection_class: type[Connection[Any]]
    label: str


def find_lakebase(
    instance_name: str | None = None,
    *,
    autoscaling_endpoint: str | None = None,
    workspace_client: WorkspaceClient | None = None,
    database: str = _DATABASE,
    token_seconds: float = _TOKEN_SECONDS,
) -> Access:
    """Where the database is and how to log in, for pools of one's own. Raises StoreUnavailable."""
    if (instance_name is None) == (autoscaling_endpoint is None):
        raise ValueError("give instance_name (provisioned) or autoscaling_endpoint, one of the two")
    if workspace_client is None:
        from databricks.sdk import WorkspaceClient

        workspace_client = WorkspaceClient()
    instance = _Provisioned(workspace_client, instance_name) if instance_name else None
    source = instance or _Autoscaling(workspace_client, str(autoscaling_endpoint))
    host, user = _asked(source.label, lambda: (source.host(), workspace_client.current_user.me().user_name))
    from psycopg.conninfo import make_conninfo

    conninfo = make_conninfo("", dbname=database, user=user, host=host, port=5432, sslmode=_sslmode(host))
    return Access(conninfo, _rotating(Token(source.token, token_seconds)), source.label)


class Token:
    """A token and its age; shared by the threads that open connections."""

    def __init__(self, mint: Callable[[], str], seconds: float) -> None:
        self._mint, self._seconds = mint, seconds
        self._lock = threading.Lock()
        self._token, self._until = "", 0.0

    def get(self) -> str:
        with self._lock:
            if time.monotonic() >= self._until:
                self._token = self._mint()
                self._until = time.monotonic() + self._seconds
            return self._token

    def refused(self, token: str) -> None:
        """The server didn't take it: the next `get` asks for another, unless someone did already."""
        with self._lock:
            if token == self._token:
                self._until = 0.0


class _Provisioned:
    def __init__(self, client: WorkspaceClient, name: str) -> None:
        self._client, self._name = client, name
        self.label = f"Lakebase instance {name}"

    def host(self) -> str | None:
        return self._client.database.get_database_instance(self._name).read_write_dns

    def token(self) -> str:
        credential = _asked(
            self.label,
            lambda: self._client.database.generate_database_credential(
                request_id=str(uuid.uuid4()), instance_names=[self._name]
            ),
        )
        return credential.token or ""


class _Autoscaling:
    def __init__(self, client: WorkspaceClient, endpoint: str) -> None:
        self._client, self._endpoint = client, endpoint
        self.label = f"Lakebase endpoint {endpoint}"

    def host(self) -> str | None:
        status = self._client.postgres.get_endpoint(name=self._endpoint).status
        return status.hosts.host if status and status.hosts else None

    def token(self) -> str:
        endpoint = self._endpoint
        credential = _asked(self.label, lambda: self._client.postgres.generate_database_credential(endpoint=endpoint))
        return credential.token or ""


def _asked(label: str, question: Callable[[], T]) -> T:
    from databricks.sdk.errors.base import DatabricksError

    try:
        return question()
    except (DatabricksError, ValueError, OSError, TimeoutError) as error:
        raise StoreUnavailable(label, f"the workspace says: {error}") from error


def _sslmode(host: str | None) -> str:
    """TLS always, except on a unix socket, which has none."""
    return "prefer" if host and host.startswith("/") else "require"


def _rotating(token: Token) -> type[Connection[Any]]:
    from psycopg import Connection, OperationalError

    class RotatingConnection(Connection[Any]):
        """Each new connection logs in with the current token; a refused one is replaced and tried once more."""

        @classmethod
        def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
            password = token.get()
            try:
                return super().connect(conninfo, **{**kwargs, "password": password})
            except OperationalError:
                token.refused(password)
                return super().connect(conninfo, **{**kwargs, "password": token.get()})

    return RotatingConnection
