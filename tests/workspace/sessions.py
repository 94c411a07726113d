"""Spark sessions: one for the warehouses, one for each run, one for whoever connects; all over the same tables.

Sail keeps its catalogs in a session, so what one session creates or drops is told to the others: at once to the
warehouses' session, to the rest before their next plan. Temporary views, settings, `USE` and `spark.stop()` stay where
they happened. Tables are told by their place, so their rows are never copied.
"""

import re
import threading
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.workspace.sail import SESSION, SETTINGS
from tests.workspace.spark import Spark
from tests.workspace.spark_error import SparkError
from tests.workspace.sql import metadata
from tests.workspace.sql.namespace import Namespace

if TYPE_CHECKING:
    from tests.workspace.workspace import Workspace

_SHAPING = re.compile(
    rf"\s*(?:create|drop|alter|replace)\s+(?:or\s+replace\s+)?(?:external\s+)?(table|view|schema|database)\s+"
    rf"(?:if\s+(?:not\s+)?exists\s+)?{metadata.NAME}(?:\s+rename\s+to\s+{metadata.NAME})?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Thing:
    """A schema (no table), or a table or view."""

    catalog: str
    schema: str
    table: str | None = None

    @property
    def name(self) -> str:
        """Its full name, quoted."""
        return metadata.quoted(*(part for part in (self.catalog, self.schema, self.table) if part))


@dataclass(frozen=True)
class Column:
    """A table's column as Sail describes it."""

    name: str
    kind: str
    comment: str
    is_partition: bool


@dataclass(frozen=True)
class Definition:
    """How a thing is registered: a view by its text, a table by its place; a schema has neither."""

    view: str | None = None
    provider: str = ""
    location: str = ""
    columns: tuple[Column, ...] = ()

    def statement(self, name: str, *, full: bool) -> str:
        """The statement. In `full` with columns, as DESCRIBE and SHOW want them; reading does without."""
        if self.view is not None:
            return f"CREATE VIEW {name} AS {self.view}"
        if not self.location:
            return f"CREATE SCHEMA IF NOT EXISTS {name}"
        columns = self._columns() if full else ""
        return f"CREATE TABLE {name} {columns}USING {self.provider} LOCATION '{self.location}'"

    def _columns(self) -> str:
        """The columns and partitions. Whether one may be NULL is in the Delta log, which appending may change."""
        nullable = _nullable(self.location) if self.provider.lower() == "delta" else {}
        texts = []
        for column in self.columns:
            comment = column.comment.replace("'", "\\'")
            required = "" if nullable.get(column.name, True) else " NOT NULL"
            texts.append(f"`{column.name}` {column.kind}{required} COMMENT '{comment}'")
        parts = ", ".join(f"`{column.name}`" for column in self.columns if column.is_partition)
        partitioned = f"PARTITIONED BY ({parts}) " if parts else ""
        return f"({', '.join(texts)}) {partitioned}" if texts else ""


@dataclass(frozen=True)
class Change:
    """What another session has to run to see a thing as its author sees it."""

    statements: tuple[str, ...]
    author: str


@dataclass
class SparkSession:
    """One session: whose it is, and how many changes it has seen (None: Sail does not know it yet)."""

    id: str
    user: str
    namespace: Namespace = field(default_factory=Namespace)
    seen: int | None = None
    released: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)


