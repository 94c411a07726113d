"""Secret scopes and secrets."""

import time
from dataclasses import dataclass, field

from tests.workspace.errors import bad_request, not_found
from tests.workspace.journal import Journal


@dataclass(frozen=True)
class Secret:
    """A secret's bytes and when they were put."""

    value: bytes
    updated_at: int


@dataclass
class Scope:
    """A scope of secrets."""

    name: str
    secrets: dict[str, Secret] = field(default_factory=dict)


class Secrets:
    """All scopes."""

    def __init__(self, journal: Journal) -> None:
        self._scopes: dict[str, Scope] = {}
        self._journal = journal

    def scopes(self) -> list[Scope]:
        """All of them, by name."""
        return [self._scopes[name] for name in sorted(self._scopes)]

    def create_scope(self, name: str) -> None:
        """A new scope."""
        if name in self._scopes:
            raise bad_request(f"Scope {name} already exists!", "RESOURCE_ALREADY_EXISTS")
        self._scopes[name] = Scope(name)

    def scope(self, name: str) -> Scope:
        """One scope; 404 otherwise."""
        if name not in self._scopes:
            raise not_found(f"Scope {name} does not exist!")
        return self._scopes[name]

    def delete_scope(self, name: str) -> None:
        """A scope goes with its secrets."""
        del self._scopes[self.scope(name).name]

    def put(self, scope: str, key: str, value: bytes) -> None:
        """A secret, new or changed."""
        self.scope(scope).secrets[key] = Secret(value, int(time.time() * 1000))
        self._journal.write("secret_written", f"{scope}/{key}")

    def get(self, scope: str, key: str) -> bytes:
        """A secret's bytes; 404 otherwise."""
        secret = self.scope(scope).secrets.get(key)
        if secret is None:
            raise not_found(f"No secret with key {key} exists in scope {scope}")
        return secret.value

    def delete(self, scope: str, key: str) -> None:
        """A secret goes."""
        self.get(scope, key)
        del self.scope(scope).secrets[key]
