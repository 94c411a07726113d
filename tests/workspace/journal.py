"""The journal of effects: what really happened, whoever asked and whether or not they lived to hear of it.

It is a file of JSON lines, written before the answer is sent. A client can die, the journal can still be counted.
"""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

Kind = Literal[
    "statement_run",
    "statement_canceled",
    "job_created",
    "run_started",
    "run_canceled",
    "task_started",
    "task_ended",
    "file_written",
    "file_deleted",
    "object_changed",
    "secret_written",
    "token_minted",
    "credential_minted",
    "genie_asked",
    "model_called",
    "model_served",
]


@dataclass(frozen=True)
class Effect:
    """One thing that happened; `subject` names what it happened to (a run id, a path, …)."""

    kind: str
    subject: str
    at: float
    detail: dict[str, Any] = field(default_factory=dict)


class Journal:
    """Append-only; safe for many threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self.path.touch()

    def write(self, kind: Kind, subject: object, **detail: Any) -> None:
        """Record an effect."""
        assert kind in get_args(Kind), kind
        line = json.dumps(asdict(Effect(kind, str(subject), time.time(), detail)), default=str)
        with self._lock, self.path.open("a") as file:
            file.write(line + "\n")

    def effects(self, kind: Kind | None = None, *, subject: object = None, **detail: Any) -> list[Effect]:
        """What happened, oldest first; narrowed by kind, subject and details."""
        return [
            effect
            for effect in self._read()
            if kind in (None, effect.kind)
            and (subject is None or effect.subject == str(subject))
            and all(effect.detail.get(name) == value for name, value in detail.items())
        ]

    def count(self, kind: Kind, *, subject: object = None, **detail: Any) -> int:
        """How often it happened."""
        return len(self.effects(kind, subject=subject, **detail))

    def _read(self) -> Iterator[Effect]:
        with self._lock:
            lines = self.path.read_text().splitlines()
        return (Effect(**json.loads(line)) for line in lines)
