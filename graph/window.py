"""Which of a thread's messages the analyst is shown, and how: the newest turns, in a form that every provider takes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.messages.tool import tool_call

SHORTENED_CHARS = 600
QUOTED_CHARS = 200
NAME = re.compile(r"[^a-zA-Z0-9_-]+")


def fit_window(messages: Sequence[AnyMessage], window: int) -> list[AnyMessage]:
    """The newest turns that fit `window` characters, whole, so that no tool call loses its answer.

    The current turn is always there; when it alone is too long, its older tool results are shortened. What a provider's
    filter blocked is left out for good.
    """
    kept: list[AnyMessage] = []
    for turn in reversed(open_turns(messages)):
        if kept and length(turn) + length(kept) > window:
            break
        kept = [*turn, *kept]
    kept = kept if length(kept) <= window else shorten(kept, window)
    return [presentable(message) for message in kept]


def open_turns(messages: Sequence[AnyMessage]) -> list[list[AnyMessage]]:
    return [turn for turn in split_turns(messages) if not is_blocked(turn)]


def is_blocked(turn: Sequence[AnyMessage]) -> bool:
    return bool(turn) and turn[-1].response_metadata.get("end") == "blocked"


def split_turns(messages: Sequence[AnyMessage]) -> list[list[AnyMessage]]:
    """Messages by turn: each begins with what a person said."""
    turns: list[list[AnyMessage]] = []
    for message in messages:
        if not turns or is_question(message):
            turns.append([])
        turns[-1].append(message)
    return turns


def is_question(message: AnyMessage) -> bool:
    """What a person said, and not what a run that ended late handed in."""
    return isinstance(message, HumanMessage) and message.name is None


def shorten(messages: Sequence[AnyMessage], window: int) -> list[AnyMessage]:
    """The same messages with tool results cut, oldest first, until all fit; then what people said, too."""
    result = list(messages)
    for kinds in (ToolMessage, HumanMessage):
        for index, message in enumerate(result):
            if length(result) <= window:
                return result
            if isinstance(message, kinds) and len(message.text) > SHORTENED_CHARS:
                text = f"{message.text[:SHORTENED_CHARS]}\n… (shortened: {len(message.text):,} characters)"
                result[index] = message.model_copy(update={"content": text})
    return result


def presentable(message: AnyMessage) -> AnyMessage:
    """The message with calls that any server can parse: malformed ones are quoted, in arguments that are JSON."""
    if not isinstance(message, AIMessage) or not (message.invalid_tool_calls or message.tool_calls):
        return message
    if not message.invalid_tool_calls and all(is_plain_name(call["name"]) for call in message.tool_calls):
        return message
    quoted = [
        tool_call(name=plain_name(call["name"]), args=as_object(call["args"]), id=call["id"])
        for call in message.invalid_tool_calls
    ]
    renamed = [
        tool_call(name=plain_name(call["name"]), args=call["args"], id=call["id"]) for call in message.tool_calls
    ]
    extra = {key: value for key, value in message.additional_kwargs.items() if key != "tool_calls"}
    return message.model_copy(
        update={
            "content": message.text,
            "tool_calls": [*renamed, *quoted],
            "invalid_tool_calls": [],
            "additional_kwargs": extra,
        }
    )


def as_object(arguments: str | None) -> dict[str, Any]:
    try:
        value = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"malformed": (arguments or "")[:QUOTED_CHARS]}


def plain_name(name: str | None) -> str:
    return NAME.sub("_", name or "")[:64] or "unnamed"


def is_plain_name(name: str) -> bool:
    return plain_name(name) == name


def length(messages: Sequence[AnyMessage]) -> int:
    return sum(len(message.text) + call_length(message) for message in messages)


def call_length(message: AnyMessage) -> int:
    if not isinstance(message, AIMessage):
        return 0
    return sum(len(str(call["args"])) for call in [*message.tool_calls, *message.invalid_tool_calls])
