"""An append-only journal in two files that take turns: what is in it survives a kill, and with `durable` a power cut.

A frame is `length | crc32 | sequence | payload`. The files are written over, not truncated, because waiting for a disk
is much faster when no file grows; a frame counts when its checksum fits and its sequence is the next one.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

_FRAME = struct.Struct("<IIQ")
_GROW = 1 << 20


class Journal:
    """`last` is the sequence of the newest frame that need not be recovered."""

    def __init__(self, path: Path, *, durable: bool) -> None:
        self._paths = (path.with_name(path.name + ".journal-a"), path.with_name(path.name + ".journal-b"))
        self._durable = durable
        self._sync_lock = threading.Lock()
        self._files: list[int] = []
        self._sizes = [0, 0]
        self._turn = 0
        self._offset = 0
        self._written = self._synced = 0

    def recovered(self, last: int) -> Iterator[tuple[int, bytes]]:
        """The frames that follow `last`, in order; a torn one at the end was never acknowledged."""
        frames = dict(frame for path in self._paths if path.exists() for frame in _frames(path.read_bytes()))
        self._written = self._synced = last
        while (payload := frames.get(self._written + 1)) is not None:
            self._written = self._synced = self._written + 1
            yield self._written, payload

    def open(self) -> None:
        """Begin anew; what was recovered must be safe elsewhere."""
        self._files = [os.open(path, os.O_RDWR | os.O_CREAT, 0o600) for path in self._paths]
        for turn, file in enumerate(self._files):
            self._sizes[turn] = os.fstat(file).st_size

    def write(self, payload: bytes) -> int:
        """Append a frame and give its sequence; callers take turns. Raises OSError, and then nothing was appended."""
        sequence = self._written + 1
        check = zlib.crc32(payload, sequence & 0xFFFFFFFF)
        frame = _FRAME.pack(len(payload), check, sequence) + payload
        end = self._offset + len(frame)
        if end > self._sizes[self._turn]:
            self._grow(end)
        _write_all(self._files[self._turn], frame, self._offset)
        self._offset, self._written = end, sequence
        return sequence

    def _grow(self, end: int) -> None:
        size = -(-end // _GROW) * _GROW
        _write_all(self._files[self._turn], bytes(size - self._sizes[self._turn]), self._sizes[self._turn])
        os.fsync(self._files[self._turn])
        self._sizes[self._turn] = size

    def sync(self, sequence: int) -> None:
        """Wait for the disk; those who wait together share one wait."""
        if not self._durable or self._synced >= sequence:
            return
        with self._sync_lock:
            if self._synced < sequence:
                written = self._written
                os.fdatasync(self._files[self._turn])
                self._synced = written

    def rotate(self) -> None:
        """Go on in the other file, from its beginning; callers take turns with `write`."""
        with self._sync_lock:
            if self._durable and self._synced < self._written:
                os.fdatasync(self._files[self._turn])
                self._synced = self._written
            self._turn = 1 - self._turn
            self._offset = 0

    def close(self, *, remove: bool) -> None:
        for file in self._files:
            os.close(file)
        self._files = []
        if remove:
            for path in self._paths:
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()


def _frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset, expected = 0, 0
    while offset + _FRAME.size <= len(data):
        length, check, sequence = _FRAME.unpack_from(data, offset)
        payload = data[offset + _FRAME.size : offset + _FRAME.size + length]
        torn = len(payload) < length or zlib.crc32(payload, sequence & 0xFFFFFFFF) != check
        if torn or sequence == 0 or (expected and sequence != expected):
            return
        yield sequence, payload
        expected = sequence + 1
        offset += _FRAME.size + length


def _write_all(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written
