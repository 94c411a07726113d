"""Lakebase: PostgreSQL behind credentials that expire, found as a provisioned instance or as a project's endpoint."""

import secrets
import threading
import time
import uuid
from dataclasses import dataclass

from tests.workspace.errors import not_found
from tests.workspace.journal import Journal
from tests.workspace.postgres import Postgres
from tests.workspace.radius import Radius

INSTANCE = "stand-in"
PROJECT = "stand-in"
BRANCH = "production"
ENDPOINT = f"projects/{PROJECT}/branches/{BRANCH}/endpoints/primary"
HOUR = 3600.0


@dataclass(frozen=True)
class Credential:
    """A database password that expires. `expires_at` is a Unix time."""

    token: str
    user: str
    expires_at: float


class Lakebase:
    """One database server with two names. `lifetime` is that of the next credential, in seconds."""

    def __init__(self, journal: Journal, owner: str) -> None:
        self._journal = journal
        self._owner = owner
        self._lock = threading.Lock()
        self._credentials: dict[str, Credential] = {}
        self._postgres: Postgres | None = None
        self._radius: Radius | None = None
        self.uid = str(uuid.uuid4())
        self.lifetime = HOUR

    @property
    def postgres(self) -> Postgres:
        """The server; it starts on the first use."""
        with self._lock:
            if self._postgres is None:
                self._radius = Radius(self.accepts)
                self._postgres = Postgres(access=self._radius.access)
                self._postgres.create_role(self._owner)
            return self._postgres

    @property
    def host(self) -> str:
        """What the lookups give as the host: the directory of a unix socket, which libpq takes for one."""
        return self.postgres.host

    def mint(self, user: str) -> Credential:
        """A new credential for a user, who gets a role; older ones hold until they expire."""
        self.postgres.create_role(user)
        made = Credential(secrets.token_urlsafe(48), user, time.time() + self.lifetime)
        with self._lock:
            self._credentials[made.token] = made
        self._journal.write("credential_minted", user, expires_at=made.expires_at)
        return made

    def accepts(self, user: str, token: str) -> bool:
        """Whether the token is this user's and has not expired: asked at every new connection."""
        credential = self._credentials.get(token)
        return credential is not None and credential.user == user and credential.expires_at > time.time()

    def expire(self, *, disconnect: bool = True) -> None:
        """Every credential expires now; with `disconnect` the connections that they opened are cut as well."""
        with self._lock:
            users = {credential.user for credential in self._credentials.values()}
            self._credentials.clear()
        if disconnect:
            for user in users:
                self.postgres.disconnect(user)

    def instance(self, name: str) -> str:
        """The provisioned instance's name; 404 for any other."""
        if name != INSTANCE:
            raise not_found(f"Database instance '{name}' not found.", "NOT_FOUND")
        return name

    def endpoint(self, name: str) -> str:
        """The autoscaling endpoint's name; 404 for any other."""
        if name != ENDPOINT:
            raise not_found(f"'{name}' not found.", "NOT_FOUND")
        return name

    def stop(self) -> None:
        """Stop the server if it runs."""
        if self._postgres:
            self._postgres.stop()
        if self._radius:
            self._radius.stop()
