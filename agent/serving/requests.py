"""What a Responses client asks: only what is new of a history that it resends, on which thread, for whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from agent.request import Request, check_id
from graph.errors import InvalidRequest

if TYPE_CHECKING:
    from mlflow.types.responses import ResponsesAgentRequest

INPUTS = ("thread_id", "request_id", "state")
LONGEST_TEXT = 200_000
"""Characters of a question. Longer text is data: it belongs in a file or a table."""


def read_request(asked: ResponsesAgentRequest) -> Request:
    """Raises InvalidRequest, which names the field to change.

    The thread is custom_inputs.thread_id, else context.conversation_id; without either the core makes one.
    """
    custom = check_inputs(asked.custom_inputs or {})
    conversation = asked.context.conversation_id if asked.context else None
    thread = check_id("custom_inputs.thread_id", custom.get("thread_id"))
    return Request(
        text=newest(asked.input),
        thread_id=thread or check_id("context.conversation_id", conversation),
        request_id=check_id("custom_inputs.request_id", custom.get("request_id")),
        user_id=check_id("context.user_id", asked.context.user_id if asked.context else None),
        state=read_state(custom.get("state")),
    )


def check_inputs(custom: Mapping[str, Any]) -> Mapping[str, Any]:
    """Unknown inputs pass, since platforms add their own; a misspelt one would silently start a new thread."""
    for name in sorted(custom.keys() - set(INPUTS)):
        if near := get_close_matches(name, INPUTS, n=1, cutoff=0.75):
            raise InvalidRequest(f"custom_inputs.{name} is not known; did you mean {near[0]}?")
    return custom


def newest(items: Sequence[Any]) -> str:
    """The user's messages after the last item that the agent wrote, as one text."""
    fresh: list[str] = []
    for item in reversed(items):
        role = getattr(item, "role", None)
        if item.type != "message" or role not in {"user", "system", "developer"}:
            break
        if role == "user":
            fresh.insert(0, text_of(item.content))
    text = "\n\n".join(part for part in fresh if part.strip())
    if not text:
        raise InvalidRequest("input has no new user message with text: end it with what you want to ask")
    if len(text) > LONGEST_TEXT:
        limit = f"{LONGEST_TEXT:,} characters are read as a question"
        raise InvalidRequest(f"input is {len(text):,} characters long and at most {limit}: hand it over as data")
    return text


def text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part_text(part if isinstance(part, Mapping) else part.model_dump()) for part in content)


def part_text(part: Mapping[str, Any]) -> str:
    if part.get("type") != "input_text":
        raise InvalidRequest(f"input has a part of type {part.get('type')!r}: this agent reads input_text only")
    return str(part["text"])


def read_state(state: Any) -> Mapping[str, Any]:
    """State to set before the turn, by scoped key: `temp:`, `user:`, `app:` or none for the thread's own."""
    if state is None:
        return {}
    if not isinstance(state, Mapping) or not all(isinstance(key, str) and key.strip() for key in state):
        raise InvalidRequest("custom_inputs.state has to be an object of scoped keys, such as {'user:region': 'EU'}")
    return dict(state)
