"""Going on with a turn that a crash, a kill or a broken machine cut off, without a thread that is stuck for good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from graph.types import Delegation
from graph.window import split_turns

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.types import StateSnapshot

    from checkpointers import Saver
    from graph.claims import Claims

MOST_ATTEMPTS = 2
"""How often calls that a turn was cut off in are gone on with; then they are answered with errors."""
CALLS = {"delegation", "tools"}


class ThreadClaims:
    """The claims beside a thread: `graph.claims.Claims`."""

    def __init__(self, saver: Saver, thread_id: str) -> None:
        self._saver, self._thread_id = saver, thread_id

    def claim(self, key: str, value: str) -> bool:
        return self._saver.claim(self._thread_id, key, value)

    def claimed(self, key: str) -> str | None:
        return self._saver.claimed(self._thread_id, key)


def may_resume(snapshot: StateSnapshot, claims: Claims, place: str) -> bool:
    """Count one more attempt at this checkpoint; False when there were enough."""
    at = snapshot.config["configurable"]["checkpoint_id"]
    return any(claims.claim(f"resume {at} {number}", place) for number in range(1, MOST_ATTEMPTS + 1))


def close_calls(graph: CompiledStateGraph[Any, Any, Any, Any], config: Any, snapshot: StateSnapshot) -> None:
    """Answer the calls that can't be gone on with, each with an error, and keep the answers of those that had ended."""
    from langchain_core.messages import ToolMessage

    values = snapshot.values
    results = [task.result for task in snapshot.tasks if isinstance(task.result, Mapping)]
    answers: list[AnyMessage] = [message for result in results for message in result.get("messages", [])]
    settled: dict[str, Delegation] = {}
    for result in results:
        settled |= result.get("delegations", {})
    answered = {m.tool_call_id for m in [*values["messages"], *answers] if isinstance(m, ToolMessage)}
    calls = [call for call in last_calls(values["messages"]) if call["id"] not in answered]
    errors = [ToolMessage(GIVEN_UP, tool_call_id=call["id"], name=call["name"], status="error") for call in calls]
    lost = give_up(values, settled) if not calls else {}
    told = [late_error(delegation) for delegation in lost.values()]
    update = {"messages": [*answers, *errors, *told], "delegations": {**settled, **lost}}
    graph.update_state(config, update, as_node="delegation")


GIVEN_UP = f"""\
This call was begun and its process ended before it was done, {MOST_ATTEMPTS} times more when it was gone on with. \
Whether it did what it was called for is not known; it is not begun again."""


def last_calls(messages: list[AnyMessage]) -> list[Any]:
    from langchain_core.messages import AIMessage

    turn = split_turns(messages)[-1] if messages else []
    reply = next((message for message in reversed(turn) if isinstance(message, AIMessage)), None)
    return list(reply.tool_calls) if reply is not None else []


def give_up(values: Mapping[str, Any], settled: Mapping[str, Delegation]) -> dict[str, Delegation]:
    """The runs of earlier turns that could not be looked at, as failed."""
    late = {key: d for key, d in values.get("delegations", {}).items() if d.running and key not in settled}
    return {key: replace(d, status="failed", outcome_hash="lost", summary=GIVEN_UP) for key, d in late.items()}


def late_error(delegation: Delegation) -> AnyMessage:
    from langchain_core.messages import HumanMessage

    text = f"run {delegation.run_id} of {delegation.artifact_id} can't be looked at, and what it came to is not known"
    return HumanMessage(f"[{text}]", name="executor")


def drop_unfinished(graph: CompiledStateGraph[Any, Any, Any, Any], config: Any) -> None:
    """End a copied thread where its last turn ended: what is under way goes on in the thread that it was copied from,
    and must not be begun here as well."""
    from langchain_core.messages import RemoveMessage
    from langgraph.checkpoint.base import BaseCheckpointSaver

    assert isinstance(graph.checkpointer, BaseCheckpointSaver)
    saved = graph.checkpointer.get_tuple(config)
    values = saved.checkpoint["channel_values"] if saved else {}
    turn = values.get("turn")
    if turn is None or (turn.end is not None and not graph.get_state(config).next):
        return
    messages = values.get("messages", [])  # those that are saved: what unfinished steps wrote is not among them
    begun = split_turns(messages)[-1] if messages and turn.end is None else []
    running = {key: None for key, d in values.get("delegations", {}).items() if d.running}
    update = {
        "messages": [RemoveMessage(id=message.id) for message in begun if message.id],
        "turn": replace(turn, request_id=f"{turn.request_id}~elsewhere", end=turn.end or "cancelled"),
        "delegations": running,
    }
    graph.update_state(config, update, as_node="analyst")
