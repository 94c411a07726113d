"""The frames that a run and its host exchange: four bytes of length, then that many bytes. Standard library only."""

from __future__ import annotations

import io
import json
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any

LENGTH = struct.Struct("!I")
LARGEST_REQUEST = 16 * 1024 * 1024


def send(channel: socket.socket, payload: bytes | memoryview) -> None:
    channel.sendall(LENGTH.pack(len(payload)))
    channel.sendall(payload)


def send_json(channel: socket.socket, message: Mapping[str, Any]) -> None:
    send(channel, json.dumps(message).encode())


def receive(channel: socket.socket, largest: int | None = None) -> bytes:
    """One frame; raises EOFError when the other side is gone, ValueError when the frame is over `largest` bytes."""
    (length,) = LENGTH.unpack(_exactly(channel, LENGTH.size))
    if largest is not None and length > largest:
        raise ValueError(f"a frame of {length} bytes")
    return _exactly(channel, length)


def receive_json(channel: socket.socket, largest: int | None = None) -> dict[str, Any]:
    return parse(receive(channel, largest))


def parse(frame: bytes) -> dict[str, Any]:
    """Raises ValueError for what is no JSON object, and RecursionError for one that is nested too deeply."""
    message = json.loads(frame)
    if not isinstance(message, dict):
        raise ValueError("the frame holds no object")
    return message


def _exactly(channel: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = channel.recv(min(size - len(parts), 1 << 20))
        if not part:
            raise EOFError("the other side closed the channel")
        parts += part
    return bytes(parts)


class FrameWriter(io.RawIOBase):
    """A file whose writes are frames. `end` sends the empty frame that closes the stream."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if len(view):
            send(self._channel, view)
        return len(view)

    def end(self) -> None:
        send(self._channel, b"")


class FrameReader(io.RawIOBase):
    """A file over the frames up to the empty one. `drain` skips to it."""

    def __init__(self, take: Callable[[], bytes]) -> None:
        self._take = take
        self._rest = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._fill():
            return 0
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    def drain(self, most: int | None = None) -> bool:
        """Whether the empty frame was reached, within `most` bytes if that is given."""
        skipped = 0
        self._rest = memoryview(b"")
        while self._fill() and (most is None or skipped < most):
            skipped += len(self._rest)
            self._rest = memoryview(b"")
        return self._ended

    def _fill(self) -> bool:
        if not self._rest and not self._ended:
            self._rest = memoryview(self._take())
            self._ended = not self._rest
        return not self._ended
