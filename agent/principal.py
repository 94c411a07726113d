"""Who asks. Threads, state and artifacts belong to a principal; another one is told that they don't exist."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

LOCAL = "local"


@dataclass(frozen=True)
class Principal:
    """`name` is stable from request to request. `workspace` makes the WorkspaceClient that acts as this principal
    (on behalf of a user); None is the process's own identity. `credential` tells one of its tokens from the next.
    """

    name: str = LOCAL
    workspace: Callable[[], Any] | None = field(default=None, compare=False, repr=False)
    credential: str = field(default="", compare=False, repr=False)

    @property
    def is_local(self) -> bool:
        """The person at this machine, who may call themselves what they like."""
        return self.name == LOCAL

    @property
    def identity(self) -> str | None:
        """What its live clients can be kept under, token by token; None when they are the process's own."""
        return f"{self.name} {self.credential}".rstrip() if self.workspace is not None else None
