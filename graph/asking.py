"""Asking a model: reserve in the ledger, stream the reply, settle, and write down what it took."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.messages.ai import add_ai_message_chunks

from graph.context import Model, RunContext
from graph.errors import Cancelled, ModelUnavailable
from graph.types import ModelCalled, ModelRole, Token

CHARS_PER_TOKEN = 4
"""Of English text, roughly; used to reserve before a call, and to count when a provider doesn't."""


def ask(ctx: RunContext, model: Model, role: ModelRole, messages: Sequence[BaseMessage]) -> AIMessage:
    """The model's reply. Raises BudgetExceeded before the call, Cancelled within it, ModelUnavailable for no reply."""
    size = sum(len(message.text) for message in messages) // CHARS_PER_TOKEN
    started = ctx.clock.monotonic()
    ctx.records.telemetry("before_model", agent_name=role, model_name=model.name, payload={"messages": len(messages)})
    with ctx.ledger.reserve(size):
        reply = streamed(ctx, model, messages) if role == "base" else model.chat.invoke(messages)
        usage = model.priced(*counted(reply, size))
        ctx.ledger.settle(usage)
    seconds = ctx.clock.monotonic() - started
    ctx.emit(ModelCalled(role, model.name, usage, seconds))
    payload = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "seconds": round(seconds, 3)}
    ctx.records.telemetry("after_model", agent_name=role, model_name=model.name, payload=payload)
    return reply


def streamed(ctx: RunContext, model: Model, messages: Sequence[BaseMessage]) -> AIMessage:
    pieces: list[AIMessageChunk] = []
    for piece in model.chat.stream(messages):
        if ctx.cancelled.is_set():
            raise Cancelled("the request was cancelled while the model was replying")
        if piece.text:
            ctx.emit(Token(piece.text))
        pieces.append(piece)
    if not pieces:
        raise ModelUnavailable(f"{model.name} sent an empty reply")
    reply = message_chunk_to_message(add_ai_message_chunks(pieces[0], *pieces[1:]))
    assert isinstance(reply, AIMessage)
    return reply


def counted(reply: AIMessage, size: int) -> tuple[int, int]:
    """Input and output tokens: the provider's count, else an estimate."""
    if usage := reply.usage_metadata:
        return usage["input_tokens"], usage["output_tokens"]
    return size, len(reply.text) // CHARS_PER_TOKEN
