"""How a turn ends: why, in which words, and what a forced end leaves undone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage

from graph.capsule import Told, entry, fold
from graph.context import RunContext
from graph.state import AgentState
from graph.types import EXIT_LOOP, Capsule, Delegation, End, Turn
from graph.window import is_question, split_turns

MOST_FOUND = 5


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
    "truncated": forced("the model's reply stayed incomplete"),
    "blocked": forced("a provider's filter did not let the question pass; later questions go without it"),
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
    if (direct := find_direct_answer(state["messages"], ctx)) and is_alone(state["messages"]):
        return direct
    if running := runs_of(state):
        return "run_running", "\n".join(still_running(delegation) for delegation in running)
    return find_forced_end(state, ctx)


def is_alone(messages: Sequence[AnyMessage]) -> bool:
    """Whether nothing was called beside what ends the turn, or the analyst asked for the end itself."""
    reply = next((message for message in reversed(messages) if isinstance(message, AIMessage)), None)
    calls = [*reply.tool_calls, *reply.invalid_tool_calls] if reply is not None else []
    return len(calls) <= 1 or any(call["name"] == EXIT_LOOP for call in calls)


def find_last_reply(state: AgentState, ctx: RunContext, size: int) -> tuple[End, str] | None:
    """The end that comes after one more reply, and why; `size` is what the reply would be asked with, in tokens."""
    if direct := find_direct_answer(state["messages"], ctx):
        return direct
    if state["turn"].rounds >= ctx.limits.max_iterations:
        return "max_iterations", ""
    if reason := ctx.ledger.is_last(ctx.base_model, size):
        return "budget", reason
    return None


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
    if end == "cancelled" and ctx.closing.is_set():
        missing = "interrupted by shutdown: the program was ended while the turn ran"
    if said and end in ("budget", "truncated", "unfit"):
        missing = f"{missing}: {said}"
    message = reply if reply is not None else AIMessage(words(end, said, missing, messages, delegations))
    turn = state["turn"]
    ran = tuple(d.artifact_id for d in delegations.values() if d.request_id == turn.request_id and d.run_id)
    covered = "; ".join(
        f"{d.artifact_id}: {d.coverage}" for d in delegations.values() if d.artifact_id in ran and d.coverage
    )
    turn = replace(turn, end=end, missing=missing, usage=ctx.ledger.spent, artifact_ids=ran, coverage=covered)
    message.response_metadata["request_id"] = turn.request_id
    message.response_metadata["end"] = end
    message.response_metadata["artifact_ids"] = list(ran)
    capsule = replace(state.get("capsule") or Capsule(), data=ctx.about)
    if end != "blocked":
        told = Told(question_of(messages), message.text, missing)
        capsule = fold(capsule, told, delegations.values(), ctx.memory.capsule_entries, ctx.memory.window_chars)
    return {"messages": [message], "turn": turn, "capsule": capsule}


def question_of(messages: Sequence[AnyMessage]) -> str:
    return next((message.text for message in reversed(messages) if is_question(message)), "")


def words(
    end: End, said: str, missing: str | None, messages: Sequence[AnyMessage], delegations: dict[str, Delegation]
) -> str:
    """What is said when the model did not word the end itself."""
    if end == "run_running":
        return said
    if end == "job_started":
        others = [] if is_alone(messages) else [find_results(messages, delegations)]
        return "\n\n".join([said, *filter(None, others)])
    if missing is None:
        return last_words(messages) or find_results(messages, delegations) or "Done."
    stopped = f"Stopped: {missing}."
    best = find_results(messages, delegations) or last_words(messages)
    return f"{stopped}\n\nThe best so far:\n\n{best}" if best else f"{stopped} There is no partial answer yet."


def cut_short(reply: AIMessage, missing: str) -> AIMessage:
    """An incomplete reply that says so itself."""
    note = f"[This answer is incomplete: {missing}.]"
    return reply.model_copy(update={"content": f"{reply.text.rstrip()}\n\n{note}"})


def last_words(messages: Sequence[AnyMessage]) -> str:
    """What the analyst said last in this turn; beside calls it is an announcement more than a finding."""
    turn = split_turns(messages)[-1] if messages else []
    return next((m.text for m in reversed(turn) if isinstance(m, AIMessage) and m.text.strip()), "")


def find_results(messages: Sequence[AnyMessage], delegations: Mapping[str, Delegation]) -> str:
    """What this turn's delegations and tools found, newest first."""
    newest = sorted(delegations.values(), key=lambda delegation: -delegation.iteration)
    found = [f"{d.artifact_id}: {d.summary}" for d in newest if d.succeeded and d.summary]
    turn = split_turns(messages)[-1] if messages else []
    delegated = {d.call_id for d in delegations.values()}
    answers = [
        f"{message.name}: {entry(message.text)}"
        for message in reversed(turn)
        if isinstance(message, ToolMessage) and message.status != "error" and message.tool_call_id not in delegated
    ]
    return "\n\n".join([*found, *answers][:MOST_FOUND])
