"""What is asked of the agent: one question on a thread, by whom, about which data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.principal import Principal
from graph.errors import InvalidRequest

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage

    from agent.data.source import DataSource

ID_CHARS = 200


@dataclass(frozen=True)
class Request:
    """One question on a thread. The same `request_id` again gets the same turn, not a second one.

    `state` holds scoped keys: `temp:…` for this turn, `user:…`, `app:…`, and plain ones for the thread; None deletes.
    `user_id` says whose `user:` keys are meant and counts for the local principal only; any other is its own user.
    `source` is the data to ask about; without it the thread's own, else the settings'.
    `history` is what was said before on a thread that is new here; `instructions` go to the model with this turn.
    `answers` resume what waits for a person: by interrupt id.
    """

    text: str
    thread_id: str | None = None
    request_id: str | None = None
    user_id: str | None = None
    state: Mapping[str, Any] = field(default_factory=dict)
    principal: Principal = field(default_factory=Principal)
    source: DataSource | None = None
    history: Sequence[AnyMessage] = ()
    instructions: str | None = None
    answers: Mapping[str, Any] = field(default_factory=dict)


def check_id(name: str, value: object) -> str | None:
    """An id from outside. Raises InvalidRequest unless it is a short text of visible characters."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > ID_CHARS or not value.isprintable() or value != value.strip():
        raise InvalidRequest(
            f"{name} must be a text of 1 to {ID_CHARS} printable characters, without blanks around it."
        )
    return value
