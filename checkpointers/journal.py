"""An append-only journal in two files that take turns: what is in it survives a kill, and with `durable` a power cut.

A frame is `length | crc32 | sequence | payload`. The files are written over, not truncated, because waiting for a disk
is much faster when no file grows; a frame counts when its checksum fits and its sequence is the next one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)
_FRAME = struct.Struct("<IIQ")
_GROW = 1 << 20


class Journal:
    """`last` is the sequence of the newest frame."""

    def __init__(self, path: Path, *, durable: bool) -> None:
        self._paths = (path.with_name(path.name + ".journal-a"), path.with_name(path.name + ".journal-b"))
        self._durable = durable
        self._sync_lock = threading.Lock()
        self._files: list[int] = []
        self._sizes = [0, 0]
        self._turn = 0
        self._offset = 0
        self.last = self._synced = 0

    def recovered(self, last: int) -> tuple[list[tuple[int, bytes]], int]:
        """The frames that follow `last`, in order, and which is damaged although later ones are there, or 0.

        A frame at the end that doesn't check was torn before it was acknowledged (or damaged: that can't be told).
        """
        found = [path.read_bytes() for path in self._paths if path.exists()]
        frames = dict(frame for data in found for frame in _frames(data))
        sequence = last
        while sequence + 1 in frames:
            sequence += 1
        self.last = self._synced = sequence
        gap = any(_has_frame(data, sequence + 2) for data in found)
        if not gap and any(struct.pack("<Q", sequence + 1) in data for data in found):
            log.warning("the journal's last step is torn or damaged", extra={"journal": str(self._paths[0])})
        return [(number, frames[number]) for number in range(last + 1, sequence + 1)], sequence + 1 if gap else 0

    def put_aside(self) -> str:
        """Keep the files under another name, and begin anew the next time; the new name."""
        for path in self._paths:
            with contextlib.suppress(FileNotFoundError):
                path.replace(path.with_name(path.name + ".damaged"))
        return f"{self._paths[0]}.damaged and -b.damaged"

    def open(self) -> None:
        """Begin anew; what was recovered must be safe elsewhere."""
        self._files = [os.open(path, os.O_RDWR | os.O_CREAT, 0o600) for path in self._paths]
        for turn, file in enumerate(self._files):
            self._sizes[turn] = os.fstat(file).st_size

    def write(self, payload: bytes) -> int:
        """Append a frame and give its sequence; callers take turns. Raises OSError, and then nothing was appended."""
        sequence = self.last + 1
        check = zlib.crc32(payload, sequence & 0xFFFFFFFF)
        frame = _FRAME.pack(len(payload), check, sequence) + payload
        end = self._offset + len(frame)
        if end > self._sizes[self._turn]:
            self._grow(end)
        _write_all(self._files[self._turn], frame, self._offset)
        self._offset, self.last = end, sequence
        return sequence

    def skip(self) -> int:
        """A sequence that no frame has; `rotate` has to follow before the next frame."""
        self.last += 1
        return self.last

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
                written = self.last
                os.fdatasync(self._files[self._turn])
                self._synced = written

    def rotate(self) -> None:
        """Go on in the other file, from its beginning; callers take turns with `write`."""
        with self._sync_lock:
            if self._durable and self._synced < self.last:
                os.fdatasync(self._files[self._turn])
                self._synced = self.last
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


def _has_frame(data: bytes, sequence: int) -> bool:
    at = data.find(struct.pack("<Q", sequence), 8)
    while at >= 0:
        length, check, _ = _FRAME.unpack_from(data, at - 8)
        if zlib.crc32(data[at + 8 : at + 8 + length], sequence & 0xFFFFFFFF) == check:
            return True
        at = data.find(struct.pack("<Q", sequence), at + 1)
    return False


def _write_all(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written
