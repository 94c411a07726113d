from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import invalid_tool_call
from langchain_core.tools import BaseTool
from langgraph.runtime import Runtime

from graph.asking import ask, size_of
from graph.capsule import fit_capsule, leaving, take_in
from graph.context import Model, RunContext
from graph.endings import conclude, cut_short, find_end, find_last_reply
from graph.errors import BudgetExceeded, Cancelled, ModelUnavailable, OutOfTime, TooLong, Withheld
from graph.events import CallAnswered, CallStarted
from graph.replying import Reply, ask_whole
from graph.state import AgentState
from graph.types import DELEGATE, Capsule, End
from graph.window import fit_window, open_turns

UNANSWERED = "unanswered"
"""The mark in a reply's metadata by which a model says that it can't answer."""
SMALLEST_SHARE = 16
"""What is too long is asked with a sixteenth of the window at least."""
CAPSULE_SHARE, CAPSULE_CHARS = 2, 4_000
"""The capsule takes half as much as the messages may, or a little more where those may take next to nothing."""
DEEPEST = 100
"""Arguments that are nested deeper are taken for malformed: nothing that reads JSON likes them."""
INSTRUCTION_CHARS = 8_000
TURN_CHARS = 6_000

CLOSING: Mapping[End, str] = {
    "job_started": "A job was started; it goes on by itself, and the turn ends with this reply. Tell the user its run "
    "id and what the other calls found.",
    "max_iterations": "This is your last reply in this turn: no further call will be run.",
    "budget": "This is your last reply in this turn: the budget is used up, and no further call will be run.",
}

MOST_REFUSALS = 3


