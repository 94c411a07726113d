"""What may be begun at most once on a thread, said beside the thread, so that whoever has the thread knows of it."""

from __future__ import annotations

import threading
from typing import Protocol


class Claims(Protocol):
    """One thread's claims. They are never taken back."""

    def claim(self, key: str, value: str) -> bool:
        """Whether the key was free and is ours now: of all that ask, in whatever process, one is told True."""

    def claimed(self, key: str) -> str | None:
        """What the key was claimed with, or None."""


class MemoryClaims:
    """Claims of this process, for a thread that is not saved either."""

    def __init__(self) -> None:
        self._claims: dict[str, str] = {}
        self._lock = threading.Lock()

    def claim(self, key: str, value: str) -> bool:
        with self._lock:
            free = key not in self._claims
            self._claims.setdefault(key, value)
            return free

    def claimed(self, key: str) -> str | None:
        return self._claims.get(key)
