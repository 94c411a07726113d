"""Checkpoints in one DuckDB file, open to SQL. One process has the file; a second one is told which.

A commit in DuckDB costs a millisecond of computing, so steps go to a journal and are acknowledged there; a thread moves
them into the tables, many at a time, in one transaction that records how far the journal was read. What was used last
is kept in memory, and anything else is read after the journal was moved.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ormsgpack
from langgraph.checkpoint.serde.base import SerializerProtocol

from checkpointers.errors import NewerSchema, NotADatabase, StoreError, StoreFull, StoreLocked, StoreReadOnly
from checkpointers.journal import Journal
from checkpointers.lease import locked, me
from checkpointers.processes import holders
from checkpointers.records import (
    Batch,
    CheckpointRow,
    Compaction,
    LineageTaken,
    Place,
    Removal,
    SegmentKey,
    SegmentRow,
    Selection,
    ThreadInfo,
    ValueRow,
    WritesRow,
)
from checkpointers.retention import Retention
from checkpointers.saver import serializer
from checkpointers.segmented import SegmentedSaver, lock_folder
from checkpointers.sqlite import Durability
from checkpointers.times import time_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

log = logging.getLogger(__name__)

# A file at version n has had the first n of these. Never edit one; append.
MIGRATIONS = (
    """
    CREATE TABLE saver_checkpoints(
        thread_id VARCHAR, ns VARCHAR, id VARCHAR, parent VARCHAR, metadata BLOB, body BLOB);
    CREATE TABLE saver_segments(
        thread_id VARCHAR, ns VARCHAR, lineage BIGINT, start BIGINT, size BIGINT, hashes BLOB, data BLOB);
    CREATE TABLE saver_values(thread_id VARCHAR, ns VARCHAR, key BIGINT, data BLOB);
    CREATE TABLE saver_writes(thread_id VARCHAR, ns VARCHAR, checkpoint_id VARCHAR, seq BIGINT, data BLOB);
    CREATE TABLE saver_state(schema INTEGER, journal BIGINT);
    INSERT INTO saver_state VALUES (0, 0);
    CREATE VIEW checkpoints AS
        SELECT thread_id, ns, id AS checkpoint_id, parent AS parent_id,
            TRY_CAST(decode(metadata) AS JSON) AS metadata,
            TRY_CAST(decode(metadata) AS JSON) ->> '$.source' AS source,
            TRY_CAST(TRY_CAST(decode(metadata) AS JSON) ->> '$.step' AS BIGINT) AS step,
            octet_length(body) AS bytes
        FROM saver_checkpoints;
    """,
    "CREATE TABLE saver_claims(thread_id VARCHAR, key VARCHAR, data BLOB);",
)
_TABLES = ("saver_checkpoints", "saver_segments", "saver_values", "saver_writes")
_OWNED = (*_TABLES, "saver_claims")
_DELAY = 0.25
_EAGER = 2_000
_PATIENT = 20_000
_HOT = 4_096
_HOT_VALUES = 1_024


class DuckDBSaver(SegmentedSaver):
    """Checkpoints in one DuckDB file; `query` reads the history with SQL.

    >>> from checkpointers import DuckDBSaver
    >>> with DuckDBSaver.from_conn_string(":memory:") as saver:
    ...     saver.query("SELECT count(*) FROM checkpoints")
    [(0,)]

    `durability` "full" waits for the disk at each step; with "normal" nothing is lost when the process is killed, the
    last steps may be when the power fails.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        serde: SerializerProtocol | None = None,
        allowed_types: Iterable[tuple[str, ...]] = (),
        encryption_key: bytes | None = None,
        durability: Durability = "full",
        retention: Retention | None = None,
        always_serialize: bool = False,
    ) -> None:
        self._duck = DuckDBStore(str(path), durability)
        chosen = serializer(serde, allowed_types, encryption_key)
        locks = lock_folder(self._duck.path)
        super().__init__(self._duck, locks, chosen, retention=retention, always_serialize=always_serialize)

    @classmethod
    @contextlib.contextmanager
    def from_conn_string(cls, conn_string: str, **options: Any) -> Iterator[DuckDBSaver]:
        with cls(conn_string, **options) as saver:
            yield saver

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a SELECT over `checkpoints` (thread_id, ns, checkpoint_id, parent_id, metadata, source, step, bytes)
        and `messages` (thread_id, ns, channel, position, type, content: the newest state of each thread's lists)."""
        return self._duck.select(sql, parameters, self._messages)

    def _messages(self) -> Iterator[tuple[str, str, str, int, str, str]]:
        for thread in self.threads():
            for place in self._store.places(thread.thread_id):
                found = self._get(place, None)
                for channel, value in found.checkpoint["channel_values"].items() if found else ():
                    for position, element in enumerate(value if isinstance(value, list) else ()):
                        yield (*place, channel, position, *_shown(element))


def _shown(element: Any) -> tuple[str, str]:
    content = getattr(element, "content", element)
    kind = getattr(element, "type", type(element).__name__)
    return str(kind), content if isinstance(content, str) else json.dumps(content, default=str)


@dataclass
class _Hot:
    row: CheckpointRow
    writes: list[bytes] = field(default_factory=list)


class DuckDBStore:
    clear_metadata = True

    def __init__(self, path: str, durability: Durability) -> None:
        if durability not in ("full", "normal"):
            raise ValueError(f"durability is 'full' or 'normal', not {durability!r}")
        self._scratch = _scratch_folder() if path == ":memory:" or not path else None
        self.path = Path(self._scratch.name) / "memory" if self._scratch else Path(path).resolve()
        self.name = ":memory:" if self._scratch else str(self.path)
        self._journal = Journal(self.path, durable=durability == "full" and not self._scratch)
        self._state_lock = threading.RLock()  # what is in memory, and the journal's order
        self._db_lock = threading.RLock()  # the connection; taken before the state's, never after
        self._pending: list[tuple[int, Batch]] = []
        self._unsettled: Counter[Place] = Counter()
        self._hot: OrderedDict[Place, _Hot] = OrderedDict()
        self._hot_values: OrderedDict[tuple[Place, int], bytes] = OrderedDict()
        self._early: dict[tuple[Place, str], list[bytes]] = {}
        self._known: dict[Place, str] = {}
        self._ends: dict[int, int] = {}
        self._fences: dict[str, int] = {}
        self._wake = threading.Event()
        self._again: set[tuple[Place, str]] = set()
        self._stuck = False
        self._closing = False
        self._lock_file = self._locked()
        try:
            self._db = self._opened()
            self._recover()
        except BaseException:
            os.close(self._lock_file)
            raise
        self._mover = threading.Thread(target=self._move, name="checkpoint-journal", daemon=True)
        self._mover.start()

    # Opening

    def _locked(self) -> int:
        """Hold `<path>.lock`, which says who has the file."""
        path = self.path.with_name(self.path.name + ".lock")
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StoreReadOnly(self.name, error.strerror or str(error)) from error
        if not locked(file):
            holder = os.pread(file, 4096, 0)
            os.close(file)
            raise StoreLocked(self.name, _described(holder), _ONE_PROCESS)
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(me()).encode(), 0)
        return file

    def _opened(self) -> DuckDBPyConnection:
        import duckdb

        if not _is_duckdb(self.path):
            raise NotADatabase(self.name, "DuckDB")
        try:
            return duckdb.connect(str(self.path), config={"threads": 2})
        except duckdb.Error as error:
            holder = holders(self.path)
            if holder != "another process":
                raise StoreLocked(self.name, holder, _ONE_PROCESS) from error
            raise StoreError(
                f"{self.name} can't be opened ({error}). If a newer DuckDB wrote it, upgrade duckdb; else restore it."
            ) from error

    def _recover(self) -> None:
        self._upgrade()
        last = self._rows("SELECT journal FROM saver_state")[0][0]
        self._pending = [(sequence, _unpacked(payload)) for sequence, payload in self._journal.recovered(last)]
        if self._pending:
            log.info("journal recovered", extra={"store": self.name, "steps": len(self._pending)})
            self._insert(
                self._pending, {(b.checkpoint.place, b.checkpoint.id) for _, b in self._pending if b.checkpoint}
            )
            self._pending = []
        self._journal.open()
        for thread_id, ns, newest in self._rows(
            "SELECT thread_id, ns, max(id) FROM (SELECT thread_id, ns, id FROM saver_checkpoints "
            "UNION ALL SELECT DISTINCT thread_id, ns, '' FROM saver_writes) GROUP BY ALL"
        ):
            self._known[Place(thread_id, ns)] = newest

    def _upgrade(self) -> None:
        tables = {name for (name,) in self._rows("SELECT table_name FROM duckdb_tables()")}
        version = self._rows("SELECT schema FROM saver_state")[0][0] if "saver_state" in tables else 0
        if version > len(MIGRATIONS):
            raise NewerSchema(self.name, version, len(MIGRATIONS))
        if version == 0 and tables:
            raise NotADatabase(self.name, "DuckDB")
        if version < len(MIGRATIONS):
            with self._transaction() as db:
                for script in MIGRATIONS[version:]:
                    db.execute(script)
                db.execute("UPDATE saver_state SET schema=?", [len(MIGRATIONS)])

    # Writing: memory and journal first, tables later

    def commit(self, batch: Batch) -> None:
        for segment in batch.segments:
            self._learn_end(segment)
        with self._state_lock:
            if any(self._ends.get(s.lineage, 0) != s.start for s in batch.segments):
                raise LineageTaken
            sequence = self._journaled(batch)
            self._pending.append((sequence, batch))
            self._unsettled.update(_places(batch))
            self._remember(batch)
            waiting = len(self._pending)
        self._journal.sync(sequence)
        if waiting >= _PATIENT:
            self._settle()
        elif waiting >= _EAGER:
            self._wake.set()

    def _journaled(self, batch: Batch) -> int:
        try:
            return self._journal.write(_packed(batch))
        except OSError as error:
            raise StoreFull(self.name, error.strerror or str(error)) from error

    def _remember(self, batch: Batch) -> None:
        for segment in batch.segments:
            self._ends[segment.lineage] = segment.start + segment.size
        for value in batch.values:
            self._hot_values[value.place, value.key] = value.data
            if len(self._hot_values) > _HOT_VALUES:
                self._hot_values.popitem(last=False)
        if batch.writes:
            self._remember_writes(batch.writes)
        if batch.checkpoint:
            self._remember_checkpoint(batch.checkpoint)

    def _remember_writes(self, row: WritesRow) -> None:
        hot = self._hot.get(row.place)
        self._known.setdefault(row.place, "")
        if hot and hot.row.id == row.checkpoint_id:
            hot.writes.append(row.data)
        elif row.checkpoint_id > self._known[row.place]:
            self._early.setdefault((row.place, row.checkpoint_id), []).append(row.data)

    def _remember_checkpoint(self, row: CheckpointRow) -> None:
        hot = self._hot.get(row.place)
        if hot and hot.row.id == row.id:
            hot.row = row
            self._again.add((row.place, row.id))
        elif row.id > self._known.get(row.place, ""):
            self._hot[row.place] = _Hot(row, self._early.pop((row.place, row.id), []))
            self._known[row.place] = row.id
        else:
            self._again.add((row.place, row.id))
        self._cool(row.place)

    def _cool(self, place: Place) -> None:
        if place in self._hot:
            self._hot.move_to_end(place)
        while len(self._hot) > _HOT:
            self._hot.popitem(last=False)

    def _learn_end(self, segment: SegmentRow) -> None:
        """Where a lineage ends that an earlier process began."""
        if segment.start == 0 or segment.lineage in self._ends:
            return
        with self._db_lock:
            self._settle(segment.place)
            rows = self._rows(
                "SELECT coalesce(max(start + size), 0) FROM saver_segments WHERE thread_id=? AND ns=? AND lineage=?",
                (*segment.place, segment.lineage),
            )
            with self._state_lock:
                self._ends.setdefault(segment.lineage, rows[0][0])

    # Moving the journal into the tables

    def _move(self) -> None:
        while not self._closing:
            self._wake.wait(_DELAY)
            self._wake.clear()
            try:
                self._settle()
            except StoreError as error:
                log.warning("journal not moved", extra={"store": self.name, "error": str(error)})
                self._wake.wait(1.0)

    def _settle(self, place: Place | None = None) -> None:
        """Move what waits; with a place, only when something of it waits. When it fails it goes on waiting."""
        with self._db_lock:
            with self._state_lock:
                if not self._pending or (place is not None and not self._unsettled[place]):
                    return
                moved, self._pending = self._pending, []
                again = set(self._again)
                if not self._stuck:
                    self._journal.rotate()
                self._stuck = True  # until these are in the tables the other file must not be written over
            try:
                self._insert(moved, again)
            except BaseException:
                with self._state_lock:
                    self._pending[:0] = moved
                raise
            with self._state_lock:
                self._stuck = False
                self._again -= {(b.checkpoint.place, b.checkpoint.id) for _, b in moved if b.checkpoint}
                for _, batch in moved:
                    self._unsettled.subtract(_places(batch))
                self._unsettled = +self._unsettled

    def _insert(self, moved: Sequence[tuple[int, Batch]], again: Collection[tuple[Place, str]]) -> None:
        """`again` are checkpoints that the tables may have already."""
        rows: dict[str, list[tuple[Any, ...]]] = {table: [] for table in _TABLES}
        for sequence, batch in moved:
            rows["saver_segments"] += [(*row.place, *row[1:]) for row in batch.segments]
            rows["saver_values"] += [(*row.place, *row[1:]) for row in batch.values]
            if batch.writes:
                rows["saver_writes"].append(
                    (*batch.writes.place, batch.writes.checkpoint_id, sequence, batch.writes.data)
                )
        checkpoints = {(b.checkpoint.place, b.checkpoint.id): b.checkpoint for _, b in moved if b.checkpoint}
        rows["saver_checkpoints"] = [(*row.place, *row[1:]) for row in checkpoints.values()]
        with self._transaction() as db:
            for place, checkpoint_id in checkpoints.keys() & again:
                _each(db, _DELETE_CHECKPOINTS, place, [checkpoint_id])
            for table, found in rows.items():
                if found:
                    with db.appender(table) as appender:
                        appender.append_rows(found)
            db.execute("UPDATE saver_state SET journal=?", [moved[-1][0]])

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[DuckDBPyConnection]:
        import duckdb

        with self._db_lock:
            self._db.execute("BEGIN")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException as error:
                with contextlib.suppress(duckdb.Error):
                    self._db.execute("ROLLBACK")
                if isinstance(error, duckdb.Error):
                    raise self._named(error) from error
                raise

    def _rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        import duckdb

        with self._db_lock:
            try:
                return self._db.execute(sql, list(parameters)).fetchall()
            except duckdb.Error as error:
                raise self._named(error) from error

    def _named(self, error: Exception) -> StoreError:
        import duckdb

        if isinstance(error, duckdb.IOException | duckdb.OutOfMemoryException):
            return StoreFull(self.name, str(error))
        return StoreError(f"{self.name}: {error}")

    # Reading

    def latest(self, place: Place) -> CheckpointRow | None:
        with self._state_lock:
            newest = self._known.get(place)
            if newest is None:
                return None
            hot = self._hot.get(place)
            if hot:
                return hot.row
        if newest:  # half the time of looking for the newest
            rows = self._select(place, "thread_id=? AND ns=? AND id=?", (*place, newest))
        else:
            rows = self._select(place, "thread_id=? AND ns=? ORDER BY id DESC LIMIT 1", place)
        if rows:
            self._warm(rows[0])
        return rows[0] if rows else None

    def _warm(self, row: CheckpointRow) -> None:
        with self._db_lock:
            writes = self._stored_writes(row.place, row.id)
            with self._state_lock:
                if (
                    row.place not in self._hot
                    and self._known.get(row.place) == row.id
                    and not self._unsettled[row.place]
                ):
                    self._hot[row.place] = _Hot(row, writes)
                    self._cool(row.place)

    def checkpoint(self, place: Place, checkpoint_id: str) -> CheckpointRow | None:
        with self._state_lock:
            hot = self._hot.get(place)
            if hot and hot.row.id == checkpoint_id:
                return hot.row
            if place not in self._known:
                return None
        rows = self._select(place, "thread_id=? AND ns=? AND id=?", (*place, checkpoint_id))
        return rows[0] if rows else None

    def _select(self, place: Place, where: str, parameters: Sequence[Any]) -> list[CheckpointRow]:
        with self._db_lock:
            self._settle(place)
            rows = self._rows(
                f"SELECT id, parent, metadata, body FROM saver_checkpoints WHERE {where}",  # noqa: S608 only our own texts
                parameters,
            )
        return [CheckpointRow(place, *row) for row in rows]

    def page(self, selection: Selection) -> list[CheckpointRow]:
        conditions, parameters = _conditions(selection)
        with self._db_lock:
            self._settle()
            rows = self._rows(
                "SELECT thread_id, ns, id, parent, metadata, body FROM saver_checkpoints"  # noqa: S608 question marks
                f"{conditions} ORDER BY id DESC, thread_id, ns LIMIT ?",
                (*parameters, selection.limit),
            )
        return [CheckpointRow(Place(thread_id, ns), *rest) for thread_id, ns, *rest in rows]

    def writes(self, place: Place, checkpoint_id: str) -> list[bytes]:
        with self._state_lock:
            hot = self._hot.get(place)
            if hot and hot.row.id == checkpoint_id:
                return list(hot.writes)
        with self._db_lock:
            self._settle(place)
            return self._stored_writes(place, checkpoint_id)

    def writes_of(self, place: Place, checkpoint_ids: Sequence[str]) -> dict[str, list[bytes]]:
        with self._db_lock:
            self._settle(place)
            rows = self._rows(
                "SELECT checkpoint_id, data FROM saver_writes WHERE thread_id=? AND ns=? "
                "AND checkpoint_id IN (SELECT unnest(?)) ORDER BY seq",
                (*place, list(checkpoint_ids)),
            )
        found: dict[str, list[bytes]] = {}
        for checkpoint_id, data in rows:
            found.setdefault(checkpoint_id, []).append(data)
        return found

    def _stored_writes(self, place: Place, checkpoint_id: str) -> list[bytes]:
        rows = self._rows(
            "SELECT seq, data FROM saver_writes WHERE thread_id=? AND ns=? AND checkpoint_id=?",
            (*place, checkpoint_id),
        )
        return [data for _, data in sorted(rows)]

    def segments(self, place: Place, lineage: int, start: int, stop: int) -> list[SegmentRow]:
        with self._db_lock:
            self._settle(place)
            rows = self._rows(
                "SELECT lineage, start, size, hashes, data FROM saver_segments WHERE thread_id=? AND ns=? "
                "AND lineage=? AND start<? AND start + size>?",
                (*place, lineage, stop, start),
            )
        return [SegmentRow(place, *row) for row in sorted(rows, key=lambda row: row[1])]

    def values(self, place: Place, keys: Sequence[int]) -> dict[int, bytes]:
        with self._state_lock:
            found = {key: self._hot_values[place, key] for key in keys if (place, key) in self._hot_values}
        missing = [key for key in keys if key not in found]
        if missing:
            with self._db_lock:
                self._settle(place)
                sql = "SELECT key, data FROM saver_values WHERE thread_id=? AND ns=? AND key IN (SELECT unnest(?))"
                found.update(dict(self._rows(sql, (*place, missing))))
        return found

    def places(self, thread_id: str) -> list[Place]:
        with self._state_lock:
            return sorted(place for place in self._known if place.thread_id == thread_id)

    def segment_keys(self, place: Place) -> list[SegmentKey]:
        with self._db_lock:
            self._settle(place)
            sql = "SELECT lineage, start, size FROM saver_segments WHERE thread_id=? AND ns=?"
            return [SegmentKey(*row) for row in self._rows(sql, place)]

    def value_keys(self, place: Place) -> list[int]:
        with self._db_lock:
            self._settle(place)
            return [key for (key,) in self._rows("SELECT key FROM saver_values WHERE thread_id=? AND ns=?", place)]

    def threads(self) -> list[ThreadInfo]:
        with self._db_lock:
            self._settle()
            rows = self._rows(
                """
                SELECT thread_id, sum(n), sum(size), max(newest), count(DISTINCT ns) FILTER (n > 0) FROM (
                    SELECT thread_id, ns, 1 AS n, octet_length(metadata) + octet_length(body) + strlen(id) AS size,
                        id AS newest FROM saver_checkpoints
                    UNION ALL SELECT thread_id, ns, 0, octet_length(hashes) + octet_length(data), '' FROM saver_segments
                    UNION ALL SELECT thread_id, ns, 0, octet_length(data), '' FROM saver_values
                    UNION ALL SELECT thread_id, ns, 0, octet_length(data), '' FROM saver_writes
                ) GROUP BY thread_id HAVING sum(n) > 0 ORDER BY max(newest) DESC
                """
            )
        return [
            ThreadInfo(t, int(count), int(size), time_of(newest), places) for t, count, size, newest, places in rows
        ]

    def select(self, sql: str, parameters: Sequence[Any], messages: Any) -> list[tuple[Any, ...]]:
        with self._db_lock:
            self._settle()
            self._rows(
                "CREATE OR REPLACE TEMP TABLE messages(thread_id VARCHAR, ns VARCHAR, channel VARCHAR, "
                "position BIGINT, type VARCHAR, content VARCHAR)"
            )
            if "messages" in sql.lower() and (found := list(messages())):
                with self._db.appender("messages") as appender:
                    appender.append_rows(found)
            try:
                return self._rows(sql, parameters)
            finally:
                self._rows("DROP TABLE temp.messages")

    # Keeping house: the journal is moved first, then the tables are changed directly

    @contextlib.contextmanager
    def _changing(self, thread_ids: Iterable[str]) -> Iterator[DuckDBPyConnection]:
        """The tables with nothing waiting; afterwards nothing of these threads is remembered."""
        changed = set(thread_ids)
        with self._db_lock, self._state_lock:
            self._settle()
            with self._transaction() as db:
                yield db
            self._forget(changed)

    def _forget(self, thread_ids: set[str]) -> None:
        for place in [p for p in self._known if p.thread_id in thread_ids]:
            self._hot.pop(place, None)
            newest = self._rows("SELECT max(id) FROM saver_checkpoints WHERE thread_id=? AND ns=?", place)[0][0]
            if newest:
                self._known[place] = newest
            else:
                del self._known[place]
        for key in [k for k in self._hot_values if k[0].thread_id in thread_ids]:
            del self._hot_values[key]
        for early in [k for k in self._early if k[0].thread_id in thread_ids]:
            del self._early[early]
        self._ends.clear()

    def remove(self, removals: Iterable[Removal]) -> None:
        removals = list(removals)
        with self._changing(r.place.thread_id for r in removals) as db:
            for removal in removals:
                place = removal.place
                _each(db, _DELETE_CHECKPOINTS, place, removal.checkpoints)
                _each(db, _DELETE_WRITES, place, removal.checkpoints)
                _each(db, _ORPHAN, place, removal.orphans)
                _each(db, _DELETE_VALUES, place, removal.values)
                _each(db, _DELETE_SEGMENTS, place, removal.segments)

    def delete_thread(self, thread_id: str) -> None:
        with self._changing([thread_id]) as db:
            for table in _OWNED:
                db.execute(f"DELETE FROM {table} WHERE thread_id=?", [thread_id])  # noqa: S608 our own tables

    def copy_thread(self, source: str, target: str) -> None:
        with self._changing([target]) as db:
            for table in _OWNED:
                db.execute(
                    f"INSERT INTO {table} SELECT * REPLACE (? AS thread_id) FROM {table} WHERE thread_id=?",  # noqa: S608
                    [target, source],
                )
            with self._state_lock:
                for place in self.places(source):
                    self._known[Place(target, place.ns)] = ""

    def compact(self, compactions: Iterable[Compaction]) -> None:
        for compaction in list(compactions):
            place, merged = compaction.place, compaction.merged
            with self._changing([place.thread_id]) as db:
                _each(db, _DELETE_SEGMENTS, place, [(merged.lineage, start) for start in compaction.starts])
                db.execute("INSERT INTO saver_segments VALUES(?,?,?,?,?,?,?)", [*place, *merged[1:]])

    def claim(self, thread_id: str, key: str, data: bytes) -> bool:
        """Not by way of the journal: claims are few, and the tables' own log keeps them."""
        with self._transaction() as db:
            free = self.claimed(thread_id, key) is None
            if free:
                db.execute("INSERT INTO saver_claims VALUES(?,?,?)", [thread_id, key, data])
            return free

    def claimed(self, thread_id: str, key: str) -> bytes | None:
        rows = self._rows("SELECT data FROM saver_claims WHERE thread_id=? AND key=?", (thread_id, key))
        return rows[0][0] if rows else None

    def next_fence(self, thread_id: str) -> int:
        with self._db_lock, self._state_lock:
            fence = self._fences[thread_id] = self._fences.get(thread_id, 0) + 1
            return fence

    def fence(self, thread_id: str) -> int:
        return self._fences.get(thread_id, 0)

    def vacuum(self) -> None:
        """Write the tables to a new file: deleted rows leave no hole that DuckDB would reuse otherwise."""
        if self._scratch:
            return
        fresh = self.path.with_name(self.path.name + ".vacuum")
        with self._db_lock, self._state_lock:
            self._settle()
            fresh.unlink(missing_ok=True)
            self._rows(f"ATTACH '{_quoted(fresh)}' AS saver_fresh")
            old = self._rows("SELECT current_database()")[0][0]
            self._rows(f'COPY FROM DATABASE "{old.replace(chr(34), chr(34) * 2)}" TO saver_fresh')
            self._rows("CHECKPOINT saver_fresh")
            self._rows("DETACH saver_fresh")
            self._db.close()
            fresh.replace(self.path)
            self._db = self._opened()

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._wake.set()
        self._mover.join()
        try:
            self._settle()
            self._db.close()
            self._journal.close(remove=True)
        finally:
            os.close(self._lock_file)
            if self._scratch:
                self._scratch.cleanup()


