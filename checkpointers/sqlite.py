"""Checkpoints in one SQLite file: the local default. Several processes may use the file at once."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from langgraph.checkpoint.serde.base import SerializerProtocol

from checkpointers import official
from checkpointers.encoding import Codec
from checkpointers.errors import (
    CorruptRow,
    NewerSchema,
    NotADatabase,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
)
from checkpointers.lease import FileLocks
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
)
from checkpointers.retention import Retention
from checkpointers.saver import serializer
from checkpointers.segmented import SegmentedSaver, lock_folder
from checkpointers.times import time_of
from checkpointers.transfer import RawCheckpoint

log = logging.getLogger(__name__)
Durability = Literal["full", "normal"]
Execute = Callable[..., sqlite3.Cursor]

# A file at version n has had the first n of these. Never edit one; append.
MIGRATIONS = (
    """
    CREATE TABLE saver_places(
        place INTEGER PRIMARY KEY, thread_id TEXT NOT NULL, ns TEXT NOT NULL, UNIQUE(thread_id, ns));
    CREATE TABLE saver_checkpoints(
        place INTEGER NOT NULL, id TEXT NOT NULL, parent TEXT, metadata BLOB NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY(place, id)) WITHOUT ROWID;
    CREATE TABLE saver_segments(
        place INTEGER NOT NULL, lineage INTEGER NOT NULL, start INTEGER NOT NULL, size INTEGER NOT NULL,
        hashes BLOB NOT NULL, data BLOB NOT NULL);
    CREATE UNIQUE INDEX saver_segments_at ON saver_segments(place, lineage, start);
    CREATE TABLE saver_values(place INTEGER NOT NULL, key INTEGER NOT NULL, data BLOB NOT NULL);
    CREATE UNIQUE INDEX saver_values_at ON saver_values(place, key);
    CREATE TABLE saver_writes(place INTEGER NOT NULL, checkpoint TEXT NOT NULL, data BLOB NOT NULL);
    CREATE INDEX saver_writes_at ON saver_writes(place, checkpoint);
    """,
    "CREATE TABLE saver_fences(thread_id TEXT PRIMARY KEY, fence INTEGER NOT NULL) WITHOUT ROWID;",
    """
    CREATE TABLE saver_claims(
        thread_id TEXT NOT NULL, key TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY(thread_id, key)) WITHOUT ROWID;
    """,
)
_TABLES = ("saver_checkpoints", "saver_segments", "saver_values", "saver_writes")
_WAIT = 30.0

_LATEST = "SELECT id, parent, metadata, body FROM saver_checkpoints WHERE place=? ORDER BY id DESC LIMIT 1"
_BY_ID = "SELECT id, parent, metadata, body FROM saver_checkpoints WHERE place=? AND id=?"
_WRITES = "SELECT data FROM saver_writes WHERE place=? AND checkpoint=? ORDER BY rowid"

_ADD_WRITES = "INSERT INTO saver_writes VALUES(?,?,?)"
_ADD_CHECKPOINT = "INSERT OR REPLACE INTO saver_checkpoints VALUES(?,?,?,?,?)"

# A segment begins where its lineage ends; when another writer was there first, nothing is inserted.
_APPEND = """
    INSERT INTO saver_segments SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE ?3 = coalesce((
        SELECT start + size FROM saver_segments WHERE place=?1 AND lineage=?2 ORDER BY start DESC LIMIT 1), 0)
