"""What survives: a thread's state, and the smaller state of one delegation. Handles and previews only, never data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypedDict, TypeVar

from langchain_core.messages import AnyMessage, ToolCall
from langgraph.channels import UntrackedValue
from langgraph.graph.message import add_messages

from graph.types import Artifact, Capsule, Delegation, Turn

Value = TypeVar("Value")


def merge(old: Mapping[str, Value], new: Mapping[str, Value | None]) -> dict[str, Value]:
    """New keys over old ones; None deletes."""
    both = {**old, **new}
    return {key: value for key, value in both.items() if value is not None}


class AgentState(TypedDict, total=False):
    """One thread. `iteration` counts its delegations since it began; `delegations` are the turn's, by artifact id,
    and those of earlier turns that still run. `owner` is the principal that made the thread, `source` the data that it
    is about, as JSON. `temp` lives for one turn and is never saved.
    """

    messages: Annotated[list[AnyMessage], add_messages]
    turn: Turn
    iteration: int
    delegations: Annotated[dict[str, Delegation], merge]
    capsule: Capsule
    owner: str
    source: dict[str, Any]
    session: Annotated[dict[str, Any], merge]
    temp: Annotated[dict[str, Any], UntrackedValue]


class CallState(TypedDict):
    """One tool call of a reply, other than a delegation."""

    call: ToolCall


class DelegationState(TypedDict, total=False):
    """One delegation on its way, the thread's `iteration`-th and the turn's `number`-th. `late` means that its call was
    answered in an earlier turn, while it ran.
    """

    call: ToolCall
    turn: Turn
    iteration: int
    number: int
    late: bool
    artifact: Artifact
    delegation: Delegation
    messages: list[AnyMessage]
    delegations: dict[str, Delegation]


class Answer(TypedDict, total=False):
    """What a delegation hands back to the thread."""

    messages: list[AnyMessage]
    delegations: dict[str, Delegation]
