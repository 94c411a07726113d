"""Checkpoints in one SQLite file: the local default. Several processes may use the file at once."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from langgraph.checkpoint.serde.base import SerializerProtocol

from checkpointers import addresses, damage, official
from checkpointers.earlier import SQLITE as EARLIER
from checkpointers.embedded import EmbeddedSaver
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
from checkpointers.lease import FileLocks, fresh_fence, lock_folder
from checkpointers.processes import holders
from checkpointers.records import Kept, NewRow, Place, Saved, Selection, Sweep, ThreadInfo, Written
from checkpointers.retention import Retention
from checkpointers.saver import Durability, serializer
from checkpointers.store import Older
from checkpointers.times import time_of
from checkpointers.transfer import RawCheckpoint

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
    """
    ALTER TABLE saver_places RENAME TO earlier_places;
    ALTER TABLE saver_checkpoints RENAME TO earlier_checkpoints;
    ALTER TABLE saver_segments RENAME TO earlier_segments;
    ALTER TABLE saver_values RENAME TO earlier_values;
    ALTER TABLE saver_writes RENAME TO earlier_writes;
    CREATE TABLE saver_places(
        place INTEGER PRIMARY KEY AUTOINCREMENT, thread_id TEXT NOT NULL, ns TEXT NOT NULL, UNIQUE(thread_id, ns));
    CREATE TABLE saver_rows(
        number INTEGER PRIMARY KEY, place INTEGER NOT NULL, id TEXT NOT NULL, part INTEGER NOT NULL, parent TEXT,
        data BLOB NOT NULL);
    CREATE UNIQUE INDEX saver_rows_at ON saver_rows(place, id, part);
    """,
)
_WAIT = 30.0

# A row's number is its place's, and below that a count. `part` is 0 for a checkpoint, else the row's own number; rows
# that others only point at have no id. Numbers of places are never used again: a number never means another row.
_ADD = """
    INSERT INTO saver_rows SELECT number, :place, :id, iif(:is_row, 0, number), :parent, :data FROM (
        SELECT coalesce((
            SELECT max(number) FROM saver_rows WHERE number BETWEEN :place << 32 AND (:place + 1 << 32) - 1
        ), :place << 32) + 1 AS number)
"""
_ADD_IN = _ADD + " WHERE EXISTS(SELECT 1 FROM saver_places WHERE place=:place)"  # noqa: S608 our own texts, as below
_ADD_TO = _ADD + " WHERE EXISTS(SELECT 1 FROM saver_rows WHERE number=:needed AND id=:needed_id)"  # noqa: S608
_HIDE = "UPDATE saver_rows SET id='', part=number, parent=NULL"

_CHECKPOINT = "SELECT number, id, parent, data FROM saver_rows WHERE place=:place AND id="
_BY_ID = _CHECKPOINT + ":id ORDER BY part"
_NEWEST = "SELECT id FROM saver_rows WHERE place=:place AND part=0 ORDER BY id DESC LIMIT 1"
_LATEST = f"{_CHECKPOINT}({_NEWEST}) ORDER BY part"
_NO_PLACE = -1


class SqliteSaver(EmbeddedSaver):
    """Checkpoints in one SQLite file: its path, a `file:` address, or a connection to it (of which the path is taken).

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
        path: str | Path | sqlite3.Connection,
        *,
        serde: SerializerProtocol | None = None,
        allowed_types: Iterable[tuple[str, ...]] = (),
        encryption_key: bytes | None = None,
        durability: Durability = "full",
        retention: Retention | None = None,
        always_serialize: bool = False,
        busy_timeout: float = _WAIT,
    ) -> None:
        store = SqliteStore(addresses.of_sqlite(path), durability, busy_timeout)
        chosen = serializer(serde, allowed_types, encryption_key)
        super().__init__(store, store.locks(), chosen, retention=retention, always_serialize=always_serialize)
        self._open(EARLIER, official)

    @classmethod
    def from_conn_string(cls, conn_string: str, **options: Any) -> Self:
        """For a `with` or an `async with` block."""
        return cls(conn_string, **options)


