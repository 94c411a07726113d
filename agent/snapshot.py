"""Reading a thread's state from outside: what a turn came to, whether it is unfinished, whether it was asked before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langgraph.types import StateSnapshot

from graph.types import ConversationResult, ConversationStatus, Turn


def result_of(values: Mapping[str, Any], thread_id: str) -> ConversationResult:
    """The result of the turn that the state ends with."""
    turn: Turn = values["turn"]
    return make_result(turn, values["messages"][-1].text, thread_id)


def make_result(turn: Turn, text: str, thread_id: str) -> ConversationResult:
    status: ConversationStatus = "exit_loop" if turn.end == "exit_loop" else "success"
    return ConversationResult(
        response_text=text,
        status=status,
        fatal_error_msg=None,
        delegation_count=turn.delegations,
        end=turn.end or "error",
        thread_id=thread_id,
        request_id=turn.request_id,
        missing=turn.missing,
        usage=turn.usage,
        artifact_ids=turn.artifact_ids,
        coverage=turn.coverage,
    )


def find_answer(values: Mapping[str, Any], thread_id: str, request_id: str) -> ConversationResult | None:
    """The result of an earlier turn with this request id, if the thread has one."""
    turn: Turn | None = values.get("turn")
    if turn is not None and turn.request_id == request_id:
        return result_of(values, thread_id) if turn.end is not None else None
    for message in reversed(values.get("messages", [])):
        if message.response_metadata.get("request_id") == request_id:
            end = message.response_metadata["end"]
            ran = tuple(message.response_metadata.get("artifact_ids", ()))
            return make_result(Turn(request_id, "", 0.0, end=end, artifact_ids=ran), message.text, thread_id)
    return None


def pending_nodes(snapshot: StateSnapshot) -> set[str]:
    """The nodes that still have to run: of a turn that a crash, a kill or a broken machine ended midway."""
    return {*snapshot.next, *(task.name for task in snapshot.tasks)}
