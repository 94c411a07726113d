"""Where the machine goes next. Each function reads the state and names the next nodes, nothing else."""

from __future__ import annotations

from langchain_core.messages import AIMessage
from langgraph.graph import END
from langgraph.types import Send

from graph.state import AgentState, DelegationState
from graph.types import DELEGATE, LOST


def first_node(state: AgentState) -> str:
    """Most turns find no delegations of earlier ones, and save the step that takes care of those."""
    return "entry" if state.get("delegations") else "analyst"


def after_entry(state: AgentState) -> list[Send] | str:
    """Look first at the runs that outlived an earlier turn, all at once; else on to the analyst."""
    late = [d for d in state.get("delegations", {}).values() if d.running]
    sends = [Send("delegation", {"delegation": d, "turn": state["turn"], "late": True}) for d in late]
    return sends or "analyst"


def after_analyst(state: AgentState) -> list[Send] | str:
    """All calls of the reply at the same time; back to the analyst when none was well-formed; or the end."""
    if state["turn"].end is not None:
        return END
    reply = next(message for message in reversed(state["messages"]) if isinstance(message, AIMessage))
    delegating = sum(call["name"] == DELEGATE for call in reply.tool_calls)
    before, number = state.get("iteration", 0) - delegating, state["turn"].delegations - delegating
    sends = []
    for call in reply.tool_calls:
        if call["name"] == DELEGATE:
            before, number = before + 1, number + 1
            given = {"call": call, "turn": state["turn"], "iteration": before, "number": number}
            sends.append(Send("delegation", given))
        else:
            sends.append(Send("tools", {"call": call}))
    return sends or "analyst"


def first_stage(state: DelegationState) -> str:
    return "executed" if state.get("late") else "delegated"


def after_delegated(state: DelegationState) -> str:
    return END if state["delegation"].status == "failed" else "executed"


def after_executed(state: DelegationState) -> str:
    """Only what has a result is read: not a run that goes on, nor one whose result is lost."""
    delegation = state["delegations"][state["delegation"].artifact_id]
    return END if delegation.running or delegation.outcome_hash == LOST else "processed"
