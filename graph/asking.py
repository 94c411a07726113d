"""Asking a model: reserve in the ledger, stream the reply, settle, and write down what it took."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, message_chunk_to_message
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langgraph.runtime import get_runtime

from graph.context import Model, RunContext
from graph.errors import BrokenOff
from graph.events import ModelCalled, Token
from graph.types import ModelRole
from graph.waiting import check, each, wait_for

FRAME_TOKENS = 4
"""What a provider puts around a message, roughly."""
BROKEN = "broken off"
"""The finish reason of a reply whose stream ended before it did."""


def ask(ctx: RunContext, model: Model, role: ModelRole, messages: Sequence[BaseMessage]) -> AIMessage:
    """The model's reply to one call, whole or not. The base model's is streamed.

    Raises BudgetExceeded before the call, Cancelled and OutOfTime within it, ModelUnavailable for no reply.
    """
    size = size_of(model, messages)
    started = ctx.clock.monotonic()
    ctx.records.telemetry("before_model", agent_name=role, model_name=model.name, payload={"messages": len(messages)})
    with ctx.ledger.reserve(model, role, size, partial(check, ctx)) as settle:
        pieces: list[AIMessageChunk] = []
        try:
            reply = stream(ctx, model, messages, pieces) if role == "base" else say(ctx, model, messages)
        except BaseException:
            if pieces:
                settle(model.price(*count_tokens(model, join_chunks(pieces), size)))
            raise
        usage = model.price(*count_tokens(model, reply, size))
        settle(usage)
    seconds = ctx.clock.monotonic() - started
    ctx.emit(ModelCalled(role, model.name, usage, seconds))
    payload = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "seconds": round(seconds, 3)}
    ctx.records.telemetry("after_model", agent_name=role, model_name=model.name, payload=payload)
    return reply


def ask_reader(prompt: str) -> str:
    """Asks the running turn's sub-model, for a tool that needs one: by the turn's ledger and until its end."""
    ctx = get_runtime(RunContext).context
    return ask(ctx, ctx.sub_model, "sub", [HumanMessage(prompt)]).text


def say(ctx: RunContext, model: Model, messages: Sequence[BaseMessage]) -> AIMessage:
    reply: AIMessage = wait_for(ctx, lambda: model.chat.invoke(list(messages)))
    return reply


def stream(ctx: RunContext, model: Model, messages: Sequence[BaseMessage], pieces: list[AIMessageChunk]) -> AIMessage:
    """Tells each piece of text. A stream that breaks leaves a reply that says so, with what had come."""
    try:
        for piece in each(ctx, lambda: model.chat.stream(list(messages))):
            pieces.append(piece)
            if piece.text:
                ctx.emit(Token(piece.text))
    except BrokenOff:
        if not pieces:
            raise
        pieces.append(AIMessageChunk(content="", response_metadata={"finish_reason": BROKEN}))
    if not pieces:
        raise BrokenOff(f"{model.name} sent an empty reply")
    return join_chunks(pieces)


def join_chunks(pieces: Sequence[AIMessageChunk]) -> AIMessage:
    """The whole reply. LangChain repairs broken arguments of a streamed call by guessing where they would have ended;
    code that was cut off must not run, so they are read again, strictly.
    """
    whole = add_ai_message_chunks(pieces[0], *pieces[1:])
    reply = message_chunk_to_message(whole)
    assert isinstance(reply, AIMessage)
    if whole.tool_call_chunks:
        reply.tool_calls, reply.invalid_tool_calls = [], []
    for chunk in whole.tool_call_chunks:
        name, text, call_id = chunk["name"] or "", chunk["args"] or "", chunk["id"]
        arguments = as_object(text)
        if arguments is not None and name:
            reply.tool_calls.append(tool_call(name=name, args=arguments, id=call_id))
        else:
            error = "The arguments are not a whole JSON object."
            reply.invalid_tool_calls.append(invalid_tool_call(name=name, args=text, id=call_id, error=error))
    return reply


def as_object(text: str) -> dict[str, Any] | None:
    """A call's arguments; no text at all is a call without arguments."""
    try:
        value = json.loads(text.strip() or "{}")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def size_of(model: Model, messages: Sequence[BaseMessage]) -> int:
    """The tokens that the messages come to."""
    return sum(model.tokens(message.text) + calls_size(model, message) + FRAME_TOKENS for message in messages)


def calls_size(model: Model, message: BaseMessage) -> int:
    return sum(model.tokens(str(call["args"])) for call in message.tool_calls) if isinstance(message, AIMessage) else 0


def count_tokens(model: Model, reply: AIMessage, size: int) -> tuple[int, int]:
    """Input and output tokens: the provider's count, else an estimate."""
    if usage := reply.usage_metadata:
        return usage["input_tokens"], usage["output_tokens"]
    return size, model.tokens(reply.text) + calls_size(model, reply)