class Sessions:
    """All sessions but the warehouses', which is always up to date."""

    def __init__(self, ws: "Workspace") -> None:
        self._ws = ws
        self._lock = threading.RLock()
        self._known: dict[str, SparkSession] = {}
        self._things: dict[Thing, Definition] = {}
        self._names: frozenset[str] = frozenset()
        self._changes: list[Change] = []

    def open(self, user: str) -> SparkSession:
        """A new session of a user's."""
        made = SparkSession(str(uuid.uuid4()), user)
        self._known[made.id] = made
        return made

    def find(self, session_id: str) -> SparkSession | None:
        """A session that was opened and has not been stopped."""
        found = self._known.get(session_id)
        return found if found and not found.released else None

    def knows(self, name: str) -> bool:
        """Whether there is a table or view of a full name."""
        return name.lower() in self._names

    def follow(self, session: SparkSession) -> None:
        """Bring a session up to date."""
        with session.lock:
            if session.seen == len(self._changes):
                return
            with self._lock:
                fresh, upto = session.seen is None, len(self._changes)
                statements = self._everything() if fresh else self._missed(session)
            spark = Spark(self._ws.sail.port, session.id)
            try:
                if fresh:
                    spark.configure({**SETTINGS, "spark.sql.warehouse.dir": str(self._ws.sail.tables)})
                _apply(spark, statements)
            finally:
                spark.close()
            session.seen = upto

    def shaped(self, text: str, spark: Spark, author: str = SESSION) -> None:
        """A statement has run: tell the others if it made, changed or dropped a thing."""
        match = _SHAPING.match(text)
        if match is None:
            return
        for name in filter(None, (match[2], match[3])):
            given = metadata.parts(name)
            is_schema = match[1].lower() in ("schema", "database")
            self.tell(_thing(given, is_schema, spark), spark, author)

    def written(self, name: str, spark: Spark, author: str) -> None:
        """A frame was written into a table."""
        self.tell(_thing(metadata.parts(name), False, spark), spark, author)

    def tell(self, thing: Thing, spark: Spark, author: str) -> None:
        """Let the others see a thing as its author sees it."""
        with self._lock:
            made = _schema(thing, spark) if thing.table is None else definition(thing, spark)
            if self._things.get(thing) == made:
                return
            self._remember(thing, made)
            if author != SESSION:
                _apply(self._ws.sail.spark, _shown(thing, made, full=True))
            self._changes.append(Change(_shown(thing, made), author))

    def restore(self) -> None:
        """Sail started again: put everything back into the warehouses' session; the others begin anew."""
        with self._lock:
            for session in self._known.values():
                session.seen = None
            _apply(self._ws.sail.spark, self._everything(full=True))

    def forget_catalog(self, name: str) -> None:
        """A catalog is gone."""
        with self._lock:
            self._things = {thing: made for thing, made in self._things.items() if thing.catalog != name}
            self._name()

    def _remember(self, thing: Thing, made: Definition | None) -> None:
        if made:
            self._things[thing] = made
            self._name()
            return
        gone = [known for known in self._things if known == thing or (thing.table is None and _inside(known, thing))]
        for known in gone:
            del self._things[known]
        self._name()

    def _name(self) -> None:
        self._names = frozenset(
            f"{thing.catalog}.{thing.schema}.{thing.table}".lower() for thing in self._things if thing.table
        )

    def _everything(self, *, full: bool = False) -> tuple[str, ...]:
        """What makes all things in an empty session: schemas first, views last."""
        order = sorted(self._things.items(), key=lambda item: (item[0].table is not None, item[1].view is not None))
        return tuple(made.statement(thing.name, full=full) for thing, made in order)

    def _missed(self, session: SparkSession) -> tuple[str, ...]:
        changes = self._changes[session.seen :]
        return tuple(text for change in changes if change.author != session.id for text in change.statements)


def _schema(thing: Thing, spark: Spark) -> Definition | None:
    there = spark.sql(f"SHOW SCHEMAS IN `{thing.catalog}`").to_pylist()
    return Definition() if any(row["name"].lower() == thing.schema.lower() for row in there) else None


def _shown(thing: Thing, made: Definition | None, *, full: bool = False) -> tuple[str, ...]:
    """What shows a thing as it now is in a session that may know it as it was."""
    now = (made.statement(thing.name, full=full),) if made else ()
    return now if made and thing.table is None else (*_drops(thing), *now)


def definition(thing: Thing, spark: Spark) -> Definition | None:
    """How a table or view is registered; None when there is none."""
    try:
        rows = spark.sql(f"DESCRIBE TABLE EXTENDED {thing.name}").to_pylist()
    except SparkError:
        return None
    start = next((index for index, row in enumerate(rows) if row["col_name"].startswith("# Detailed")), None)
    if start is None:
        return None
    details = {row["col_name"]: row["data_type"] for row in rows[start + 1 :]}
    if details["Type"] == "VIEW":
        return Definition(view=details["View Text"])
    columns = tuple(
        Column(row["name"], row["dataType"], str(row["description"] or ""), bool(row["isPartition"]))
        for row in spark.sql(f"SHOW COLUMNS IN {thing.name}").to_pylist()
    )
    return Definition(None, details["Provider"], details["Location"], columns)


def _nullable(location: str) -> dict[str, bool]:
    from deltalake import DeltaTable

    return {field.name: field.nullable for field in DeltaTable(location).schema().fields}


def _drops(thing: Thing) -> tuple[str, ...]:
    if thing.table is None:
        return (f"DROP SCHEMA IF EXISTS {thing.name} CASCADE",)
    return (f"DROP TABLE IF EXISTS {thing.name}", f"DROP VIEW IF EXISTS {thing.name}")


def _inside(thing: Thing, schema: Thing) -> bool:
    return (thing.catalog, thing.schema) == (schema.catalog, schema.schema)


def _thing(given: list[str], is_schema: bool, spark: Spark) -> Thing:
    """What a name means in a session."""
    wanted = 2 if is_schema else 3
    if len(given) < wanted:
        here = spark.sql("SELECT current_catalog() AS c, current_database() AS s").to_pylist()[0]
        given = [here["c"], here["s"]][: wanted - len(given)] + given
    return Thing(*given[:wanted])


def _apply(spark: Spark, statements: tuple[str, ...]) -> None:
    for text in statements:
        with suppress(SparkError):  # a view of something that is gone, a table of the other kind: as good as absent
            spark.sql(text)
