from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage, AnyMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import invalid_tool_call
from langchain_core.tools import BaseTool
from langgraph.runtime import Runtime

from graph.asking import ask
from graph.capsule import fit_window
from graph.context import RunContext
from graph.endings import conclude, find_end
from graph.errors import BudgetExceeded, Cancelled
from graph.events import CallAnswered, CallStarted
from graph.state import AgentState
from graph.types import DELEGATE, Capsule, End


def analyst(state: AgentState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Ask the base model what comes next: tool calls, or the answer that ends the turn."""
    ctx = runtime.context
    if end := find_end(state, ctx):
        return conclude(state, ctx, *end)
    try:
        reply = normalize(ask(ctx, ctx.base_model, "base", build_prompt(state, ctx)), ctx.tools)
    except Cancelled:
        return conclude(state, ctx, "cancelled", "")
    except BudgetExceeded as error:
        return conclude(state, ctx, "budget", str(error))
    if not reply.tool_calls and not reply.invalid_tool_calls:
        answer: End = "unanswered" if reply.response_metadata.get("unanswered") else "answer"
        return conclude(state, ctx, answer, "", reply)
    if state["turn"].rounds >= ctx.limits.max_iterations:
        return conclude(state, ctx, "max_iterations", "")
    return record_calls(state, ctx, reply)


def build_prompt(state: AgentState, ctx: RunContext) -> list[AnyMessage]:
    """All that the base model sees: its instructions with the capsule, and the newest messages."""
    scoped = {**ctx.scoped, **state.get("session", {}), **state.get("temp", {})}
    instructions = ctx.prompts.analyst(state.get("capsule") or Capsule(), scoped)
    if ctx.instructions:
        instructions += f"\n\nWhat this conversation's application asks of you\n{ctx.instructions}"
    return [SystemMessage(instructions), *fit_window(state["messages"], ctx.memory.window_chars)]


def normalize(reply: AIMessage, tools: Mapping[str, BaseTool]) -> AIMessage:
    """The reply with every call under an id of its own, and calls of unknown tools among the malformed ones."""
    seen: set[str] = set()
    calls, malformed = [], []
    for call in [*reply.tool_calls, *reply.invalid_tool_calls]:
        if not call["id"] or call["id"] in seen:
            call["id"] = f"call_{uuid4().hex[:12]}"
        seen.add(str(call["id"]))
    for call in reply.tool_calls:
        if call["name"] in tools:
            calls.append(call)
        else:
            error = f"There is no tool {call['name']!r}. There are: {', '.join(sorted(tools))}."
            malformed.append(invalid_tool_call(name=call["name"], args=str(call["args"]), id=call["id"], error=error))
    reply.tool_calls, reply.invalid_tool_calls = calls, [*reply.invalid_tool_calls, *malformed]
    return reply


def record_calls(state: AgentState, ctx: RunContext, reply: AIMessage) -> dict[str, Any]:
    """Take down the calls, and answer the malformed ones at once."""
    for call in reply.tool_calls:
        ctx.emit(CallStarted(call["id"] or "", call["name"], call["args"]))
    errors = [refusal(ctx, call) for call in reply.invalid_tool_calls]
    delegating = sum(call["name"] == DELEGATE for call in reply.tool_calls)
    turn = state["turn"]
    turn = replace(
        turn,
        rounds=turn.rounds + 1,
        repairs=turn.repairs + 1 if errors else 0,
        delegations=turn.delegations + delegating,
        usage=ctx.ledger.spent,
    )
    return {"messages": [reply, *errors], "turn": turn, "iteration": state.get("iteration", 0) + delegating}


def refusal(ctx: RunContext, call: Any) -> ToolMessage:
    """The answer to a malformed call: what is wrong with it and how to write it."""
    name = call["name"] or "unnamed"
    ctx.emit(CallStarted(call["id"], name, {"arguments": call["args"]}))
    reason = call["error"] or "The arguments are not a JSON object."
    tool = ctx.tools.get(name)
    expected = f" Arguments: {', '.join(tool.args)}." if tool is not None else ""
    text = f"The call was malformed and nothing was run. {reason}{expected} Send it again, corrected."
    ctx.emit(CallAnswered(call["id"], name, False, text))
    ctx.records.telemetry("on_tool_error", tool_name=name, function_call_id=call["id"], payload={"error": reason})
    return ToolMessage(text, tool_call_id=call["id"], name=name, status="error")
