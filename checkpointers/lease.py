"""One run at a time on a thread: a lease that the operating system takes back when its holder dies.

A run's writes are fenced: they carry the lease through the context (also into the threads and tasks that LangGraph
starts), and once the lease was given back, or another run holds a newer one, they are refused.
"""

from __future__ import annotations

import contextlib
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
from typing import Literal, Protocol

from checkpointers.errors import LeaseLost, ThreadBusy

Policy = Literal["wait", "reject", "fork"]
_held: ContextVar[tuple[Lease, ...]] = ContextVar("checkpointers_leases", default=())


class Hold(Protocol):
    """What keeps others out: a locked file, or a connection with an advisory lock."""

    def release(self) -> None: ...


@dataclass
class Lease:
    """`thread_id` is the thread to run on: another one when the lease was asked for with policy "fork"."""

    thread_id: str
    store: str
    fence: int
    forked_from: str | None = None
    lost: str = field(default="", repr=False)

    def require(self) -> None:
        if self.lost:
            raise LeaseLost(self.thread_id, self.lost)


def held(store: str, thread_id: str) -> Lease | None:
    """The lease that the current run took on this thread of this store, if it took one."""
    for lease in _held.get():
        if lease.thread_id == thread_id and lease.store == store:
            return lease
    return None


@contextlib.contextmanager
def entered(lease: Lease, hold: Hold) -> Iterator[Lease]:
    token = _held.set((*_held.get(), lease))
    try:
        yield lease
    finally:
        lease.lost = "the lease was given back"
        with contextlib.suppress(ValueError):  # a generator may be closed in another context
            _held.reset(token)
        hold.release()


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
    """A locked file for each thread that is in use, in a folder beside the store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def attempt(self, thread_id: str) -> FileHold | None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(thread_id)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if not locked(file) or not _still_there(file, path):
            os.close(file)
            return None
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(me()).encode(), 0)
        return FileHold(file, path)

    def holder(self, thread_id: str) -> str:
        try:
            who = json.loads(self._path(thread_id).read_bytes())
        except (OSError, ValueError):
            return "another run"
        return f"process {who['pid']} on {who['host']} (since {who['since']})"

    def busy(self, thread_id: str, waited: float) -> ThreadBusy:
        return ThreadBusy(thread_id, self.holder(thread_id), waited)

    def _path(self, thread_id: str) -> Path:
        return self._folder / blake2b(thread_id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class FileHold:
    def __init__(self, file: int, path: Path) -> None:
        self._file, self._path = file, path

    def release(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._file)


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
