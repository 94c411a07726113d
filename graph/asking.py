"""Asking a model: reserve in the ledger, stream the reply, settle, and write down what it took."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.messages.tool import invalid_tool_call, tool_call

from graph.context import Model, RunContext
from graph.errors import Cancelled, ModelUnavailable
from graph.events import ModelCalled, Token
from graph.types import ModelRole

CHARS_PER_TOKEN = 4
"""Of English text, roughly; used to reserve before a call, and to count when a provider doesn't."""


def ask(ctx: RunContext, model: Model, role: ModelRole, messages: Sequence[BaseMessage]) -> AIMessage:
    """The model's reply. Raises BudgetExceeded before the call, Cancelled within it, ModelUnavailable for no reply."""
    size = sum(len(message.text) for message in messages) // CHARS_PER_TOKEN
    started = ctx.clock.monotonic()
    ctx.records.telemetry("before_model", agent_name=role, model_name=model.name, payload={"messages": len(messages)})
    with ctx.ledger.reserve(size):
        reply = stream_reply(ctx, model, messages) if role == "base" else model.chat.invoke(messages)
        usage = model.price(*count_tokens(reply, size))
        ctx.ledger.settle(usage)
    seconds = ctx.clock.monotonic() - started
    ctx.emit(ModelCalled(role, model.name, usage, seconds))
    payload = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "seconds": round(seconds, 3)}
    ctx.records.telemetry("after_model", agent_name=role, model_name=model.name, payload=payload)
    return reply


def stream_reply(ctx: RunContext, model: Model, messages: Sequence[BaseMessage]) -> AIMessage:
    pieces: list[AIMessageChunk] = []
    for piece in model.chat.stream(messages):
        if ctx.cancelled.is_set():
            raise Cancelled("the request was cancelled while the model was replying")
        if piece.text:
            ctx.emit(Token(piece.text))
        pieces.append(piece)
    if not pieces:
        raise ModelUnavailable(f"{model.name} sent an empty reply")
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
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def count_tokens(reply: AIMessage, size: int) -> tuple[int, int]:
    """Input and output tokens: the provider's count, else an estimate."""
    if usage := reply.usage_metadata:
        return usage["input_tokens"], usage["output_tokens"]
    return size, len(reply.text) // CHARS_PER_TOKEN
