"""What `doctor` asks of the world: a check is a function and a line in a platform's CHECKS."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from agent.config import Settings
    from agent.platforms.parts import Given

State = Literal["ok", "missing", "broken"]
PROBE_SECONDS = 3.0


@dataclass(frozen=True)
class Finding:
    """`missing`: works without it. `broken`: does not work. `cure` says what to do."""

    state: State
    found: str
    cure: str = ""


@dataclass(frozen=True)
class Check:
    """`look` may raise AgentError, StoreError or OSError: its text is what is broken."""

    name: str
    look: Callable[[Settings, Given], Iterable[Finding]]


def reachable(url: str, setting: str) -> Finding:
    """Whether something listens there. Nothing is sent."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=PROBE_SECONDS):
            return Finding("ok", f"{parts.hostname}:{port} answers")
    except OSError as error:
        reason = error.strerror or str(error)
        return Finding(
            "broken", f"{parts.hostname}:{port} can't be reached: {reason}", f"check the network and {setting}"
        )
