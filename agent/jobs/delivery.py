"""How far the table of tasks was read, and which tasks were handed over: two small Delta tables.

A delivery's key is the run's idempotency token: a task is handed over once even when what is written here is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from agent.jobs.feed import quote
from agent.workspace.statements import Statements
from graph.errors import InvalidRequest

WATERMARKS, DELIVERIES = "ingestor_watermarks", "ingestor_deliveries"
TABLES = {
    WATERMARKS: "source STRING, version BIGINT, updated TIMESTAMP",
    DELIVERIES: (
        "delivery_key STRING, source STRING, issue_key STRING, commit_version BIGINT, session_id STRING, "
        "run_id BIGINT, outcome STRING, delivered TIMESTAMP"
    ),
}


@dataclass(frozen=True)
class Delivery:
    """`outcome` is triggered, or skipped when the job was too busy for the run that it was given."""

    key: str
    issue: str
    version: int
    session: str
    run_id: int
    outcome: str


@dataclass(frozen=True)
class Deliveries:
    """The state of one source in `place`, which is catalog.schema."""

    statements: Statements
    place: str
    source: str

    def make(self) -> None:
        for name, columns in TABLES.items():
            self.statements.run(f"CREATE TABLE IF NOT EXISTS {self._table(name)} ({columns}) USING DELTA")

    def exist(self) -> bool:
        catalog, schema = self.place.split(".")
        found = self.statements.run(
            f"SELECT table_name FROM `{catalog}`.information_schema.tables "  # noqa: S608 - a checked name
            "WHERE table_schema = :schema AND table_name = :name",
            {"schema": schema, "name": WATERMARKS},
        )
        return bool(found.table.num_rows)

    def watermark(self) -> int | None:
        """The last version that is done with; None before the first."""
        found = self.statements.run(
            f"SELECT max(version) AS version FROM {self._table(WATERMARKS)} WHERE source = :source",  # noqa: S608
            {"source": self.source},
        ).table.to_pylist()
        version = found[0]["version"] if found else None
        return None if version is None else int(version)

    def advance(self, version: int) -> None:
        """Never back: another run may have been further."""
        self.statements.run(
            f"MERGE INTO {self._table(WATERMARKS)} AS kept "  # noqa: S608 - checked names and plain values
            f"USING (SELECT {plain(self.source)} AS source, CAST({version:d} AS BIGINT) AS version) AS new "
            "ON kept.source = new.source "
            "WHEN MATCHED AND new.version > kept.version THEN UPDATE SET version = new.version, "
            "updated = current_timestamp() "
            "WHEN NOT MATCHED THEN INSERT (source, version, updated) "
            "VALUES (new.source, new.version, current_timestamp())"
        )

    def outcomes(self, issues: Iterable[str]) -> dict[str, list[str]]:
        """For each of the tasks what came of its deliveries so far."""
        bound = {f"issue_{number}": issue for number, issue in enumerate(issues)}
        if not bound:
            return {}
        rows = self.statements.run(
            f"SELECT issue_key, outcome FROM {self._table(DELIVERIES)} "  # noqa: S608 - checked names, bound values
            f"WHERE source = :source AND issue_key IN ({', '.join(f':{name}' for name in bound)})",
            {"source": self.source, **bound},
        ).table.to_pylist()
        found: dict[str, list[str]] = {}
        for row in rows:
            found.setdefault(row["issue_key"], []).append(row["outcome"])
        return found

    def note(self, delivery: Delivery) -> None:
        """Written once, however often."""
        row = {
            "delivery_key": plain(delivery.key),
            "source": plain(self.source),
            "issue_key": plain(delivery.issue),
            "commit_version": f"CAST({delivery.version:d} AS BIGINT)",
            "session_id": plain(delivery.session),
            "run_id": f"CAST({delivery.run_id:d} AS BIGINT)",
            "outcome": plain(delivery.outcome),
            "delivered": "current_timestamp()",
        }
        self.statements.run(
            f"MERGE INTO {self._table(DELIVERIES)} AS kept "  # noqa: S608 - checked names and plain values
            f"USING (SELECT {', '.join(f'{value} AS {name}' for name, value in row.items())}) AS new "
            "ON kept.delivery_key = new.delivery_key "
            f"WHEN NOT MATCHED THEN INSERT ({', '.join(row)}) VALUES ({', '.join(f'new.{name}' for name in row)})"
        )

    def _table(self, name: str) -> str:
        return quote(f"{self.place}.{name}")


def delivery_key(source: str, issue: str, attempt: int) -> str:
    """One a task. Another attempt only after a run that was skipped, which never began."""
    return sha256(f"{source}\x00{issue}\x00{attempt}".encode(errors="surrogatepass")).hexdigest()


def plain(text: str) -> str:
    """A literal for a change, where not every engine takes bound values: of characters that end nothing."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]*", text):
        raise InvalidRequest(f"{text[:100]!r} can't be kept in the tables of deliveries.")
    return f"'{text}'"
