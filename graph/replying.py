"""A whole reply out of a model: what breaks off is gone on with, what is empty or lost is asked for again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from graph.asking import BROKEN, ask
from graph.context import Model, RunContext
from graph.errors import BrokenOff, BudgetExceeded, ModelUnavailable, TooLong, Withheld
from graph.types import ModelRole

MOST_CONTINUATIONS = 3
MOST_REPEATS = 1
"""How often a reply is gone on with, and how often an empty or lost one is asked for again."""

GO_ON = (
    "Your reply broke off here. Go on exactly where it stopped; repeat nothing of it and say nothing about the break."
)
CUT_CALL = "The reply broke off before these arguments ended; nothing is wrong with their beginning. Send less at once."

CUT = {"length", "max_tokens", "max_output_tokens", "model_length", "incomplete", "token_limit"}
FILTERED = {
    *("content_filter", "content_filtered", "safety", "recitation", "refusal", "prohibited_content", "blocklist"),
    *("input_guardrail_triggered", "output_guardrail_triggered", "guardrail_intervened", "spii"),
}
REASONS = ("finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason")


@dataclass(frozen=True)
class Reply:
    """`missing` says in words why the message is not the whole reply; None when it is."""

    message: AIMessage
    missing: str | None = None


def ask_whole(ctx: RunContext, model: Model, role: ModelRole, messages: Sequence[BaseMessage]) -> Reply:
    """Raises what `ask` raises before anything of the reply is there."""
    reply = begin(ctx, model, role, messages)
    for _ in range(MOST_CONTINUATIONS):
        trouble = find_trouble(reply)
        if trouble is None or has_calls(reply) or not reply.text:
            break
        asked = [*messages, AIMessage(reply.text), HumanMessage(GO_ON)]
        try:
            reply = join(reply, ask(ctx, model, role, asked))
        except (ModelUnavailable, BudgetExceeded) as error:
            return Reply(reply, f"{trouble}, and going on failed: {error}")
    return Reply(explain_cut_calls(reply), None if has_calls(reply) else find_trouble(reply))


def begin(ctx: RunContext, model: Model, role: ModelRole, messages: Sequence[BaseMessage]) -> AIMessage:
    """A reply that says something: an empty or lost one is asked for again."""
    for _ in range(MOST_REPEATS):
        try:
            reply = ask(ctx, model, role, messages)
        except (TooLong, Withheld):
            raise
        except BrokenOff:
            continue
        if reply.text.strip() or reply.tool_calls or (reply.invalid_tool_calls and finish_of(reply) != BROKEN):
            return reply
    return ask(ctx, model, role, messages)


def find_trouble(reply: AIMessage) -> str | None:
    """What keeps the reply from being whole, in words."""
    reason = finish_of(reply)
    if reason == BROKEN:
        return "the model's stream ended before its reply did"
    if reason in CUT:
        return "the model's reply reached its length limit (max_output_tokens)"
    if reason in FILTERED:
        return "the provider's filter cut the model's reply off"
    return None if reply.text.strip() or has_calls(reply) else "the model sent an empty reply"


def finish_of(reply: AIMessage) -> str:
    """The provider's finish reason in small letters; some streams repeat it."""
    said = next((reply.response_metadata[name] for name in REASONS if reply.response_metadata.get(name)), "")
    reason = said.lower() if isinstance(said, str) else ""
    return next(
        (one for one in (BROKEN, *CUT, *FILTERED) if reason and reason == one * (len(reason) // len(one))), reason
    )


def has_calls(reply: AIMessage) -> bool:
    return bool(reply.tool_calls or reply.invalid_tool_calls)


def explain_cut_calls(reply: AIMessage) -> AIMessage:
    if finish_of(reply) in (BROKEN, *CUT):
        for call in reply.invalid_tool_calls:
            call["error"] = CUT_CALL
    return reply


def join(first: AIMessage, more: AIMessage) -> AIMessage:
    return more.model_copy(update={"content": first.text + more.text})