"""

# A checkpoint with at most one segment and one value is one statement: a transaction by itself, at 2/3 of the time.
# Only the connection that writes has this; it isn't in the file.
_STEP = """
    CREATE TEMP VIEW saver_step AS SELECT 0 AS place, 0 AS id, 0 AS parent, 0 AS metadata, 0 AS body,
        0 AS lineage, 0 AS start, 0 AS size, 0 AS hashes, 0 AS elements, 0 AS key, 0 AS value;
    CREATE TEMP TRIGGER saver_step_saved INSTEAD OF INSERT ON saver_step BEGIN
        SELECT RAISE(ABORT, 'lineage taken') WHERE new.start <> coalesce((
            SELECT start + size FROM saver_segments
            WHERE place=new.place AND lineage=new.lineage ORDER BY start DESC LIMIT 1), 0);
        INSERT INTO saver_segments
            SELECT new.place, new.lineage, new.start, new.size, new.hashes, new.elements WHERE new.lineage IS NOT NULL;
        INSERT INTO saver_values SELECT new.place, new.key, new.value WHERE new.key IS NOT NULL;
        INSERT OR REPLACE INTO saver_checkpoints VALUES(new.place, new.id, new.parent, new.metadata, new.body);
    END;
"""
_ADD_STEP = "INSERT INTO temp.saver_step VALUES(?,?,?,?,?,?,?,?,?,?,?,?)"
_NO_SEGMENT = (None,) * 5
_NO_VALUE = (None,) * 2


class SqliteSaver(SegmentedSaver):
    """Checkpoints in one SQLite file.

    >>> from checkpointers import SqliteSaver
    >>> with SqliteSaver.from_conn_string(":memory:") as saver:
    ...     config = {"configurable": {"thread_id": "1", "checkpoint_ns": ""}}
    ...     saver.get_tuple(config) is None
    True

    `durability` "full" waits for the disk at each step, as the official saver does: nothing acknowledged is lost when
    the power fails. "normal" leaves that to the system: nothing is lost when the process is killed, the last steps
    may be when the power fails.
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
        busy_timeout: float = _WAIT,
    ) -> None:
        store = SqliteStore(str(path), durability, busy_timeout)
        chosen = serializer(serde, allowed_types, encryption_key)
        super().__init__(store, store.locks(), chosen, retention=retention, always_serialize=always_serialize)
        if store.has_official_threads():
            self._take_over(store)

    def _take_over(self, store: SqliteStore) -> None:
        """Bring the official saver's threads over. Each is removed there when it is complete here, so that this can be
        interrupted at any point."""
        with self.lease("\0official", timeout=3600):
            for thread_id in store.official_threads():
                log.info("taking over a thread", extra={"store": self.name, "thread_id": thread_id})
                self._adopt(store.official_checkpoints(thread_id, self._codec))
                store.forget_official(thread_id)
            store.forget_official(None)

    @classmethod
    @contextlib.contextmanager
    def from_conn_string(cls, conn_string: str, **options: Any) -> Iterator[SqliteSaver]:
        with cls(conn_string, **options) as saver:
            yield saver


