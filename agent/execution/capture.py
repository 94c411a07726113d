"""Output on its way to disk: all of it up to a limit, then only the newest, so that a file has a head and a tail."""

from __future__ import annotations

import os
import sys
from collections import deque
from pathlib import Path

TAIL_BYTES = 256 * 1024


class Capture:
    """Writes to `path` at most `limit` bytes and one line that says how much was left out."""

    def __init__(self, path: Path, limit: int) -> None:
        if path.is_symlink():
            path.unlink()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = open(os.open(path, flags, 0o644), "wb", buffering=0)  # noqa: PTH123, SIM115 - closed by `close`
        self._keep = min(TAIL_BYTES, limit // 2)
        self._room = limit - self._keep
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._omitted = 0

    def write(self, data: bytes) -> None:
        head, rest = data[: self._room], data[self._room :]
        if head and not self._put(head):
            self._room, rest = 0, data
        self._room -= min(self._room, len(head))
        if rest:
            self._remember(rest)

    def close(self) -> None:
        omitted = b"\n... (%d bytes omitted) ...\n" % self._omitted if self._omitted else b""
        self._put(b"".join((omitted, *self._tail)))
        self._file.close()

    def _put(self, data: bytes) -> bool:
        """False when the disk takes no more: the run goes on, and what is left of its output is the newest."""
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            sys.stderr.write(f"output is lost: {error}\n")
            return False
        return True

    def _remember(self, data: bytes) -> None:
        self._tail.append(data)
        self._tail_size += len(data)
        while self._tail_size > self._keep:
            over = self._tail_size - self._keep
            oldest = self._tail.popleft()
            if len(oldest) > over:
                self._tail.appendleft(oldest[over:])
                oldest = oldest[:over]
            self._tail_size -= len(oldest)
            self._omitted += len(oldest)