_DELETE_CHECKPOINTS = "DELETE FROM saver_checkpoints WHERE thread_id=? AND ns=? AND id IN (SELECT unnest(?))"
_DELETE_WRITES = "DELETE FROM saver_writes WHERE thread_id=? AND ns=? AND checkpoint_id IN (SELECT unnest(?))"
_DELETE_VALUES = "DELETE FROM saver_values WHERE thread_id=? AND ns=? AND key IN (SELECT unnest(?))"
_DELETE_SEGMENTS = (
    "DELETE FROM saver_segments WHERE thread_id=? AND ns=? AND (lineage, start) IN (SELECT (unnest(?), unnest(?)))"
)
_ORPHAN = "UPDATE saver_checkpoints SET parent=NULL WHERE thread_id=? AND ns=? AND id IN (SELECT unnest(?))"

_ONE_PROCESS = (
    "DuckDB lets one process have a file: end that process, use its program for both tasks, "
    "or choose the SQLite store, which several processes can share."
)


def _is_duckdb(path: Path) -> bool:
    """A new file, or one with DuckDB's magic bytes."""
    if not path.exists() or path.stat().st_size == 0:
        return True
    with path.open("rb") as file:
        return file.read(12)[8:] == b"DUCK"


def _scratch_folder() -> Any:
    from tempfile import TemporaryDirectory

    return TemporaryDirectory(prefix="duckdb-saver-")