class SqliteStore:
    """One connection writes and one reads: a reader never waits for the disk."""

    clear_metadata = False

    def __init__(self, path: str, durability: Durability, busy_timeout: float = _WAIT) -> None:
        if durability not in ("full", "normal"):
            raise ValueError(f"durability is 'full' or 'normal', not {durability!r}")
        self._memory = path == ":memory:" or not path
        self.name = ":memory:" if self._memory else str(Path(path).resolve())
        self._scratch = tempfile.TemporaryDirectory(prefix="leases-") if self._memory else None
        self._wait = busy_timeout
        self._write_lock = threading.RLock()
        self._places: dict[Place, int] = {}
        self._new_places: dict[Place, int] = {}  # of the transaction that isn't committed yet
        with self._errors():
            self._writer = self._connected(durability)
            self._reader, self._read_lock = self._writer, self._write_lock
            try:
                self._upgrade()
                self._writer.executescript(_STEP)
                if not self._memory:
                    self._reader, self._read_lock = self._connected(durability), threading.RLock()
            except BaseException:
                self._writer.close()
                raise

    def locks(self) -> FileLocks:
        return FileLocks(Path(self._scratch.name)) if self._scratch else lock_folder(Path(self.name))

    def _connected(self, durability: Durability) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.name, timeout=self._wait, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={durability.upper()}")
        return connection

    def _upgrade(self) -> None:
        version = self._version()
        if version > len(MIGRATIONS):
            raise NewerSchema(self.name, version, len(MIGRATIONS))
        if version == len(MIGRATIONS):
            return
        with self._transaction() as write:
            version = self._version()
            if version == 0 and self._foreign():
                raise NotADatabase(self.name, "SQLite")
            for script in MIGRATIONS[version:]:
                for statement in filter(str.strip, script.split(";")):
                    write(statement)
            write(f"PRAGMA user_version={len(MIGRATIONS)}")

    def _version(self) -> int:
        version: int = self._writer.execute("PRAGMA user_version").fetchone()[0]
        return version

    def _foreign(self) -> bool:
        """A database, but with somebody else's tables (the official saver's are read and taken over)."""
        names = {name for (name,) in self._writer.execute("SELECT name FROM sqlite_master WHERE type='table'")}
        return bool(names - {"checkpoints", "writes", "store", "store_migrations", "store_vectors", "sqlite_sequence"})

    # The official saver's rows

    def has_official_threads(self) -> bool:
        with self._read_lock, self._errors():
            return official.is_official(self._reader)

    def official_threads(self) -> list[str]:
        with self._read_lock, self._errors():
            return official.threads(self._reader) if official.is_official(self._reader) else []

    def official_checkpoints(self, thread_id: str, codec: Codec) -> Iterator[RawCheckpoint]:
        with self._read_lock, self._errors():
            yield from official.checkpoints(self._reader, thread_id, codec)

    def forget_official(self, thread_id: str | None) -> None:
        with self._transaction() as execute:
            if official.is_official(self._writer):
                for statement in official.removal(thread_id):
                    execute(statement, (thread_id,) if thread_id is not None else ())

    # Writing

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Execute]:
        with self._write_lock:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                yield self._writer.execute
                self._writer.execute("COMMIT")
                self._places.update(self._new_places)
                self._new_places.clear()
            except sqlite3.Error as error:
                self._undo()
                raise self._named(error) from error
            except BaseException:
                self._undo()
                raise

    def _undo(self) -> None:
        self._new_places.clear()
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")

    def commit(self, batch: Batch) -> None:
        row = batch.checkpoint or batch.writes
        number = self._places.get(row.place) if row else None
        statement = None if number is None else _statement(number, batch)
        if statement is None:
            with self._transaction() as execute:
                self._insert(execute, batch)
            return
        with self._write_lock:
            try:
                self._writer.execute(*statement)
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_CONSTRAINT_TRIGGER:
                    raise LineageTaken from None
                raise self._named(error) from error

    def _insert(self, execute: Execute, batch: Batch) -> None:
        if batch.writes:
            number = self._number(execute, batch.writes.place)
            execute(_ADD_WRITES, (number, *batch.writes[1:]))
        for segment in batch.segments:
            number = self._number(execute, segment.place)
            if execute(_APPEND, (number, *segment[1:])).rowcount == 0:
                raise LineageTaken
        for value in batch.values:
            execute("INSERT INTO saver_values VALUES(?,?,?)", (self._number(execute, value.place), *value[1:]))
        if batch.checkpoint:
            number = self._number(execute, batch.checkpoint.place)
            execute(_ADD_CHECKPOINT, (number, *batch.checkpoint[1:]))

    def _number(self, execute: Execute, place: Place) -> int:
        """A place's number; it stays when the thread is deleted, so that it never means another place."""
        number = self._places.get(place) or self._new_places.get(place)
        if number is None:
            execute("INSERT OR IGNORE INTO saver_places(thread_id, ns) VALUES(?,?)", place)
            number = int(execute("SELECT place FROM saver_places WHERE thread_id=? AND ns=?", place).fetchone()[0])
            self._new_places[place] = number
        return number

    # Reading

    def _read(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """By the connection that writes, whose cache is warm, unless it is busy."""
        idle = self._write_lock.acquire(blocking=False)
        if not idle:
            self._read_lock.acquire()
        try:
            return (self._writer if idle else self._reader).execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._named(error) from error
        finally:
            (self._write_lock if idle else self._read_lock).release()

    def _known(self, place: Place) -> int:
        """A place's number, or one that no place has."""
        number = self._places.get(place)
        if number is None:
            rows = self._read("SELECT place FROM saver_places WHERE thread_id=? AND ns=?", place)
            if not rows:
                return -1
            number = self._places[place] = int(rows[0][0])
        return number

    def latest(self, place: Place) -> CheckpointRow | None:
        return self._one(place, _LATEST, (self._known(place),))

    def checkpoint(self, place: Place, checkpoint_id: str) -> CheckpointRow | None:
        return self._one(place, _BY_ID, (self._known(place), checkpoint_id))

    def _one(self, place: Place, sql: str, parameters: tuple[Any, ...]) -> CheckpointRow | None:
        rows = self._read(sql, parameters)
        return CheckpointRow(place, *rows[0]) if rows else None

    def page(self, selection: Selection) -> list[CheckpointRow]:
        conditions, parameters = _conditions(selection)
        rows = self._read(
            "SELECT thread_id, ns, id, parent, metadata, body "  # noqa: S608 the conditions hold question marks
            "FROM saver_checkpoints JOIN saver_places USING(place)"
            f"{conditions} ORDER BY id DESC, thread_id, ns LIMIT ?",
            (*parameters, selection.limit),
        )
        return [CheckpointRow(Place(thread_id, ns), *rest) for thread_id, ns, *rest in rows]

    def writes(self, place: Place, checkpoint_id: str) -> list[bytes]:
        return [data for (data,) in self._read(_WRITES, (self._known(place), checkpoint_id))]

    def writes_of(self, place: Place, checkpoint_ids: Sequence[str]) -> dict[str, list[bytes]]:
        found = {checkpoint_id: self.writes(place, checkpoint_id) for checkpoint_id in checkpoint_ids}
        return {checkpoint_id: writes for checkpoint_id, writes in found.items() if writes}

    def segments(self, place: Place, lineage: int, start: int, stop: int) -> list[SegmentRow]:
        rows = self._read(
            "SELECT lineage, start, size, hashes, data FROM saver_segments "
            "WHERE place=(SELECT place FROM saver_places WHERE thread_id=? AND ns=?) AND lineage=? AND start<? "
            "ORDER BY start",
            (*place, lineage, stop),
        )
        return [SegmentRow(place, *row) for row in rows if row[1] + row[2] > start]

    def values(self, place: Place, keys: Sequence[int]) -> dict[int, bytes]:
        marks = ",".join("?" * len(keys))
        return dict(
            self._read(
                "SELECT key, data FROM saver_values WHERE "  # noqa: S608 only question marks are put in
                f"place=(SELECT place FROM saver_places WHERE thread_id=? AND ns=?) AND key IN ({marks})",
                (*place, *keys),
            )
        )

    def places(self, thread_id: str) -> list[Place]:
        rows = self._read(
            "SELECT ns FROM saver_places p WHERE thread_id=? AND (EXISTS(SELECT 1 FROM saver_checkpoints c "
            "WHERE c.place=p.place) OR EXISTS(SELECT 1 FROM saver_writes w WHERE w.place=p.place)) ORDER BY ns",
            (thread_id,),
        )
        return [Place(thread_id, ns) for (ns,) in rows]

    def segment_keys(self, place: Place) -> list[SegmentKey]:
        rows = self._read(
            "SELECT lineage, start, size FROM saver_segments JOIN saver_places USING(place) WHERE thread_id=? AND ns=?",
            place,
        )
        return [SegmentKey(*row) for row in rows]

    def value_keys(self, place: Place) -> list[int]:
        rows = self._read(
            "SELECT key FROM saver_values JOIN saver_places USING(place) WHERE thread_id=? AND ns=?", place
        )
        return [key for (key,) in rows]

    def threads(self) -> list[ThreadInfo]:
        rows = self._read(
            """
            SELECT thread_id, sum(n), sum(size), max(newest), count(n) FROM (
                SELECT thread_id, ns,
                    (SELECT count(*) FROM saver_checkpoints c WHERE c.place=p.place) AS n,
                    (SELECT max(id) FROM saver_checkpoints c WHERE c.place=p.place) AS newest,
                    coalesce((SELECT sum(length(metadata)+length(body)+length(id))
                        FROM saver_checkpoints c WHERE c.place=p.place),0)
                    + coalesce((SELECT sum(length(hashes)+length(data)) FROM saver_segments s WHERE s.place=p.place),0)
                    + coalesce((SELECT sum(length(data)) FROM saver_values v WHERE v.place=p.place),0)
                    + coalesce((SELECT sum(length(data)) FROM saver_writes w WHERE w.place=p.place),0) AS size
                FROM saver_places p) WHERE n > 0 GROUP BY thread_id ORDER BY max(newest) DESC
            """
        )
        return [ThreadInfo(t, count, size, time_of(newest), places) for t, count, size, newest, places in rows]

    # Keeping house

    def remove(self, removals: Iterable[Removal]) -> None:
        with self._transaction() as execute:
            for removal in removals:
                number = self._number(execute, removal.place)
                for checkpoint_id in removal.checkpoints:
                    execute("DELETE FROM saver_checkpoints WHERE place=? AND id=?", (number, checkpoint_id))
                    execute("DELETE FROM saver_writes WHERE place=? AND checkpoint=?", (number, checkpoint_id))
                for checkpoint_id in removal.orphans:
                    execute("UPDATE saver_checkpoints SET parent=NULL WHERE place=? AND id=?", (number, checkpoint_id))
                for segment in removal.segments:
                    execute("DELETE FROM saver_segments WHERE place=? AND lineage=? AND start=?", (number, *segment))
                for key in removal.values:
                    execute("DELETE FROM saver_values WHERE place=? AND key=?", (number, key))

    def delete_thread(self, thread_id: str) -> None:
        with self._transaction() as execute:
            for table in _TABLES:
                execute(
                    f"DELETE FROM {table} WHERE place IN (SELECT place FROM saver_places WHERE thread_id=?)",  # noqa: S608
                    (thread_id,),
                )
            execute("DELETE FROM saver_claims WHERE thread_id=?", (thread_id,))

    def copy_thread(self, source: str, target: str) -> None:
        with self._transaction() as execute:
            for ns, number in execute("SELECT ns, place FROM saver_places WHERE thread_id=?", (source,)).fetchall():
                copy = self._number(execute, Place(target, ns))
                for table, columns in _COPIED.items():
                    execute(
                        f"INSERT INTO {table}(place,{columns}) SELECT ?,{columns} FROM {table} WHERE place=?",  # noqa: S608
                        (copy, number),
                    )
            execute(
                "INSERT OR IGNORE INTO saver_claims SELECT ?, key, data FROM saver_claims WHERE thread_id=?",
                (target, source),
            )

    def compact(self, compactions: Iterable[Compaction]) -> None:
        for compaction in compactions:
            with self._transaction() as execute:
                number, merged = self._number(execute, compaction.place), compaction.merged
                gone = 0
                for start in compaction.starts:
                    gone += execute(
                        "DELETE FROM saver_segments WHERE place=? AND lineage=? AND start=?",
                        (number, merged.lineage, start),
                    ).rowcount
                if gone == len(compaction.starts):
                    execute("INSERT INTO saver_segments VALUES(?,?,?,?,?,?)", (number, *merged[1:]))
                else:
                    raise StoreError(f"{self.name}: another process is vacuuming it; try again later")

    def claim(self, thread_id: str, key: str, data: bytes) -> bool:
        with self._transaction() as execute:
            return execute("INSERT OR IGNORE INTO saver_claims VALUES(?,?,?)", (thread_id, key, data)).rowcount == 1

    def claimed(self, thread_id: str, key: str) -> bytes | None:
        rows = self._read("SELECT data FROM saver_claims WHERE thread_id=? AND key=?", (thread_id, key))
        return rows[0][0] if rows else None

    def next_fence(self, thread_id: str) -> int:
        with self._transaction() as execute:
            execute(
                "INSERT INTO saver_fences VALUES(?,1) ON CONFLICT(thread_id) DO UPDATE SET fence=fence+1", (thread_id,)
            )
            fence: int = execute("SELECT fence FROM saver_fences WHERE thread_id=?", (thread_id,)).fetchone()[0]
            return fence

    def fence(self, thread_id: str) -> int:
        rows = self._read("SELECT fence FROM saver_fences WHERE thread_id=?", (thread_id,))
        return rows[0][0] if rows else 0

    def vacuum(self) -> None:
        with self._write_lock, self._errors():
            self._writer.execute("VACUUM")
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._writer.close()
            if self._scratch:
                self._scratch.cleanup()

    # Errors

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """SQLite's errors by their code, as ours."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._named(error) from error

    def _named(self, error: sqlite3.Error) -> Exception:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        detail = str(error)
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            path = Path(self.name)
            remedy = f"It was busy for {self._wait:g} s: let that process finish or end it, and run the step again."
            return StoreLocked(self.name, holders(path, Path(f"{path}-shm"), Path(f"{path}-wal")), remedy)
        if code == sqlite3.SQLITE_NOTADB:
            return NotADatabase(self.name, "SQLite")
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            return StoreFull(self.name, detail)
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            return StoreReadOnly(self.name, detail)
        if code == sqlite3.SQLITE_CORRUPT:
            return CorruptRow(self.name, "a page of the file", detail)
        return error if isinstance(error, sqlite3.ProgrammingError) else StoreError(f"{self.name}: {detail}")


def _statement(place: int, batch: Batch) -> tuple[str, tuple[Any, ...]] | None:
    """The batch as one statement, or None when it takes several."""
    row, writes = batch.checkpoint, batch.writes
    if row is None:
        return (_ADD_WRITES, (place, *writes[1:])) if writes and not batch.segments and not batch.values else None
    if writes or len(batch.segments) > 1 or len(batch.values) > 1:
        return None
    if not batch.segments and not batch.values:
        return _ADD_CHECKPOINT, (place, *row[1:])
    segment = batch.segments[0][1:] if batch.segments else _NO_SEGMENT
    value = batch.values[0][1:] if batch.values else _NO_VALUE
    return _ADD_STEP, (place, *row[1:], *segment, *value)


_COPIED = {
    "saver_checkpoints": "id, parent, metadata, body",
    "saver_segments": "lineage, start, size, hashes, data",
    "saver_values": "key, data",
    "saver_writes": "checkpoint, data",
}


def _conditions(selection: Selection) -> tuple[str, list[Any]]:
    found: list[tuple[str, tuple[Any, ...]]] = []
    if selection.thread_id is not None:
        found.append(("thread_id=?", (selection.thread_id,)))
    if selection.ns is not None:
        found.append(("ns=?", (selection.ns,)))
    if selection.id is not None:
        found.append(("id=?", (selection.id,)))
    if selection.before is not None:
        found.append(("id<?", (selection.before,)))
    if selection.after is not None:
        last, place = selection.after
        found.append(("(id<? OR (id=? AND (thread_id, ns)>(?,?)))", (last, last, *place)))
    where = " AND ".join(condition for condition, _ in found)
    return (f" WHERE {where}" if where else ""), [p for _, parameters in found for p in parameters]
