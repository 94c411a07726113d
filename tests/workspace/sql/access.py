"""What a statement or a plan needs, and whether the one who asks has it: SELECT, MODIFY, CREATE, READ and WRITE VOLUME.

As on Databricks every use of a table also needs USE CATALOG and USE SCHEMA above it. Names that nothing is known by
(temporary views, typing errors) are left to the engine.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlglot
from pyspark.sql.connect import proto
from sqlglot import exp
from sqlglot.errors import SqlglotError

from tests.workspace.sql import metadata
from tests.workspace.sql.namespace import Namespace
from tests.workspace.sql.problems import SqlProblem

if TYPE_CHECKING:
    from tests.workspace.grants import Grants
    from tests.workspace.sql.engine import Session, SqlEngine

_PATH = re.compile(r"(?:dbfs:)?(/Volumes/([^/\s'\"`]+)/([^/\s'\"`]+)/([^/\s'\"`]+))")
_CREATE = re.compile(
    rf"\s*create\s+(?:or\s+replace\s+)?(table|view|schema|database)\s+(?:if\s+not\s+exists\s+)?{metadata.NAME}",
    re.IGNORECASE,
)
_INTO = (exp.Insert, exp.Update, exp.Delete, exp.Merge)


@dataclass(frozen=True)
class Need:
    """A privilege on a securable: `SELECT` on the TABLE `main.sales.orders`."""

    privilege: str
    kind: str
    name: str

    def whole(self) -> "Iterator[Need]":
        """It, after USE on what is above it."""
        yield from _above(self)
        yield self


# Whether a table or view of that name exists.
Exists = Callable[[str], bool]


class Access:
    """What SQL and Spark ask of the table of grants."""

    def __init__(self, grants: "Grants", exists: Exists) -> None:
        self._grants = grants
        self.exists = exists

    def holds(self, user: str, need: Need) -> bool:
        """Whether a user has what is needed."""
        return self._grants.holds(user, need.privilege, need.kind, need.name)

    def sees(self, user: str, table: str) -> bool:
        """Whether a table shows in listings: whoever may do anything with it, or BROWSE, sees it."""
        return any(self.holds(user, Need(word, "TABLE", table)) for word in ("SELECT", "MODIFY", "BROWSE"))

    def change(self, grant: bool, who: str, need: Need) -> None:
        """Grant or revoke."""
        (self._grants.allow if grant else self._grants.revoke)(who, need.privilege, need.kind, need.name)

    def granted(self, kind: str, name: str) -> list[tuple[str, str]]:
        """Principals and privileges on a thing."""
        return [(row.principal, row.privilege) for row in self._grants.on(kind, name)]

    def made(self, user: str, things: "list[tuple[str, str]]") -> None:
        """Things that a user made are the user's."""
        for kind, name in things:
            self._grants.own(user, kind, name)

    def check(self, user: str, needs: Iterator[Need]) -> None:
        """Raise INSUFFICIENT_PERMISSIONS for the first thing that the user lacks."""
        if self._grants.is_admin(user):
            return
        for need in needs:
            for single in need.whole():
                if not self.holds(user, single):
                    message = (
                        f"Insufficient privileges: User '{user}' does not have {single.privilege} on "
                        f"{single.kind.capitalize()} '{single.name}'."
                    )
                    raise SqlProblem("INSUFFICIENT_PERMISSIONS", message, "42501")


def check_statement(engine: "SqlEngine", text: str, session: "Session") -> None:
    """Refuse a statement that its author may not run."""
    engine.access.check(session.user, statement_needs(text, session.namespace, engine.access.exists))


def check_plan(engine: "SqlEngine", plan: Any, session: "Session") -> None:
    """Refuse a Spark plan that the session's owner may not run."""
    engine.access.check(session.user, _plan_needs(plan, session.namespace, engine.access.exists))


def statement_needs(text: str, namespace: Namespace, exists: Exists) -> Iterator[Need]:
    """What a SQL text needs. A text that can't be parsed names its files only."""
    yield from _files(text, writes=bool(re.match(r"\s*(insert|copy|create)\b", text, re.IGNORECASE)))
    try:
        trees = [tree for tree in sqlglot.parse(text, read="databricks") if tree]
    except SqlglotError:
        return
    for tree in trees:
        yield from _tree(tree, namespace, exists)


def created(plan: Any) -> list[str]:
    """The tables that a plan writes whole frames into, or makes by the catalog's methods."""
    command, listed = plan.command, plan.root.catalog
    names = (
        command.write_operation.table.table_name,
        command.write_operation_v2.table_name,
        listed.create_table.table_name,
        listed.create_external_table.table_name,
    )
    return [name for name in names if name]


