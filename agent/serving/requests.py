"""What every protocol's client asks: what is new of what it sends, on which thread, for whom."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NamedTuple
from uuid import uuid4

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage

from agent.principal import Principal
from agent.request import Request, check_id
from agent.serving.errors import BadField
from graph.errors import InvalidRequest

INPUTS = ("thread_id", "request_id", "state")
INSTRUCTING = ("system", "developer")
ROLES = ("user", "assistant", *INSTRUCTING)
TEXT_PARTS = ("input_text", "output_text", "text")
LONGEST_INSTRUCTIONS = 8_000
MOST_METADATA, LONGEST_KEY, LONGEST_VALUE = 16, 64, 512
"""OpenAI's limits."""


@dataclass(frozen=True)
class Caller:
    """Who asks, as the door saw them. `may_set_app_state` is the setting serve.allow_app_state."""

    principal: Principal = field(default_factory=Principal)
    may_set_app_state: bool = False


@dataclass(frozen=True)
class Asked:
    """A client's request, read once. `echo` is what the response repeats of it; `wants_trace`: and the trace's id."""

    request: Request
    stream: bool = False
    echo: Mapping[str, Any] = field(default_factory=dict)
    include_usage: bool = False
    wants_trace: bool = False


class Line(NamedTuple):
    """One message: its role, and its text."""

    role: str
    text: str


class Dialogue(NamedTuple):
    question: str
    history: list[AnyMessage]
    instructions: list[str]


Unserved = Mapping[str, tuple[Callable[[Any], bool], str]]
"""By field: whether a value would change what is meant, and why it is not served."""


def check_served(body: Mapping[str, Any], unserved: Unserved) -> None:
    for name, (matters, reason) in unserved.items():
        if matters(body.get(name)):
            raise BadField(name, f"{name} is not served: {reason}")


def read_dialogue(lines: Iterable[Line], name: str) -> Dialogue:
    """The question is what the user said after the agent's last words; what was said before is the history."""
    said: list[Line] = []
    instructions: list[str] = []
    for line in lines:
        if line.role in INSTRUCTING:
            instructions.append(line.text)
        elif said and said[-1].role == line.role:
            said[-1] = Line(line.role, "\n\n".join(text for text in (said[-1].text, line.text) if text.strip()))
        else:
            said.append(line)
    if not said or said[-1].role != "user" or not said[-1].text.strip():
        raise BadField(name, f"{name} has no new user message with text: end it with what you want to ask")
    history = [to_message(line) for line in said[:-1] if line.text.strip()]
    return Dialogue(said[-1].text, history, instructions)


def to_message(line: Line) -> AnyMessage:
    return HumanMessage(line.text, id=str(uuid4())) if line.role == "user" else AIMessage(line.text, id=str(uuid4()))


def read_message(item: Mapping[str, Any], name: str) -> Line:
    role = item.get("role")
    if role not in ROLES:
        raise BadField(name, f"{name} has a message whose role is {role!r}: known are {', '.join(ROLES)}")
    return Line(str(role), text_of(item.get("content"), str(role), name))


def text_of(content: Any, role: str, name: str) -> str:
    """The text of a message. What the agent is said to have said may hold other parts, which are left out."""
    if isinstance(content, str) or content is None:
        return content or ""
    if not isinstance(content, list):
        raise BadField(name, f"{name} has a message whose content is neither a text nor a list of parts")
    parts = [part if isinstance(part, Mapping) else {} for part in content]
    odd = [part.get("type") for part in parts if part.get("type") not in TEXT_PARTS or not is_text(part.get("text"))]
    if odd and role != "assistant":
        raise BadField(name, f"{name} has a part of type {odd[0]!r}: this agent reads text only")
    return "\n".join(part["text"] for part in parts if is_text(part.get("text")))


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def read_instructions(parts: Iterable[str], name: str) -> str | None:
    text = "\n\n".join(part for part in parts if part.strip())
    if len(text) > LONGEST_INSTRUCTIONS:
        raise BadField(name, f"{name} has {len(text):,} characters and may have {LONGEST_INSTRUCTIONS:,}")
    return text or None


def read_metadata(body: Mapping[str, Any]) -> Mapping[str, str]:
    metadata = body.get("metadata")
    if metadata is None:
        return {}
    if (
        not isinstance(metadata, Mapping)
        or len(metadata) > MOST_METADATA
        or not all(is_text(text) and len(text) <= LONGEST_VALUE for text in metadata.values())
        or any(len(key) > LONGEST_KEY for key in metadata)
    ):
        limits = f"at most {MOST_METADATA} texts of {LONGEST_VALUE} characters, by names of {LONGEST_KEY}"
        raise BadField("metadata", f"metadata has to be an object of {limits}")
    return dict(metadata)


def read_count(body: Mapping[str, Any], *names: str) -> int | None:
    """The first of the fields that is given, as a number of at least 1."""
    for name in names:
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise BadField(name, f"{name} has to be a whole number, at least 1")
        return value
    return None


def read_flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadField(name, f"{name} has to be true or false")
    return bool(value)


def read_section(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise BadField(name, f"{name} has to be an object")
    return value or {}


def read_place(body: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """The request's fields that say where it belongs: thread, request, user and state.

    The thread is custom_inputs.thread_id, else context.conversation_id. Raises InvalidRequest with the field to change.
    """
    custom = check_inputs(read_section(body, "custom_inputs"))
    context = read_section(body, "context")
    thread = check_id("custom_inputs.thread_id", custom.get("thread_id"))
    return {
        "thread_id": thread or check_id("context.conversation_id", context.get("conversation_id")),
        "request_id": check_id("custom_inputs.request_id", custom.get("request_id")),
        "user_id": check_id("context.user_id", context.get("user_id")),
        "state": read_state(custom.get("state"), caller),
        "principal": caller.principal,
    }


def check_inputs(custom: Mapping[str, Any]) -> Mapping[str, Any]:
    """Unknown inputs pass, since platforms add their own; a misspelt one would silently start a new thread."""
    for name in sorted(custom.keys() - set(INPUTS)):
        if near := get_close_matches(name, INPUTS, n=1, cutoff=0.75):
            raise InvalidRequest(f"custom_inputs.{name} is not known; did you mean {near[0]}?")
    return custom


def read_state(state: Any, caller: Caller) -> Mapping[str, Any]:
    """State to set before the turn, by scoped key: `temp:`, `user:`, `app:` or none for the thread's own."""
    if state is None:
        return {}
    if not isinstance(state, Mapping) or not all(key.strip() for key in state):
        raise InvalidRequest("custom_inputs.state has to be an object of scoped keys, such as {'user:region': 'EU'}")
    if not caller.may_set_app_state and any(key.startswith("app:") for key in state):
        raise InvalidRequest("custom_inputs.state sets an app: key, which is everyone's: serve.allow_app_state is off")
    return dict(state)
