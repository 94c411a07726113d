"""Grants: one small table of (principal, privilege, kind, name), and who owns what.

ws.grants.allow(executor.id, "SELECT", "SCHEMA", "main.sales")       # Unity Catalog's privileges, inherited downwards
ws.grants.allow(executor.id, "CAN_MANAGE_RUN", "jobs", job_id)       # the workspace's permission levels
ws.grants.allow(executor.id, "READ", "secret_scope", "agent")

What is asked through the API, by SQL's GRANT, or here, is the same table. The maker of a thing owns it.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.workspace.errors import ApiError
from tests.workspace.principals import Principals

# Each level contains those before it.
LEVELS: dict[str, tuple[str, ...]] = {
    "jobs": ("CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE", "IS_OWNER"),
    "serving-endpoints": ("CAN_VIEW", "CAN_QUERY", "CAN_MANAGE"),
    "warehouses": ("CAN_VIEW", "CAN_MONITOR", "CAN_USE", "CAN_MANAGE", "IS_OWNER"),
    "clusters": ("CAN_ATTACH_TO", "CAN_RESTART", "CAN_MANAGE"),
    "genie": ("CAN_READ", "CAN_RUN", "CAN_EDIT", "CAN_MANAGE"),
    "experiments": ("CAN_READ", "CAN_EDIT", "CAN_MANAGE"),
    "secret_scope": ("READ", "WRITE", "MANAGE"),
    "statement": ("IS_OWNER",),
}
UNITY = ("CATALOG", "SCHEMA", "TABLE", "VOLUME", "FUNCTION", "MODEL")
_WORDS = {"jobs": "job", "serving-endpoints": "endpoint", "genie": "Genie space", "secret_scope": "scope"}


@dataclass(frozen=True)
class Grant:
    """A row of the table."""

    principal: str
    privilege: str
    kind: str
    name: str


class Grants:
    """The table. Administrators may do everything."""

    def __init__(self, principals: Principals) -> None:
        self._principals = principals
        self._lock = threading.RLock()
        self._rows: set[Grant] = set()
        self._owners: dict[tuple[str, str], str] = {}

    def allow(self, principal: str, privilege: str, kind: str, name: object) -> None:
        """Grant; again is the same."""
        with self._lock:
            self._rows.add(_grant(principal, privilege, kind, name))

    def revoke(self, principal: str, privilege: str, kind: str, name: object) -> None:
        """Take a grant back; `ALL PRIVILEGES` takes back everything on the thing."""
        gone = _grant(principal, privilege, kind, name)
        with self._lock:
            if gone.privilege == "ALL PRIVILEGES":
                self._rows -= {row for row in self._rows if (row.principal, row.kind, row.name) == gone_key(gone)}
            self._rows.discard(gone)

    def own(self, principal: str, kind: str, name: object) -> None:
        """Who made a thing owns it."""
        with self._lock:
            self._owners[(_kind(kind), _name(kind, name))] = principal

    def owner(self, kind: str, name: object) -> str:
        """Who owns a thing: its maker, else the workspace's user."""
        return self._owners.get((_kind(kind), _name(kind, name)), self._principals.admin)

    def on(self, kind: str, name: object) -> list[Grant]:
        """The grants on a thing itself."""
        with self._lock:
            found = [row for row in self._rows if (row.kind, row.name) == (_kind(kind), _name(kind, name))]
        return sorted(found, key=lambda row: (row.principal, row.privilege))

    def replace(self, kind: str, name: object, rows: list[tuple[str, str]]) -> None:
        """Set all grants on a thing: pairs of principal and privilege."""
        with self._lock:
            self._rows -= set(self.on(kind, name))
            self._rows |= {_grant(principal, privilege, kind, name) for principal, privilege in rows}

    def holds(self, principal: str, privilege: str, kind: str, name: object) -> bool:
        """Whether a principal, or a group of its, has a privilege: directly, by a higher level, or from above."""
        return self._principals.is_admin(principal) or any(self._paths(principal, privilege, kind, name))

    def is_admin(self, principal: str) -> bool:
        """Whether everything is allowed."""
        return self._principals.is_admin(principal)

    def check(self, principal: str, privilege: str, kind: str, name: object) -> None:
        """403 unless it is held."""
        if not self.holds(principal, privilege, kind, name):
            word = _WORDS.get(kind, kind.lower())
            message = f"User {principal} does not have {privilege} permission on {word} '{name}'."
            raise ApiError(403, "PERMISSION_DENIED", message)

    def _paths(self, principal: str, privilege: str, kind: str, name: object) -> Iterator[bool]:
        kind, wanted = _kind(kind), _name(kind, name)
        who = {principal, *self._principals.get(principal).groups}
        if kind in UNITY:
            enough = {privilege.upper(), "ALL PRIVILEGES", *(["MANAGE"] if privilege == "MANAGE" else [])}
            places = list(_places(kind, wanted))
            yield any(self._owners.get(place) in who for place in places)
            yield any(row.principal in who and row.privilege in enough and (row.kind, row.name) in places
                      for row in list(self._rows))  # fmt: skip
            return
        levels = LEVELS[kind]
        high = set(levels[levels.index(privilege) :])
        yield self._owners.get((kind, wanted)) in who
        yield any(row.principal in who and row.privilege in high for row in self.on(kind, wanted))


def gone_key(row: Grant) -> tuple[str, str, str]:
    """What `ALL PRIVILEGES` is taken back from."""
    return row.principal, row.kind, row.name


def _places(kind: str, name: str) -> Iterator[tuple[str, str]]:
    """A thing, its schema, its catalog: a privilege on one holds for what is in it."""
    parts = name.split(".")
    yield kind, name
    if len(parts) > 2:
        yield "SCHEMA", ".".join(parts[:2])
    if len(parts) > 1:
        yield "CATALOG", parts[0]


def _grant(principal: str, privilege: str, kind: str, name: object) -> Grant:
    kind = _kind(kind)
    clean = privilege.upper().replace("_", " ") if kind in UNITY else privilege
    if clean == "ALL":
        clean = "ALL PRIVILEGES"
    if kind not in UNITY and clean not in LEVELS.get(kind, ()):
        message = f"{privilege} is not a permission level of {kind}: {', '.join(LEVELS.get(kind, ('no such kind',)))}"
        raise ApiError(400, "INVALID_PARAMETER_VALUE", message)
    return Grant(principal, clean, kind, _name(kind, name))


def _kind(kind: str) -> str:
    upper = kind.upper()
    return {"VIEW": "TABLE", "REGISTERED_MODEL": "MODEL"}.get(upper, upper) if _is_unity(upper) else kind


def _is_unity(upper: str) -> bool:
    return upper in UNITY or upper in ("VIEW", "REGISTERED_MODEL")


def _name(kind: str, name: object) -> str:
    return str(name).lower() if _is_unity(kind.upper()) else str(name)


def described(grants: Grants, kind: str, name: object) -> list[dict[str, Any]]:
    """The grants on a thing by principal, as Unity Catalog lists them."""
    by_principal: dict[str, list[str]] = {}
    for row in grants.on(kind, name):
        by_principal.setdefault(row.principal, []).append(row.privilege.replace(" ", "_"))
    return [{"principal": who, "privileges": held} for who, held in by_principal.items()]