def owned(text: str, plan: Any, namespace: Namespace) -> list[tuple[str, str]]:
    """The tables, views and schemas that a statement or a plan makes: kind and full name."""
    made = [("TABLE", ".".join(metadata.full_name(name, namespace))) for name in (created(plan) if plan else ())]
    match = _CREATE.match(text)
    if match and match[1].lower() in ("schema", "database"):
        given = metadata.parts(match[2])
        made.append(("SCHEMA", ".".join([namespace.catalog][: 2 - len(given)] + given)))
    elif match:
        made.append(("TABLE", ".".join(metadata.full_name(match[2], namespace))))
    return made


def _tree(tree: exp.Expression, namespace: Namespace, exists: Exists) -> Iterator[Need]:
    target = None
    if isinstance(tree, _INTO):
        target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
        yield from _table("MODIFY", _full(target, namespace), exists)
    elif isinstance(tree, exp.Create | exp.Drop | exp.Alter):
        named = (tree.args.get("tables") or [tree.this])[0]
        target = named.this if isinstance(named, exp.Schema) else named
        yield from _shaping(tree, target, namespace, exists)
    local = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if table is not target and not (not table.db and table.name.lower() in local):
            yield from _table("SELECT", _full(table, namespace), exists)
    for call in tree.find_all(exp.Anonymous):
        if str(call.this).lower() == "table_changes" and call.expressions:
            yield from _table("SELECT", metadata.full_name(call.expressions[0].name, namespace), exists)


def _shaping(tree: Any, target: Any, namespace: Namespace, exists: Exists) -> Iterator[Need]:
    """Making needs CREATE on what is above; replacing, changing and dropping need the thing itself (MANAGE)."""
    kind = str(tree.args.get("kind") or "").upper()
    if not isinstance(target, exp.Table) or kind not in ("TABLE", "VIEW", "SCHEMA", "DATABASE"):
        return
    if any(isinstance(item, exp.TemporaryProperty) for item in tree.find_all(exp.TemporaryProperty)):
        return
    if kind in ("SCHEMA", "DATABASE"):
        catalog, schema = target.db or target.catalog or namespace.catalog, target.name
        if not target.name:
            catalog, schema = target.catalog or namespace.catalog, target.db
        need = Need("CREATE SCHEMA", "CATALOG", catalog)
        yield need if isinstance(tree, exp.Create) else Need("MANAGE", "SCHEMA", f"{catalog}.{schema}")
        return
    full = _full(target, namespace)
    name = ".".join(full)
    if isinstance(tree, exp.Create) and not exists(name):
        yield Need("CREATE TABLE", "SCHEMA", ".".join(full[:2]))
    elif exists(name):
        yield Need("MANAGE", "TABLE", name)


def _table(privilege: str, full: tuple[str, str, str], exists: Exists) -> Iterator[Need]:
    name = ".".join(full)
    if full[1].lower() != "information_schema" and exists(name):
        yield Need(privilege, "TABLE", name)


def _full(table: Any, namespace: Namespace) -> tuple[str, str, str]:
    return (table.catalog or namespace.catalog, table.db or namespace.schema, table.name)


def _above(need: Need) -> Iterator[Need]:
    """USE on the catalog and the schema of a thing."""
    parts = need.name.split(".")
    if need.kind != "CATALOG":
        yield Need("USE CATALOG", "CATALOG", parts[0])
    elif need.privilege != "USE CATALOG":
        yield Need("USE CATALOG", "CATALOG", need.name)
    if len(parts) > 1:
        yield Need("USE SCHEMA", "SCHEMA", ".".join(parts[:2]))


def _files(text: str, *, writes: bool) -> Iterator[Need]:
    for match in _PATH.finditer(text):
        yield Need("WRITE VOLUME" if writes else "READ VOLUME", "VOLUME", ".".join(match.groups()[1:]))


def _plan_needs(plan: Any, here: Namespace, exists: Exists) -> Iterator[Need]:
    """What a plan's reads, writes and SQL texts need."""
    write = plan.command.write_operation
    if write.path:
        yield from _files(write.path, writes=True)
    for name in created(plan):
        full = metadata.full_name(name, here)
        if exists(".".join(full)):
            yield Need("MODIFY", "TABLE", ".".join(full))
        else:
            yield Need("CREATE TABLE", "SCHEMA", ".".join(full[:2]))
    for message in _messages(plan):
        if isinstance(message, proto.Read):
            if message.named_table.unparsed_identifier:
                yield from _table("SELECT", metadata.full_name(message.named_table.unparsed_identifier, here), exists)
            for path in message.data_source.paths:
                yield from _files(path, writes=False)
        elif isinstance(message, proto.SqlCommand) and message.sql:
            yield from statement_needs(message.sql, here, exists)
        elif isinstance(message, proto.SQL):
            yield from statement_needs(message.query, here, exists)


def _messages(message: Any) -> Iterator[Any]:
    """A message and all that are in it."""
    yield message
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None or descriptor.message_type.GetOptions().map_entry:
            continue
        for item in value if not hasattr(value, "ListFields") else [value]:
            yield from _messages(item)
