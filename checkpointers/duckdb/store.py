"""Steps go to memory and to the journal, and from there into the tables; everything else works on the tables."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ormsgpack

from checkpointers.duckdb.recent import Recent, Row
from checkpointers.duckdb.tables import ONE_PROCESS, Tables
from checkpointers.encoding import Codec
from checkpointers.errors import DamagedLog, StoreError, StoreFull, StoreLocked, StoreReadOnly
from checkpointers.journal import Journal
from checkpointers.lease import fresh_fence, locked, me
from checkpointers.records import Kept, NewRow, Place, Saved, Selection, Sweep, ThreadInfo
from checkpointers.saver import Durability
from checkpointers.store import Older
from checkpointers.transfer import RawCheckpoint

log = logging.getLogger(__name__)
_DELAY = 0.25
_EAGER = 2_000
_PATIENT = 20_000


class DuckDBStore:
    clear_metadata = True

    def __init__(self, path: str, durability: Durability) -> None:
        if durability not in ("full", "normal"):
            raise ValueError(f"durability is 'full' or 'normal', not {durability!r}")
        self._scratch = tempfile.TemporaryDirectory(prefix="duckdb-saver-") if path == ":memory:" else None
        self.path = Path(self._scratch.name) / "memory" if self._scratch else Path(path).resolve()
        self.name = ":memory:" if self._scratch else str(self.path)
        self._journal = Journal(self.path, durable=durability == "full" and not self._scratch)
        self._recent = Recent()
        self._fences: dict[str, int] = {}
        self._state_lock = threading.RLock()  # what is in memory, and the journal's order
        self._db_lock = threading.RLock()  # the tables; taken before the state's, never after
        self._stuck = self._apart = self._closing = False
        self._wake = threading.Event()
        self._lock_file = self._locked()
        try:
            self._tables = Tables(self.path, self.name)
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
            raise StoreLocked(self.name, _described(holder), ONE_PROCESS)
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(me()).encode(), 0)
        return file

    def _recover(self) -> None:
        left, gap = self._journal.recovered(self._tables.journal())
        found = self._tables.upgrade(left)
        if found:
            log.info("journal recovered", extra={"store": self.name, "steps": len(found)})
            rows = [Row(*ormsgpack.unpackb(payload)) for _, payload in found]
            again = {(row.place, row.id) for row in rows}
            self._tables.insert(self._recent.settled(rows, again), again, found[-1][0])
        if gap:
            raise DamagedLog(self.name, f"step {gap} of its journal", self._journal.put_aside())
        self._journal.open()
        self._recent.known = {Place(thread_id, ns): newest for thread_id, ns, newest in self._tables.newest()}

    # Threads in the tables of an earlier version

    def has_older(self, source: Older) -> bool:
        with self._db_lock:
            return source.is_there(self._tables.execute)

    def older_threads(self, source: Older) -> list[str]:
        with self._db_lock:
            execute = self._tables.execute
            return source.threads(execute) if source.is_there(execute) else []

    def older_checkpoints(self, source: Older, thread_id: str, codec: Codec) -> Iterator[RawCheckpoint]:
        yield from source.checkpoints(self._tables.execute, thread_id, codec)

    def forget_older(self, source: Older, thread_id: str | None) -> None:
        with self._db_lock, self._tables.transaction() as db:
            if source.is_there(db.execute):
                for statement in source.removal(thread_id):
                    db.execute(statement, [thread_id] if thread_id is not None else [])

    # Writing: memory and journal first, tables later

    def add(self, row: NewRow) -> int | None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._state_lock)
            if row.needs and not self._recent.holds(row.place, *row.needs):
                stack.pop_all().close()  # the tables' lock comes first
                stack.enter_context(self._db_lock)
                stack.enter_context(self._state_lock)
                self._settle(row.place)
                if not self._tables.has(row.place, *row.needs):
                    return None
            number = self._journaled(row)
            self._recent.add(Row.of(row, number))
            waiting = len(self._recent.pending)
        if not self._apart:
            self._journal.sync(number)
        if waiting >= _PATIENT:
            self._settle()
        elif waiting >= _EAGER:
            self._wake.set()
        return number

    def _journaled(self, row: NewRow) -> int:
        if self._apart:
            return self._journal.skip()
        try:
            return self._journal.write(Row.of(row, self._journal.last + 1).packed())
        except OSError as error:
            raise StoreFull(self.name, error.strerror or str(error)) from error

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
                recent = self._recent
                if not recent.pending or (place is not None and not recent.waits(place)):
                    return
                moved, recent.pending = recent.pending, []
                again, recent.again = recent.again, set()
                if not self._stuck:
                    self._journal.rotate()
                self._stuck = True  # until these are in the tables the other file must not be written over
            try:
                self._tables.insert(recent.settled(moved, again), again, moved[-1].number)
            except BaseException:
                with self._state_lock:
                    recent.pending[:0] = moved
                    recent.again |= again
                raise
            with self._state_lock:
                self._stuck = False

    # Reading

    @contextlib.contextmanager
    def _read(self, place: Place | None = None) -> Iterator[Tables]:
        """The tables, with all that was saved."""
        with self._db_lock:
            self._settle(place)
            yield self._tables

    def latest(self, place: Place) -> Saved | None:
        with self._state_lock:
            newest = self._recent.known.get(place)
            found = self._recent.newest(place)
        if found or not newest:
            return found
        return self.checkpoint(place, newest)

    def checkpoint(self, place: Place, checkpoint_id: str) -> Saved | None:
        with self._state_lock:
            found = self._recent.newest(place)
            if found and found.id == checkpoint_id:
                return found
            if place not in self._recent.known:
                return None
        with self._read(place) as tables:
            stored = tables.checkpoint(place, checkpoint_id)
            if stored is None:
                return None
            row, writes = stored
            with self._state_lock:
                if self._recent.known.get(place) == row.id and not self._recent.waits(place):
                    self._recent.warm(row, list(writes))
            return Saved(place, row.number, row.id, row.parent, row.metadata, row.data, writes)

    def rows(self, place: Place, pointers: Sequence[int]) -> dict[int, bytes]:
        with self._read(place) as tables:
            return tables.rows(place, pointers)

    def page(self, selection: Selection) -> list[Saved]:
        with self._read() as tables:
            return tables.page(selection)

    def places(self, thread_id: str) -> list[Place]:
        with self._state_lock:
            return sorted(place for place in self._recent.known if place.thread_id == thread_id)

    def everything(self, place: Place) -> list[Kept]:
        with self._read(place) as tables:
            return tables.everything(place)

    def threads(self) -> list[ThreadInfo]:
        with self._read() as tables:
            return tables.threads()

    def select(self, sql: str, parameters: Sequence[Any], messages: Any) -> list[tuple[Any, ...]]:
        with self._read() as tables:
            return tables.query(sql, parameters, messages)

    # Keeping house: the journal is moved first, then the tables are changed directly

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Steps that are saved in the block go into its transaction and not to the journal."""
        with self._db_lock, self._state_lock:
            if self._apart:
                yield
                return
            self._settle()
            self._apart = True
            try:
                with self._tables.transaction():
                    yield
                    self._settle()
            except BaseException:
                self._recent.pending.clear()
                self._recent.again.clear()
                raise
            finally:
                self._apart = self._stuck = False
                self._journal.rotate()

    @contextlib.contextmanager
    def _changing(self, thread_id: str) -> Iterator[Tables]:
        """Afterwards nothing of the thread is remembered but what is newest."""
        with self.alone():
            self._settle()
            yield self._tables
            self._recent.forget(thread_id)
            rows = self._tables.newest(thread_id)
            self._recent.known.update((Place(thread, ns), newest) for thread, ns, newest in rows)

    def sweep(self, sweep: Sweep) -> None:
        with self._changing(sweep.place.thread_id) as tables:
            tables.sweep(sweep)

    def delete_thread(self, thread_id: str) -> None:
        with self._changing(thread_id) as tables:
            tables.delete_thread(thread_id)
            self._fences.pop(thread_id, None)

    def copy_thread(self, source: str, target: str) -> None:
        with self._changing(target) as tables:
            tables.copy_thread(source, target)

    def claim(self, thread_id: str, key: str, data: bytes) -> bool:
        """Not by way of the journal: claims are few, and the tables' own log keeps them."""
        with self._db_lock:
            return self._tables.claim(thread_id, key, data)

    def claimed(self, thread_id: str, key: str) -> bytes | None:
        with self._db_lock:
            return self._tables.claimed(thread_id, key)

    def next_fence(self, thread_id: str) -> int:
        with self._state_lock:
            fence = self._fences[thread_id] = fresh_fence(self._fences.get(thread_id))
            return fence

    def fence(self, thread_id: str) -> int | None:
        return self._fences.get(thread_id)

    def vacuum(self) -> None:
        if not self._scratch:
            with self._db_lock, self._state_lock:
                self._settle()
                self._tables.vacuum()

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._wake.set()
        self._mover.join()
        try:
            self._settle()
            self._tables.close()
            self._journal.close(remove=True)
        finally:
            os.close(self._lock_file)
            if self._scratch:
                self._scratch.cleanup()


def _described(holder: bytes) -> str:
    try:
        who = json.loads(holder)
    except ValueError:
        return "another process"
    return f"process {who['pid']} on {who['host']} (since {who['since']})"
