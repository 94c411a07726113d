"""One run at a time on a thread: a lease that the operating system takes back when its holder dies.

A run's writes are fenced: they carry the lease through the context (also into the threads and tasks that LangGraph
starts), and once the lease was given back, or another run holds a newer one, they are refused.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, Protocol
from uuid import uuid4

from checkpointers.errors import LeaseLost, StoreError, StoreFull, StoreReadOnly

Policy = Literal["wait", "reject", "fork"]
_held: ContextVar[tuple[Lease, ...]] = ContextVar("checkpointers_leases", default=())


class Hold(Protocol):
    """What keeps others out: a locked file, or a connection with an advisory lock."""

    def release(self) -> None: ...

    def cancel_requested(self) -> bool: ...


@dataclass
class Lease:
    """`thread_id` is the thread to run on: another one when the lease was asked for with policy "fork"."""

    thread_id: str
    store: str
    fence: int
    hold: Hold = field(repr=False)
    forked_from: str | None = None
    lost: str = field(default="", repr=False)

    def require(self) -> None:
        if self.lost:
            raise LeaseLost(self.thread_id, self.lost)

    def cancel_requested(self) -> bool:
        """Whether somebody, in whatever process, asked this run to end (`Saver.request_cancel`)."""
        return not self.lost and self.hold.cancel_requested()


def held(store: str, thread_id: str) -> Lease | None:
    """The lease that the current run took on this thread of this store, if it took one."""
    for lease in _held.get():
        if lease.thread_id == thread_id and lease.store == store:
            return lease
    return None


@contextlib.contextmanager
def entered(lease: Lease) -> Iterator[Lease]:
    token = _held.set((*_held.get(), lease))
    try:
        yield lease
    finally:
        lease.lost = "the lease was given back"
        with contextlib.suppress(ValueError):  # a generator may be closed in another context
            _held.reset(token)
        lease.hold.release()


def fresh_fence(newest: int | None) -> int:
    """A number that this thread had not before, also when it was deleted and with it the newest number."""
    return max((newest or 0) + 1, time.time_ns() // 1000)


def pauses(timeout: float) -> Iterator[float]:
    """How long to sleep between attempts, until `timeout` seconds are over."""
    end, step = time.monotonic() + timeout, 0.002
    while (left := end - time.monotonic()) > 0:
        yield min(left, step * random.uniform(0.5, 1.5))  # noqa: S311 spreads the waiting, no secret
        step = min(step * 1.5, 0.05)


def me() -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "thread": threading.current_thread().name,
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }


class FileLocks:
    """A locked file for each thread that is in use, in a folder beside the store. Its content says who has it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def attempt(self, thread_id: str) -> FileHold | None:
        path = self._path(thread_id)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise _told(path, error) from error
        try:
            if not locked(file) or not _still_there(file, path):
                os.close(file)
                return None
            who = {**me(), "thread_id": thread_id, "token": uuid4().hex}
            os.ftruncate(file, 0)
            _write_whole(file, json.dumps(who).encode())
            return FileHold(file, path, str(who["token"]))
        except BaseException as error:  # a full disk must not lock the thread
            path.unlink(missing_ok=True)
            os.close(file)
            if isinstance(error, OSError):
                raise _told(path, error) from error
            raise

    def holder(self, thread_id: str) -> str:
        who = _read(self._path(thread_id))
        return f"process {who['pid']} on {who['host']} (since {who['since']})" if who else "another run"

    def request_cancel(self, thread_id: str) -> bool:
        """Leave a mark for the run that holds the thread; False when none does."""
        path = self._path(thread_id)
        if not _is_held(path):
            return False
        who = _read(path)
        if who:
            _mark(path).write_text(str(who["token"]))
        return bool(who)

    def held(self) -> list[str]:
        """The threads that are in use now, whichever process uses them."""
        found = [who["thread_id"] for path in self._folder.glob("*") if _is_held(path) and (who := _read(path))]
        return sorted(map(str, found))

    def _path(self, thread_id: str) -> Path:
        return self._folder / blake2b(thread_id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class FileHold:
    def __init__(self, file: int, path: Path, token: str) -> None:
        self._file, self._path, self._token = file, path, token

    def release(self) -> None:
        try:
            _mark(self._path).unlink(missing_ok=True)
            self._path.unlink(missing_ok=True)
        finally:
            os.close(self._file)

    def cancel_requested(self) -> bool:
        try:
            return _mark(self._path).read_text() == self._token
        except OSError:
            return False


def lock_folder(path: Path) -> FileLocks:
    """The locks of the store in this file."""
    return FileLocks(path.with_name(path.name + ".leases"))


def request_cancel(store: str | Path, thread_id: str) -> bool:
    """Ask the run that holds a thread to end, without opening the store (a DuckDB file is its process's alone); False
    when none holds it."""
    return lock_folder(Path(store)).request_cancel(thread_id)


def held_threads(store: str | Path) -> list[str]:
    """The threads of the store in this file that are in use now, whichever process uses them."""
    return lock_folder(Path(store)).held()


def _mark(path: Path) -> Path:
    return path.with_name(path.name + ".cancel")


def _read(path: Path) -> dict[str, Any]:
    try:
        who: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return who


def _write_whole(file: int, data: bytes) -> None:
    if os.pwrite(file, data, 0) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _told(path: Path, error: OSError) -> StoreError:
    kind = StoreFull if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO) else StoreReadOnly
    return kind(str(path), error.strerror or str(error))


def _is_held(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return path.suffix == "" and not locked(file)
    finally:
        os.close(file)


def locked(file: int) -> bool:
    """Lock an open file for this process until it is closed; the system unlocks it when the process dies."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _still_there(file: int, path: Path) -> bool:
    """A holder removes its file on release: a lock on a removed file keeps nobody out."""
    try:
        return path.stat().st_ino == os.fstat(file).st_ino
    except FileNotFoundError:
        return False