def analyst(state: AgentState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Ask the base model what comes next: tool calls, or the answer that ends the turn."""
    ctx = runtime.context
    if end := find_end(state, ctx):
        return conclude(state, ctx, *end)
    try:
        state = remember(state, ctx)
        last = find_last_reply(state, ctx, size_of(ctx.base_model, build_prompt(state, ctx)))
        reply = consult(state, ctx, CLOSING[last[0]] if last else "")
    except Cancelled:
        return conclude(state, ctx, "cancelled", "")
    except OutOfTime:
        return conclude(state, ctx, "time", "")
    except BudgetExceeded as error:
        return conclude(state, ctx, "budget", str(error))
    except Withheld:
        return conclude(state, ctx, "blocked", "")
    return go_on(state, ctx, replace(reply, message=normalize(reply.message, ctx.tools)), last)


def go_on(state: AgentState, ctx: RunContext, reply: Reply, last: tuple[End, str] | None) -> dict[str, Any]:
    """What the reply comes to: an answer, calls, or, where nothing more can be called, the end."""
    message = reply.message
    calls = message.tool_calls or message.invalid_tool_calls
    if reply.missing:
        cut = cut_short(message, reply.missing) if message.text.strip() else None
        return conclude(state, ctx, "truncated", reply.missing, cut)
    if calls and last:
        return conclude(state, ctx, *last)
    if calls:
        return record_calls(state, ctx, message)
    if message.response_metadata.get(UNANSWERED) or message.additional_kwargs.get(UNANSWERED):
        return conclude(state, ctx, "unanswered", "", message)
    if ctx.refuse is not None and not last and (reason := ctx.refuse(message.text)) is not None:
        return refuse_answer(state, ctx, message, reason)
    return conclude(state, ctx, "job_started" if last and last[0] == "job_started" else "answer", "", message)


def consult(state: AgentState, ctx: RunContext, closing: str) -> Reply:
    """The base model's reply. What is too long for it is asked with a smaller window, then of the next model; what its
    provider's filter blocks is asked once more without the earlier turns. Raises Withheld, and TooLong of the last.
    """
    too_long: TooLong | None = None
    for model, window in ways_to_ask(ctx):
        prompt = build_prompt(state, ctx, window, closing)
        try:
            return ask_whole(ctx, model, "base", prompt)
        except TooLong as error:
            too_long = error
        except Withheld:
            alone = build_prompt(state, ctx, 0, closing)
            if len(alone) == len(prompt):
                raise
            return ask_whole(ctx, model, "base", alone)
    assert too_long is not None
    raise too_long


def ways_to_ask(ctx: RunContext) -> Iterator[tuple[Model, int]]:
    model: Model | None = ctx.base_model
    while model is not None:
        share = 1
        while share <= SMALLEST_SHARE:
            yield model, ctx.memory.window_chars // share
            share *= 2
        model = model.fallback


def build_prompt(state: AgentState, ctx: RunContext, window: int | None = None, closing: str = "") -> list[AnyMessage]:
    """All that the base model sees: its instructions with the capsule, and the newest messages; of a window of 0 the
    current turn only, uncut."""
    scoped = {**ctx.scoped, **state.get("session", {}), **state.get("temp", {})}
    size = window or ctx.memory.window_chars
    room = size // CAPSULE_SHARE if size < ctx.memory.window_chars else max(size // CAPSULE_SHARE, CAPSULE_CHARS)
    capsule = fit_capsule(state.get("capsule") or Capsule(), room)
    asked = next((m.text for m in reversed(state["messages"]) if isinstance(m, HumanMessage) and m.name is None), "")
    sections = [ctx.prompts.analyst(replace(capsule, data=ctx.about or capsule.data), scoped, asked)]
    if ctx.instructions:
        sections.append(f"Instructions for this request\n{clip(ctx.instructions, INSTRUCTION_CHARS)}")
    if closing:
        sections.append(closing)
    messages = state["messages"] if window != 0 else open_turns(state["messages"])[-1]
    return [SystemMessage("\n\n".join(sections)), *fit_window(messages, size)]


def clip(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… (cut: {len(text):,} characters)"


def remember(state: AgentState, ctx: RunContext) -> AgentState:
    """The state with a capsule that holds what turns that leave the window laid down, as far as a model can say."""
    capsule = state.get("capsule") or Capsule()
    memory = ctx.memory
    gone, folded = leaving(capsule, state["messages"], memory.window_chars)
    if not gone:
        return state
    said = "\n\n".join(transcript(turn) for turn in gone)
    prompt = [SystemMessage(ctx.prompts.remember(capsule)), HumanMessage(clip(said, memory.window_chars))]
    try:
        capsule = take_in(
            capsule, ask(ctx, ctx.sub_model, "sub", prompt).text, memory.capsule_entries, memory.window_chars
        )
    except (ModelUnavailable, BudgetExceeded):
        return state
    return {**state, "capsule": replace(capsule, folded=folded)}


def transcript(turn: Sequence[AnyMessage]) -> str:
    return "\n".join(f"{message.type}: {clip(message.text, TURN_CHARS)}" for message in turn if message.text.strip())


def refuse_answer(state: AgentState, ctx: RunContext, reply: AIMessage, reason: str) -> dict[str, Any]:
    """Send a final reply that has not the form asked for back with the reason; after MOST_REFUSALS the turn ends."""
    turn = replace(state["turn"], refusals=state["turn"].refusals + 1, usage=ctx.ledger.spent)
    if turn.refusals >= MOST_REFUSALS:
        return conclude({**state, "turn": turn}, ctx, "unfit", reason)
    told = HumanMessage(f"[The answer does not have the form that is asked for: {reason}. Send it again.]", name="form")
    return {"messages": [reply, told], "turn": turn}


def normalize(reply: AIMessage, tools: Mapping[str, BaseTool]) -> AIMessage:
    """The reply with every call under an id of its own, and calls of unknown tools among the malformed ones."""
    seen: set[str] = set()
    calls, malformed = [], []
    for call in [*reply.tool_calls, *reply.invalid_tool_calls]:
        if not call["id"] or call["id"] in seen:
            call["id"] = f"call_{uuid4().hex[:12]}"
        seen.add(str(call["id"]))
    for call in reply.tool_calls:
        if is_deep(call["args"], DEEPEST):
            error = f"The arguments are nested deeper than {DEEPEST} levels."
            malformed.append(invalid_tool_call(name=call["name"], args="{}", id=call["id"], error=error))
        elif call["name"] in tools:
            calls.append(call)
        else:
            error = f"There is no tool {call['name']!r}. There are: {', '.join(sorted(tools))}."
            malformed.append(
                invalid_tool_call(name=call["name"], args=as_text(call["args"]), id=call["id"], error=error)
            )
    reply.tool_calls, reply.invalid_tool_calls = calls, [*reply.invalid_tool_calls, *malformed]
    return reply


def is_deep(value: Any, most: int) -> bool:
    if most == 0:
        return True
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return any(is_deep(one, most - 1) for one in inner if isinstance(one, Mapping | list))


def as_text(arguments: Mapping[str, Any]) -> str:
    return json.dumps(arguments, ensure_ascii=False, default=str)


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
    return {
        "messages": [reply, *errors],
        "turn": turn,
        "iteration": state.get("iteration", 0) + delegating,
        "capsule": state.get("capsule") or Capsule(),
    }


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
