"""State by how long it lives: `temp:` one turn, `user:` a person, `app:` everyone, and without a prefix the thread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.records.schema import bring_up_to_date, version_of
from graph.errors import InvalidRequest

if TYPE_CHECKING:
    from langgraph.store.base import BaseStore

TEMP, USER, APP = "temp:", "user:", "app:"
APP_NAMESPACE = ("app",)
PAGE = 200
STEPS: tuple[tuple[str, ...], ...] = ((),)
"""The store makes its own tables; version 1 says that it is this program's file."""


@dataclass(frozen=True)
class Scoped:
    """A delta sorted by scope. Keys keep their prefixes; None stands for a key to delete."""

    temp: Mapping[str, Any] = field(default_factory=dict)
    session: Mapping[str, Any] = field(default_factory=dict)
    user: Mapping[str, Any] = field(default_factory=dict)
    app: Mapping[str, Any] = field(default_factory=dict)


def split(delta: Mapping[str, Any]) -> Scoped:
    """Raises InvalidRequest for a key that is empty but for its prefix."""
    parts: dict[str, dict[str, Any]] = {TEMP: {}, USER: {}, APP: {}, "": {}}
    for key, value in delta.items():
        prefix = next((prefix for prefix in (TEMP, USER, APP) if key.startswith(prefix)), "")
        if not key.removeprefix(prefix):
            raise InvalidRequest(f"The state key {key!r} has no name.")
        parts[prefix][key] = value
    return Scoped(temp=parts[TEMP], session=parts[""], user=parts[USER], app=parts[APP])


def apply(values: Mapping[str, Any], delta: Mapping[str, Any]) -> dict[str, Any]:
    """The values with the delta over them; None deletes."""
    return {key: value for key, value in {**values, **delta}.items() if value is not None}


class Scopes:
    """What users and the app keep across threads, in a LangGraph store under ("user", id) and ("app",)."""

    def __init__(self, store: BaseStore) -> None:
        self._store = store

    @property
    def store(self) -> BaseStore:
        return self._store

    def take(self, delta: Mapping[str, Any], user_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Keep what is the user's and the app's; return the thread's part (with None for deletions) and the turn's."""
        scoped = split(delta)
        self._keep(user_namespace(user_id), USER, scoped.user)
        self._keep(APP_NAMESPACE, APP, scoped.app)
        return dict(scoped.session), apply({}, scoped.temp)

    def shared(self, user_id: str) -> dict[str, Any]:
        """All `app:` and `user:` keys that this user sees."""
        return {**self._kept(APP_NAMESPACE, APP), **self._kept(user_namespace(user_id), USER)}

    def _keep(self, namespace: tuple[str, ...], prefix: str, delta: Mapping[str, Any]) -> None:
        for key, value in delta.items():
            name = key.removeprefix(prefix)
            if value is None:
                self._store.delete(namespace, name)
            else:
                self._store.put(namespace, name, {"value": value}, index=False)

    def _kept(self, namespace: tuple[str, ...], prefix: str) -> dict[str, Any]:
        """Stores search by a namespace's beginning: `("user", "jo")` finds `("user", "joan")`, too."""
        kept: dict[str, Any] = {}
        offset = 0
        while found := self._store.search(namespace, limit=PAGE, offset=offset):
            kept |= {f"{prefix}{item.key}": item.value["value"] for item in found if item.namespace == namespace}
            offset += len(found)
        return kept


def user_namespace(user_id: str) -> tuple[str, str]:
    """Stores forbid dots in namespaces, and user ids are often mail addresses."""
    return ("user", user_id.replace("%", "%25").replace(".", "%2E"))


@contextmanager
def open_scopes(path: Path) -> Iterator[Scopes]:
    """Scopes in an SQLite file that other processes may have open, too."""
    import sqlite3

    from langgraph.store.sqlite import SqliteStore

    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
    try:
        version_of(connection, path, len(STEPS))
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        store = SqliteStore(connection)
        store.setup()
        bring_up_to_date(connection, path, STEPS)
        yield Scopes(store)
    finally:
        connection.close()
