"""What the analyst carries: a compact summary of the thread, and of its messages only as many as fit the window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage

from graph.types import Capsule, Delegation

ENTRY_CHARS = 400
SHORTENED_CHARS = 600


def fold(capsule: Capsule, question: str, delegations: Iterable[Delegation], answer: str, most: int) -> Capsule:
    """The capsule after a turn. Lists keep their newest `most` entries, each of at most ENTRY_CHARS characters."""
    done = sorted(delegations, key=lambda delegation: delegation.iteration)
    tried = [f"{d.artifact_id} ({d.status}): {d.instruction or d.summary}" for d in done]
    running = [f"run {d.run_id} of {d.artifact_id} is still running" for d in done if d.running]
    found = [f"Asked: {entry(question, 150)} Answered: {entry(answer, 240)}"] if answer.strip() else []
    return replace(
        capsule,
        intent=entry(question),
        tried=newest([*capsule.tried, *tried], most),
        findings=newest([*capsule.findings, *found], most),
        open_questions=tuple(running),
        artifact_ids=newest([*capsule.artifact_ids, *(d.artifact_id for d in done)], most),
    )


def entry(text: str, most: int = ENTRY_CHARS) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= most else f"{flat[: most - 1]}…"


def newest(entries: Sequence[str], most: int) -> tuple[str, ...]:
    unique = dict.fromkeys(entry(text) for text in reversed(entries))
    return tuple(reversed(list(unique)[:most]))


def fit_window(messages: Sequence[AnyMessage], window: int) -> list[AnyMessage]:
    """The newest turns that fit `window` characters, whole, so that no tool call loses its answer.

    The current turn is always there; when it alone is too long, its older tool results are shortened.
    """
    turns = split_turns(messages)
    kept: list[AnyMessage] = []
    for turn in reversed(turns):
        if kept and length(turn) + length(kept) > window:
            break
        kept = [*turn, *kept]
    return kept if length(kept) <= window else shorten(kept, window)


def split_turns(messages: Sequence[AnyMessage]) -> list[list[AnyMessage]]:
    """Messages by turn: each begins with what a person said."""
    turns: list[list[AnyMessage]] = []
    for message in messages:
        if not turns or (isinstance(message, HumanMessage) and message.name is None):
            turns.append([])
        turns[-1].append(message)
    return turns


def shorten(messages: Sequence[AnyMessage], window: int) -> list[AnyMessage]:
    """The same messages with tool results cut, oldest first, until all fit."""
    result = list(messages)
    for index, message in enumerate(result):
        if length(result) <= window:
            break
        if isinstance(message, ToolMessage) and len(message.text) > SHORTENED_CHARS:
            text = f"{message.text[:SHORTENED_CHARS]}\n… (shortened; the artifact has it whole)"
            result[index] = message.model_copy(update={"content": text})
    return result


def length(messages: Sequence[AnyMessage]) -> int:
    return sum(len(message.text) + call_length(message) for message in messages)


def call_length(message: AnyMessage) -> int:
    return sum(len(str(call["args"])) for call in message.tool_calls) if isinstance(message, AIMessage) else 0
