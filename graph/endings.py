"""How a turn ends: why, in which words, and what a forced end leaves undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage

from graph.capsule import fold, split_turns
from graph.context import RunContext
from graph.state import AgentState
from graph.types import EXIT_LOOP, Capsule, Delegation, End, Turn


@dataclass(frozen=True)
class Ending:
    """What an end means everywhere: `good` when the turn came to what it was for, `missing` what a forced one left
    undone, the exit code of the command line, and the status of a Responses object.
    """

    good: bool
    exit_code: int
    status: Literal["completed", "incomplete", "failed"]
    missing: str | None = None


def forced(missing: str, exit_code: int = 3) -> Ending:
    return Ending(False, exit_code, "incomplete", missing)


ENDS: dict[End, Ending] = {
    "answer": Ending(True, 0, "completed"),
    "exit_loop": Ending(True, 0, "completed"),
    "job_started": Ending(True, 0, "completed"),
    "run_running": Ending(True, 0, "completed"),
    "waiting": Ending(True, 0, "completed"),
    "unanswered": Ending(False, 4, "completed"),
    "truncated": forced("the model's reply broke off, and asking again did not complete it"),
    "max_iterations": forced("the iteration limit (limits.max_iterations) was reached before the analyst had finished"),
    "time": forced("the time limit (limits.max_seconds) was reached before the analyst had finished"),
    "budget": forced("the budget was used up before the analyst had finished"),
    "stagnation": forced("the same code gave the same outcome again, so going on would not have helped"),
    "repairs": forced("the model's tool calls stayed malformed after several repairs"),
    "unfit": forced("the answer did not take the form that the request asks for, after several tries"),
    "cancelled": forced("the request was cancelled", exit_code=130),
    "error": Ending(False, 2, "failed"),
}
"""Every end, in one place. A front end that has its own idea of one is wrong."""


def find_end(state: AgentState, ctx: RunContext) -> tuple[End, str] | None:
    """The end that is due before the analyst is asked again, and the words for it; None while the turn goes on."""
    if ctx.cancelled.is_set():
        return "cancelled", ""
    if direct := find_direct_answer(state["messages"], ctx):
        return direct
    if running := runs_of(state):
        return "run_running", "\n".join(still_running(delegation) for delegation in running)
    return find_forced_end(state, ctx)


def find_forced_end(state: AgentState, ctx: RunContext) -> tuple[End, str] | None:
    turn, limits = state["turn"], ctx.limits
    if turn.repairs > limits.max_repairs:
        return "repairs", ""
    if ctx.until is not None and ctx.clock.monotonic() >= ctx.until:
        return "time", ""
    if reason := ctx.ledger.exceeded():
        return "budget", reason
    if stagnates(state.get("delegations", {}).values(), turn):
        return "stagnation", ""
    return None


def find_direct_answer(messages: Sequence[AnyMessage], ctx: RunContext) -> tuple[End, str] | None:
    """The end by a tool whose result goes straight to the person."""
    for message in reversed(messages):
        if not isinstance(message, ToolMessage):
            return None
        tool = ctx.tools.get(message.name or "")
        if tool is not None and tool.return_direct and message.status != "error":
            return ("exit_loop", "") if tool.name == EXIT_LOOP else ("job_started", message.text)
    return None


def runs_of(state: AgentState) -> list[Delegation]:
    """The runs of this turn that outlived the request's deadline."""
    request = state["turn"].request_id
    return [d for d in state.get("delegations", {}).values() if d.running and d.request_id == request]


def still_running(delegation: Delegation) -> str:
    return (
        f"Run {delegation.run_id} ({delegation.artifact_id}) is still running. Ask again on this thread to look at it."
    )


def stagnates(delegations: Any, turn: Turn) -> bool:
    """Whether code was sent again, in a later reply, that had the same outcome before."""
    rounds: dict[tuple[str, str], int] = {}
    for delegation in delegations:
        if delegation.request_id != turn.request_id or not delegation.outcome_hash:
            continue
        key = (delegation.code_hash, delegation.outcome_hash)
        if rounds.setdefault(key, delegation.round) != delegation.round:
            return True
    return False


def conclude(state: AgentState, ctx: RunContext, end: End, said: str, reply: AIMessage | None = None) -> dict[str, Any]:
    """Close the turn: the message that the person reads, the turn with its end, and the capsule that remembers it."""
    messages = state["messages"]
    delegations = state.get("delegations", {})
    missing = ENDS[end].missing
    if end in ("budget", "unfit") and said:
        missing = f"{missing}: {said}"
    text = reply.text if reply is not None else words(end, said, missing, messages, delegations)
    turn = state["turn"]
    ran = tuple(d.artifact_id for d in delegations.values() if d.request_id == turn.request_id and d.run_id)
    covered = "; ".join(
        f"{d.artifact_id}: {d.coverage}" for d in delegations.values() if d.artifact_id in ran and d.coverage
    )
    turn = replace(turn, end=end, missing=missing, usage=ctx.ledger.spent, artifact_ids=ran, coverage=covered)
    message = reply if reply is not None else AIMessage(text)
    message.response_metadata["request_id"] = turn.request_id
    message.response_metadata["end"] = end
    message.response_metadata["artifact_ids"] = list(ran)
    question = next((m.text for m in reversed(messages) if isinstance(m, HumanMessage) and m.name is None), "")
    capsule = state.get("capsule") or Capsule()
    folded = fold(capsule, question, delegations.values(), text, ctx.memory.capsule_entries)
    return {"messages": [message], "turn": turn, "capsule": folded}


def words(
    end: End, said: str, missing: str | None, messages: Sequence[AnyMessage], delegations: dict[str, Delegation]
) -> str:
    """What is said when the model did not word the end itself."""
    if end in ("job_started", "run_running"):
        return said
    best = best_so_far(messages, delegations)
    if missing is None:
        return best or "Done."
    stopped = f"Stopped: {missing}."
    return f"{stopped}\n\nThe best so far:\n\n{best}" if best else f"{stopped} There is no partial answer yet."


def best_so_far(messages: Sequence[AnyMessage], delegations: dict[str, Delegation]) -> str:
    """The analyst's last words in this turn, else what its delegations found, newest first."""
    turn = split_turns(messages)[-1] if messages else []
    for message in reversed(turn):
        if isinstance(message, AIMessage) and message.text.strip():
            return message.text
    newest = sorted(delegations.values(), key=lambda delegation: -delegation.iteration)
    found = [f"{d.artifact_id}: {d.summary}" for d in newest if d.succeeded and d.summary]
    return "\n\n".join(found[:3])
