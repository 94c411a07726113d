"""The line from a run to its host: one request at a time, from any of the run's threads."""

from __future__ import annotations

import base64
import io
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Protocol

from agent.execution.inside.framing import FrameReader, receive, receive_json, send_json

PIECE = 4 * 1024 * 1024
MOST_SKIPPED = 64 * 1024 * 1024


class AskError(Exception):
    """The host refused what was asked of it, or failed; the text says why."""


AskError.__module__ = "builtins"  # so that a traceback calls it by the name that code sees

Take = Callable[[BinaryIO], Any]


class Line(Protocol):
    def ask(self, kind: str, take: Take | None = None, **request: Any) -> tuple[Any, dict[str, Any]]:
        """What `take` made of the bytes of the answer, and its JSON object. Raises AskError."""


class HostLine:
    """Over the socket that the supervisor handed on. Works in the run's own process only."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._owner = os.getpid()

    def ask(self, kind: str, take: Take | None = None, **request: Any) -> tuple[Any, dict[str, Any]]:
        if os.getpid() != self._owner:
            raise AskError("the host answers the main process of a run, not processes that it starts")
        try:
            with self._lock:
                send_json(self._channel, {"kind": kind, **request})
                frames = FrameReader(lambda: receive(self._channel))
                try:
                    taken = take(io.BufferedReader(frames, 1 << 20)) if take else None
                except BaseException:
                    self._skip(frames)
                    raise
                frames.drain()
                answer = receive_json(self._channel)
        except (EOFError, OSError) as error:
            raise AskError(f"the host can't be reached any more: {error}") from None
        if answer["error"] is not None:
            raise AskError(answer["error"])
        return taken, answer

    def _skip(self, frames: FrameReader) -> None:
        """To the next answer, when this one could not be taken: what the host says of it comes first.

        An answer without an end would never be over: then the line is given up.
        """
        if not frames.drain(MOST_SKIPPED):
            self._channel.close()
        elif (error := receive_json(self._channel)["error"]) is not None:
            raise AskError(error) from None


def read_all(file: BinaryIO) -> bytes:
    return file.read()


def upload(line: Line, pieces: Iterator[bytes]) -> str:
    """Hand bytes to the host; the id under which it holds them for this run."""
    held = ""
    for piece in pieces:
        _, answer = line.ask("upload", upload=held, data=base64.b64encode(piece).decode())
        held = answer["upload"]
    return held


def pieces_of(file: BinaryIO) -> Iterator[bytes]:
    """At least one piece, so that nothing at all can be handed over, too."""
    yield file.read(PIECE)
    while piece := file.read(PIECE):
        yield piece
