"""GRANT, REVOKE and SHOW GRANTS on what Unity Catalog holds."""

import re
from typing import TYPE_CHECKING

import pyarrow as pa

from tests.workspace.sql import metadata
from tests.workspace.sql.access import Need
from tests.workspace.sql.problems import SqlProblem, not_covered

if TYPE_CHECKING:
    from tests.workspace.sql.engine import Session, SqlEngine

PRIVILEGES = (
    "ALL PRIVILEGES",
    "APPLY TAG",
    "BROWSE",
    "CREATE FUNCTION",
    "CREATE MODEL",
    "CREATE SCHEMA",
    "CREATE TABLE",
    "CREATE VOLUME",
    "EXECUTE",
    "MANAGE",
    "MODIFY",
    "READ VOLUME",
    "SELECT",
    "USE CATALOG",
    "USE SCHEMA",
    "WRITE VOLUME",
)
_PARTS = {"CATALOG": 1, "SCHEMA": 2}
_ON = rf"ON\s+(?:(CATALOG|SCHEMA|DATABASE|TABLE|VIEW|VOLUME|FUNCTION)\s+)?{metadata.NAME}"
_WHO = r"`?([^`;]+?)`?"


def _change(engine: "SqlEngine", match: re.Match[str], session: "Session") -> pa.Table:
    verb, listed, kind, name, who = match.groups()
    kind, full = _securable(kind, name, session)
    if not engine.access.holds(session.user, Need("MANAGE", kind, full)):
        message = f"Insufficient privileges: User '{session.user}' does not have MANAGE on {kind.title()} '{full}'."
        raise SqlProblem("INSUFFICIENT_PERMISSIONS", message, "42501")
    for privilege in (re.sub(r"\s+", " ", part.strip()).upper() for part in listed.split(",")):
        if privilege not in PRIVILEGES:
            raise SqlProblem("PARSE_SYNTAX_ERROR", f"'{privilege}' is not a privilege", "42601")
        engine.access.change(verb.lower() == "grant", who, Need(privilege, kind, full))
    return pa.table({})


def _show(engine: "SqlEngine", match: re.Match[str], session: "Session") -> pa.Table:
    kind, full = _securable(match[2], match[3], session)
    rows = [row for row in engine.access.granted(kind, full) if match[1] in (None, row[0])]
    return pa.table(
        {
            "Principal": pa.array([row[0] for row in rows], pa.string()),
            "ActionType": pa.array([row[1] for row in rows], pa.string()),
            "ObjectType": pa.array([kind] * len(rows), pa.string()),
            "ObjectKey": pa.array([full] * len(rows), pa.string()),
        }
    )


def _securable(kind: str | None, name: str, session: "Session") -> tuple[str, str]:
    chosen = {"DATABASE": "SCHEMA", "VIEW": "TABLE"}.get((kind or "TABLE").upper(), (kind or "TABLE").upper())
    given = metadata.parts(name)
    wanted = _PARTS.get(chosen, 3)
    here = [session.namespace.catalog, session.namespace.schema]
    if len(given) > wanted:
        raise not_covered(f"GRANT on {chosen} {name}")
    return chosen, ".".join(here[: wanted - len(given)] + given)


STATEMENTS = (
    (re.compile(rf"(GRANT)\s+(.+?)\s+{_ON}\s+TO\s+{_WHO}$", re.IGNORECASE | re.DOTALL), _change),
    (re.compile(rf"(REVOKE)\s+(.+?)\s+{_ON}\s+FROM\s+{_WHO}$", re.IGNORECASE | re.DOTALL), _change),
    (re.compile(rf"SHOW\s+GRANTS?\s+(?:{_WHO}\s+)?{_ON}$", re.IGNORECASE), _show),
)
