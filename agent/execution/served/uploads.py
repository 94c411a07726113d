"""Bytes that a run hands over in pieces, before it says what they are."""

from __future__ import annotations

import base64
import tempfile
import threading
from collections.abc import Mapping
from typing import Any, BinaryIO
from uuid import uuid4

from graph.errors import HostError

MOST_HELD = 8
"""Uploads of one run that nothing was said of yet."""


class Uploads:
    """Held in files that no one else can name, until they are taken or the run ends."""

    def __init__(self, most_bytes: int, setting: str) -> None:
        self._most = most_bytes
        self._setting = setting
        self._held: dict[str, BinaryIO] = {}
        self._lock = threading.Lock()

    def answer_upload(self, request: Mapping[str, Any], frames: BinaryIO) -> Mapping[str, Any]:
        key, data = str(request["upload"]), base64.b64decode(str(request["data"]), validate=True)
        with self._lock:
            key, file = self._file(key)
            if file.tell() + len(data) > self._most:
                del self._held[key]
                file.close()
                raise HostError(f"it is larger than the {self._most:,} bytes that {self._setting} allows")
            file.write(data)
        return {"upload": key}

    def take(self, key: object) -> tuple[BinaryIO, int]:
        """A file at its beginning, which the caller closes, and its size. Raises HostError."""
        with self._lock:
            file = self._held.pop(str(key), None)
        if file is None:
            raise HostError("nothing was handed over")
        size = file.tell()
        file.seek(0)
        return file, size

    def close(self) -> None:
        with self._lock:
            for file in self._held.values():
                file.close()
            self._held.clear()

    def _file(self, key: str) -> tuple[str, BinaryIO]:
        if key:
            if key not in self._held:
                raise HostError("this upload was not begun")
            return key, self._held[key]
        if len(self._held) >= MOST_HELD:
            raise HostError("too many uploads were begun and not used")
        key = uuid4().hex
        self._held[key] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by whoever takes it
        return key, self._held[key]