def _described(holder: bytes) -> str:
    try:
        who = json.loads(holder)
    except ValueError:
        return "another process"
    return f"process {who['pid']} on {who['host']} (since {who['since']})"


def _places(batch: Batch) -> list[Place]:
    row = batch.checkpoint or batch.writes
    return [row.place] if row else [s.place for s in batch.segments[:1]]


def _packed(batch: Batch) -> bytes:
    return ormsgpack.packb([batch.checkpoint, batch.segments, batch.values, batch.writes], default=tuple)


def _unpacked(payload: bytes) -> Batch:
    checkpoint, segments, values, writes = ormsgpack.unpackb(payload)
    return Batch(
        CheckpointRow(Place(*checkpoint[0]), *checkpoint[1:]) if checkpoint else None,
        [SegmentRow(Place(*row[0]), *row[1:]) for row in segments],
        [ValueRow(Place(*row[0]), *row[1:]) for row in values],
        WritesRow(Place(*writes[0]), *writes[1:]) if writes else None,
    )


def _each(db: DuckDBPyConnection, sql: str, place: Place, keys: Sequence[Any]) -> None:
    """One statement for all the keys; a key of several columns becomes several lists."""
    if keys:
        columns = zip(*keys, strict=True) if isinstance(keys[0], tuple) else [keys]
        db.execute(sql, [*place, *map(list, columns)])


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _conditions(selection: Selection) -> tuple[str, list[Any]]:
    from checkpointers.sqlite import _conditions as conditions

    return conditions(selection)
