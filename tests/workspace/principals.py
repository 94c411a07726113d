"""Who there is: the workspace's own user, who may do everything, and others, who may do what they were granted.

ws.principals.add_user("bob@example.com")
executor = ws.principals.add_service_principal("executor")     # executor.id, executor.secret for OAuth
ws.token_for("bob@example.com"), ws.env_for(executor.id)        # a token; an environment that signs in
"""

import secrets
import uuid
from dataclasses import dataclass, field
from typing import Literal

from tests.workspace.errors import ApiError, bad_request
from tests.workspace.tokens import Tokens

Kind = Literal["user", "service_principal"]
EVERYBODY = ("users", "account users")


@dataclass(frozen=True)
class Principal:
    """Someone who signs in. `name` is what grants and `run_as` say: a user's address, or an application id."""

    name: str
    kind: Kind
    display: str
    secret: str = ""
    groups: tuple[str, ...] = field(default=EVERYBODY)

    @property
    def id(self) -> str:
        """The application id of a service principal, the address of a user."""
        return self.name


class Principals:
    """All of them. The first is the workspace's own user."""

    def __init__(self, tokens: Tokens, admin: str) -> None:
        self._tokens = tokens
        self.admin = admin
        self._known = {admin: Principal(admin, "user", admin.partition("@")[0], groups=("admins", *EVERYBODY))}

    def add_user(self, name: str, *, groups: tuple[str, ...] = ()) -> Principal:
        """A user who may do nothing yet."""
        return self._add(Principal(name, "user", name.partition("@")[0], groups=(*groups, *EVERYBODY)))

    def add_service_principal(self, display: str, *, groups: tuple[str, ...] = ()) -> Principal:
        """A service principal with an OAuth secret, who may do nothing yet."""
        secret = f"dose{secrets.token_hex(16)}"
        made = Principal(str(uuid.uuid4()), "service_principal", display, secret, (*groups, *EVERYBODY))
        self._tokens.add_client(made.name, secret)
        return self._add(made)

    def get(self, name: str) -> Principal:
        """One of them; a name that only signs in by a token of its own is taken for a user."""
        return self._known.get(name) or Principal(name, "user", name.partition("@")[0])

    def known(self, name: str) -> bool:
        """Whether it was added."""
        return name in self._known

    def list(self, kind: Kind) -> list[Principal]:
        """All of a kind."""
        return [known for known in self._known.values() if known.kind == kind]

    def run_as(self, wanted: dict[str, str] | None, creator: str) -> str:
        """Whom a job runs as: its `run_as`, else its creator. Only a known principal can be named."""
        if not wanted:
            return creator
        name = wanted.get("service_principal_name") or wanted.get("user_name") or ""
        found = self._known.get(name)
        expected = "service_principal" if wanted.get("service_principal_name") else "user"
        if found is None or found.kind != expected:
            raise bad_request(f"The {expected.replace('_', ' ')} '{name}' of run_as does not exist.")
        return name

    def is_admin(self, name: str) -> bool:
        """Whether everything is allowed."""
        return "admins" in self.get(name).groups

    def _add(self, made: Principal) -> Principal:
        if made.name in self._known:
            raise ApiError(409, "RESOURCE_CONFLICT", f"{made.name} already exists")
        self._known[made.name] = made
        return made
