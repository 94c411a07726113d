"""What is asked of the agent: one question on a thread, by whom, about which data."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.principal import Principal
from graph.errors import InvalidRequest

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage

    from agent.data.source import DataSource

ID_CHARS = 200
MOST_STATE_KEYS = 64
MOST_STATE_CHARS = 64_000
"""Of a request's state as JSON."""
MOST_KEPT_KEYS, MOST_KEPT_CHARS = 256, 256_000
"""Of all state that a turn sees, with what was kept before."""

CURRENT: ContextVar[str] = ContextVar("request", default="-")
"""The id of the request that this thread works for; logs carry it."""


@dataclass(frozen=True)
class Request:
    """One question on a thread. The same `request_id` again gets the same turn, not a second one.

    `state` holds scoped keys: `temp:…` for this turn, `user:…`, `app:…`, and plain ones for the thread; None deletes.
    `user_id` says whose `user:` keys are meant and counts for the local principal only; any other is its own user.
    `source` is the data to ask about; without it the thread's own, else the settings'.
    `after` is the request that this one follows: a thread that has gone on since is copied as it was then.
    `history` is what was said before: the thread whose transcript it is goes on, else it begins a new one.
    `instructions` go to the model with this turn; a reply has at most `max_output_tokens`.
    With `schema`, a JSON schema, the answer is a JSON value by it; `check` says what is wrong with an answer, or None.
    `answers` resume what waits for a person: by interrupt id.
    """

    text: str
    thread_id: str | None = None
    request_id: str | None = None
    user_id: str | None = None
    state: Mapping[str, Any] = field(default_factory=dict)
    principal: Principal = field(default_factory=Principal)
    source: DataSource | None = None
    after: str | None = None
    history: Sequence[AnyMessage] = ()
    instructions: str | None = None
    max_output_tokens: int | None = None
    schema: Mapping[str, Any] | None = None
    check: Callable[[str], str | None] | None = None
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


def check_state(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Raises InvalidRequest for state that is no JSON, has bad names, or is larger than a request's should be."""
    for key in state:
        if check_id("a key of state", key) is None:
            raise InvalidRequest("a key of state is empty.")
    check_size("state", state, MOST_STATE_KEYS, MOST_STATE_CHARS)
    return state


def check_kept(state: Mapping[str, Any]) -> None:
    """Raises InvalidRequest when a request would add to state that is large already."""
    kept = {key: value for key, value in state.items() if value is not None}
    check_size("state, with what was set before,", kept, MOST_KEPT_KEYS, MOST_KEPT_CHARS)


def check_size(name: str, state: Mapping[str, Any], keys: int, chars: int) -> None:
    if len(state) > keys:
        raise InvalidRequest(f"{name} has {len(state)} keys and may have {keys}: delete some by setting them to null.")
    try:
        size = len(json.dumps(dict(state), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"{name} has to be JSON: {error}") from error
    if size > chars:
        raise InvalidRequest(f"{name} has {size:,} characters as JSON and may have {chars:,}.")