class SqliteStore:
    """One connection writes and one reads: a reader never waits for the disk."""

    clear_metadata = False

    def __init__(self, path: str, durability: Durability, busy_timeout: float = _WAIT) -> None:
        if durability not in ("full", "normal"):
            raise ValueError(f"durability is 'full' or 'normal', not {durability!r}")
        self._memory = path == ":memory:"
        self.name = path if self._memory else str(Path(path).resolve())
        self._scratch = tempfile.TemporaryDirectory(prefix="leases-") if self._memory else None
        self._wait = busy_timeout
        self._write_lock = threading.RLock()
        self._places: dict[Place, int] = {}
        self._new_places: dict[Place, int] = {}  # of the transaction that isn't committed yet
        with self._errors():
            self._writer = self._opened(durability)
            self._reader, self._read_lock = self._writer, self._write_lock
            try:
                self._upgrade()
                if not self._memory:
                    self._reader, self._read_lock = self._connected(durability), threading.RLock()
            except BaseException:
                self._writer.close()
                raise

    def locks(self) -> FileLocks:
        return FileLocks(Path(self._scratch.name)) if self._scratch else lock_folder(Path(self.name))

    def _opened(self, durability: Durability) -> sqlite3.Connection:
        if self._memory:
            return self._connected(durability)
        with damage.told(Path(self.name)) as look:
            connection = self._connected(durability)
            look(connection)
        return connection

    def _connected(self, durability: Durability) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.name, timeout=self._wait, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        self._switch_to_wal(connection)
        connection.execute(f"PRAGMA synchronous={durability.upper()}")
        return connection

    def _switch_to_wal(self, connection: sqlite3.Connection) -> None:
        """Of two that switch a new file at once SQLite answers one that it is busy, without the wait that was asked."""
        until = time.monotonic() + self._wait
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                    raise
                time.sleep(0.01)

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
            for statement in EARLIER.removal(None) if version == 0 else ():
                write(statement)
            write(f"PRAGMA user_version={len(MIGRATIONS)}")

    def _version(self) -> int:
        version: int = self._writer.execute("PRAGMA user_version").fetchone()[0]
        return version

    def _foreign(self) -> bool:
        """A database, but with somebody else's tables (the official saver's are read and taken over)."""
        names = {name for (name,) in self._writer.execute("SELECT name FROM sqlite_master WHERE type='table'")}
        return bool(names - {"checkpoints", "writes", "store", "store_migrations", "store_vectors", "sqlite_sequence"})

    # Threads in tables of another layout: `source` reads them

    def has_older(self, source: Older) -> bool:
        with self._read_lock, self._errors():
            return source.is_there(self._reader.execute)

    def older_threads(self, source: Older) -> list[str]:
        with self._read_lock, self._errors():
            return source.threads(self._reader.execute) if source.is_there(self._reader.execute) else []

    def older_checkpoints(self, source: Older, thread_id: str, codec: Codec) -> Iterator[RawCheckpoint]:
        with self._write_lock, self._errors():
            if source.is_there(self._writer.execute):
                yield from source.checkpoints(self._writer.execute, thread_id, codec)

    def forget_older(self, source: Older, thread_id: str | None) -> None:
        """A thread, or with None the empty tables."""
        with self._transaction() as execute:
            if source.is_there(execute):
                for statement in source.removal(thread_id):
                    execute(statement, (thread_id,) if thread_id is not None else ())

    # Writing

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Execute]:
        with self._write_lock:
            if self._writer.in_transaction:  # a part of a larger one
                yield self._writer.execute
                return
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

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        with self._transaction():
            yield

    def add(self, row: NewRow) -> int | None:
        """One statement, and so a transaction by itself; but for the first row of a place."""
        with self._write_lock:
            number = self._places.get(row.place) or self._new_places.get(row.place)
            try:
                added = self._add(number, row) if number else None
            except sqlite3.IntegrityError:
                added = self._add_again(row)
            except sqlite3.Error as error:
                raise self._named(error) from error
            return self._add_first(row) if added is None and row.needs is None else added

    def _add(self, place: int, row: NewRow) -> int | None:
        values = {"place": place, "id": row.id, "is_row": row.is_checkpoint, "parent": row.parent, "data": row.data}
        if row.needs:  # a checkpoint that is there is in a place that is there
            needed, needed_id = row.needs
            cursor = self._writer.execute(_ADD_TO, {**values, "needed": needed, "needed_id": needed_id})
        else:
            cursor = self._writer.execute(_ADD_IN, values)
        return cursor.lastrowid if cursor.rowcount else None

    def _add_again(self, row: NewRow) -> int | None:
        """A checkpoint whose id is there already."""
        with self._transaction() as execute:
            number = self._number(execute, row.place)
            execute(f"{_HIDE} WHERE place=? AND id=? AND part=0", (number, row.id))
            return self._add(number, row)

    def _add_first(self, row: NewRow) -> int | None:
        """The place may be new, or deleted and made again by another process."""
        try:
            with self._transaction() as execute:
                self._places.pop(row.place, None)
                return self._add(self._number(execute, row.place), row)
        except sqlite3.IntegrityError:
            return self._add_again(row)

    def _number(self, execute: Execute, place: Place) -> int:
        """A place's number, in a transaction."""
        execute("INSERT OR IGNORE INTO saver_places(thread_id, ns) VALUES(?,?)", place)
        number = int(execute("SELECT place FROM saver_places WHERE thread_id=? AND ns=?", place).fetchone()[0])
        self._new_places[place] = number
        return number

    # Reading

    def _read(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
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
                return _NO_PLACE
            number = self._places[place] = int(rows[0][0])
        return number

    def _found(self, place: Place, sql: str, checkpoint_id: str = "") -> list[Any]:
        """Rows of a place; another process may have deleted it and made it anew."""
        known = self._known(place)
        rows = self._read(sql, {"place": known, "id": checkpoint_id})
        if rows or known == _NO_PLACE:
            return rows
        self._places.pop(place, None)
        number = self._known(place)
        return rows if number == known else self._read(sql, {"place": number, "id": checkpoint_id})

    def latest(self, place: Place) -> Saved | None:
        return _saved(place, self._found(place, _LATEST))

    def checkpoint(self, place: Place, checkpoint_id: str) -> Saved | None:
        found = self._found(place, _BY_ID, checkpoint_id)
        is_there = found and self._is_checkpoint(found[0][0])
        return _saved(place, found) if is_there else None

    def _is_checkpoint(self, number: int) -> bool:
        return bool(self._read("SELECT 1 FROM saver_rows WHERE number=? AND part=0", (number,)))

    def rows(self, place: Place, pointers: Sequence[int]) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        for start in range(0, len(pointers), _MANY):
            some = pointers[start : start + _MANY]
            base = self._known(place) << 32
            marks = ",".join("?" * len(some))
            rows = self._read(
                f"SELECT number, data FROM saver_rows WHERE number IN ({marks})",  # noqa: S608 only question marks
                [base + pointer for pointer in some],
            )
            found.update((number - base, data) for number, data in rows)
        return found

    def page(self, selection: Selection) -> list[Saved]:
        conditions, parameters = selection.conditions()
        rows = self._read(
            "SELECT thread_id, ns, number, id, parent, data, place "  # noqa: S608 the conditions hold question marks
            f"FROM saver_rows JOIN saver_places USING(place) WHERE part=0{conditions} "
            "ORDER BY id DESC, thread_id, ns LIMIT ?",
            (*parameters, selection.limit),
        )
        return [
            Saved(Place(thread_id, ns), number, id_, parent, b"", data, self._writes(place, id_))
            for thread_id, ns, number, id_, parent, data, place in rows
        ]

    def _writes(self, place: int, checkpoint_id: str) -> list[Written]:
        sql = "SELECT number, data FROM saver_rows WHERE place=? AND id=? AND part>0 ORDER BY part"
        return [Written(*row) for row in self._read(sql, (place, checkpoint_id))]

    def places(self, thread_id: str) -> list[Place]:
        rows = self._read("SELECT thread_id, ns FROM saver_places WHERE thread_id=? ORDER BY ns", (thread_id,))
        return [Place(*row) for row in rows]

    def everything(self, place: Place) -> list[Kept]:
        sql = "SELECT number, id, part=0, parent, data FROM saver_rows WHERE place=:place ORDER BY number"
        return [
            Kept(n, id_, bool(is_checkpoint), parent, b"", data)
            for n, id_, is_checkpoint, parent, data in self._found(place, sql)
        ]

    def threads(self) -> list[ThreadInfo]:
        rows = self._read(
            """
            SELECT thread_id, sum(part=0), sum(length(data) + length(id) + coalesce(length(parent), 0)),
                max(iif(part=0, id, '')), count(DISTINCT iif(part=0, place, NULL))
            FROM saver_rows JOIN saver_places USING(place)
            GROUP BY thread_id HAVING sum(part=0) > 0 ORDER BY 4 DESC
            """
        )
        return [ThreadInfo(t, count, size, time_of(newest), places) for t, count, size, newest, places in rows]

    # Keeping house

    def sweep(self, sweep: Sweep) -> None:
        with self._transaction() as execute:
            number = self._number(execute, sweep.place)
            for gone in sweep.gone:
                execute("DELETE FROM saver_rows WHERE number=?", (gone,))
            for hidden, data in sweep.hidden.items():
                execute(f"{_HIDE}, data=? WHERE number=?", (data, hidden))
            for rewritten, data in sweep.rewritten.items():
                execute("UPDATE saver_rows SET data=? WHERE number=?", (data, rewritten))
            for orphan in sweep.orphans:
                execute("UPDATE saver_rows SET parent=NULL WHERE number=?", (orphan,))
            if not execute("SELECT 1 FROM saver_rows WHERE place=? LIMIT 1", (number,)).fetchone():
                execute("DELETE FROM saver_places WHERE place=?", (number,))
                self._new_places.pop(sweep.place, None)
                self._places.pop(sweep.place, None)

    def delete_thread(self, thread_id: str) -> None:
        with self._transaction() as execute:
            execute(
                "DELETE FROM saver_rows WHERE place IN (SELECT place FROM saver_places WHERE thread_id=?)", (thread_id,)
            )
            for table in ("saver_places", "saver_claims", "saver_fences"):
                execute(f"DELETE FROM {table} WHERE thread_id=?", (thread_id,))  # noqa: S608 one of three
            for place in [p for p in self._places if p.thread_id == thread_id]:
                del self._places[place]

    def copy_thread(self, source: str, target: str) -> None:
        with self._transaction() as execute:
            for ns, number in execute("SELECT ns, place FROM saver_places WHERE thread_id=?", (source,)).fetchall():
                copy = self._number(execute, Place(target, ns))
                execute(
                    "INSERT INTO saver_rows SELECT number + :by, :copy, id, iif(part, part + :by, 0), parent, data "
                    "FROM saver_rows WHERE place=:place",
                    {"by": copy - number << 32, "copy": copy, "place": number},
                )
            execute(
                "INSERT OR IGNORE INTO saver_claims SELECT ?, key, data FROM saver_claims WHERE thread_id=?",
                (target, source),
            )

    def claim(self, thread_id: str, key: str, data: bytes) -> bool:
        with self._transaction() as execute:
            return execute("INSERT OR IGNORE INTO saver_claims VALUES(?,?,?)", (thread_id, key, data)).rowcount == 1

    def claimed(self, thread_id: str, key: str) -> bytes | None:
        rows = self._read("SELECT data FROM saver_claims WHERE thread_id=? AND key=?", (thread_id, key))
        return rows[0][0] if rows else None

    def next_fence(self, thread_id: str) -> int:
        with self._transaction() as execute:
            fence = fresh_fence(self.fence(thread_id))
            execute("INSERT OR REPLACE INTO saver_fences VALUES(?,?)", (thread_id, fence))
            return fence

    def fence(self, thread_id: str) -> int | None:
        rows = self._read("SELECT fence FROM saver_fences WHERE thread_id=?", (thread_id,))
        return rows[0][0] if rows else None

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


_MANY = 500


def _saved(place: Place, rows: Sequence[Any]) -> Saved | None:
    """A checkpoint's row, and those of its writes."""
    if not rows:
        return None
    number, id_, parent, data = rows[0]
    return Saved(place, number, id_, parent, b"", data, [Written(row[0], row[3]) for row in rows[1:]])
