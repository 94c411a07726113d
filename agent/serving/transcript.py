"""What a Responses client sees of a turn: text as it is written, each call and its answer, each stage, how it ended.

The events follow OpenAI's protocol: created, then for each item what is added and done, then completed, incomplete or
failed. Delegations and other tool calls are function_call items, their answers function_call_output items, and the
stages in between reasoning items, which Playground shows. Ids are made of the request's id and the item's place, so
that a request that is asked again gets the same ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from urllib.parse import quote

from agent.redaction.secrets import redact_text
from graph.endings import ENDS
from graph.events import (
    CallAnswered,
    CallStarted,
    ChunkRead,
    Event,
    ModelCalled,
    StageReached,
    StatementRan,
    Token,
    TurnEnded,
    TurnStarted,
)
from graph.types import ConversationResult, Usage

Item = dict[str, Any]
Fields = Mapping[str, Any]

FIXED: Fields = {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True}
"""What every response has to say of a client's tools."""


@dataclass
class Transcript:
    """One turn, told to a Responses client as it happens. Not thread-safe; `take` is fed every event in order."""

    created_at: float
    echo: Mapping[str, Any] = field(default_factory=dict)
    thread_id: str = ""
    request_id: str = ""
    output: list[Item] = field(default_factory=list)
    running: dict[str, str] = field(default_factory=dict)
    result: ConversationResult | None = None
    writing: str = ""
    said: str = ""
    _sequence: int = 0

    def take(self, event: Event) -> Iterator[Mapping[str, Any]]:
        """The stream events that tell of it; none for what a client does not see."""
        if shown := SHOWN.get(type(event)):
            yield from shown(self, event)

    def response(self) -> dict[str, Any]:
        """The response so far."""
        so_far: dict[str, Any] = {
            "id": f"resp_{self.request_id}",
            "object": "response",
            "created_at": self.created_at,
            "status": "in_progress",
            "output": list(self.output),
            "custom_outputs": self.custom_outputs(),
            **FIXED,
            **self.echo,
        }
        if self.result is not None:
            so_far |= {"status": status_of(self.result), "usage": usage_of(self.result.usage)}
            if self.result.end == "truncated":
                so_far["incomplete_details"] = {"reason": "max_output_tokens"}
            if self.result.status == "fatal_error":
                so_far["error"] = {"code": self.result.end, "message": complaint(self.result)}
        return so_far

    @property
    def text(self) -> str:
        """All that the client was given to read."""
        messages = [item for item in self.output if item["type"] == "message"]
        return "\n\n".join([*(part["text"] for item in messages for part in item["content"]), self.writing])

    def custom_outputs(self) -> dict[str, Any]:
        """The custom_outputs: which thread and request it is and, at the end, how it ended."""
        ids: dict[str, Any] = {"thread_id": self.thread_id, "request_id": self.request_id}
        if self.result is None:
            return ids
        result = self.result
        return ids | {
            "status": result.status,
            "end": result.end,
            "missing": result.missing,
            "delegation_count": result.delegation_count,
            "artifact_ids": list(result.artifact_ids),
            "running": [{"artifact_id": artifact, "run_id": run} for artifact, run in self.running.items()],
            "usage": asdict(result.usage),
            "seconds": result.seconds,
            "coverage": result.coverage,
            "items": [
                {
                    "name": item.name,
                    "media_type": item.media_type,
                    "artifact_id": item.artifact_id,
                    "size": item.size,
                    "href": f"/v1/artifacts/{item.artifact_id}/files/answers/{quote(item.name)}",
                }
                for item in result.items
            ],
            "parsed": result.parsed,
        }

    def begin(self, thread_id: str, request_id: str) -> Iterator[Mapping[str, Any]]:
        if self.request_id:
            return
        self.thread_id, self.request_id = thread_id, request_id
        yield self.event("response.created", response=self.response())

    def write(self, text: str) -> Iterator[Mapping[str, Any]]:
        """Go on with the message that is being written, or start one."""
        if not text:
            return
        if not self.writing:
            yield self.event(
                "response.output_item.added", output_index=self.place, item=self.message("", "in_progress")
            )
            yield self.event("response.content_part.added", **self.part, part=text_part(""))
        self.writing += text
        yield self.event("response.output_text.delta", **self.part, delta=text)

    def close(self) -> Iterator[Mapping[str, Any]]:
        """End the message that is being written, if there is one."""
        if not (text := self.writing):
            return
        yield self.event("response.output_text.done", **self.part, text=text)
        yield self.event("response.content_part.done", **self.part, part=text_part(text))
        self.said, self.writing = text, ""
        yield self.done(self.message(text, "completed"))

    def add(self, item: Item, **noted: Any) -> Iterator[Mapping[str, Any]]:
        """Show a whole item; `noted` goes into its event's custom_outputs."""
        yield from self.close()
        yield self.event("response.output_item.added", output_index=self.place, item=item)
        yield self.done(item, **noted)

    def done(self, item: Item, **noted: Any) -> Mapping[str, Any]:
        told = self.event("response.output_item.done", output_index=self.place, item=item, noted=noted)
        self.output.append(item)
        return told

    def event(self, kind: str, noted: Mapping[str, Any] | None = None, **fields: Any) -> Mapping[str, Any]:
        self._sequence += 1
        custom = self.custom_outputs() | dict(noted or {})
        return {"type": kind, "sequence_number": self._sequence - 1, "custom_outputs": custom} | fields

    def message(self, text: str, status: str) -> Item:
        content = [text_part(text)] if text else []
        return {"id": self.item_id("msg"), "type": "message", "role": "assistant", "status": status, "content": content}

    def note(self, text: str) -> Item:
        return {"id": self.item_id("rs"), "type": "reasoning", "summary": [{"type": "summary_text", "text": text}]}

    def item_id(self, kind: str) -> str:
        return f"{kind}_{self.request_id}_{self.place}"

    @property
    def place(self) -> int:
        """Where the next item goes in the output."""
        return len(self.output)

    @property
    def part(self) -> dict[str, Any]:
        return {"item_id": self.item_id("msg"), "output_index": self.place, "content_index": 0}


def show_start(turn: Transcript, event: TurnStarted) -> Iterator[Mapping[str, Any]]:
    yield from turn.begin(event.thread_id, event.request_id)


def show_token(turn: Transcript, event: Token) -> Iterator[Mapping[str, Any]]:
    yield from turn.write(event.text)


def show_call(turn: Transcript, event: CallStarted) -> Iterator[Mapping[str, Any]]:
    yield from turn.close()
    yield from turn.add(
        {
            "id": turn.item_id("fc"),
            "type": "function_call",
            "call_id": event.call_id,
            "name": event.name,
            "arguments": json.dumps(dict(event.arguments), default=str),
            "status": "completed",
        }
    )


def show_answer(turn: Transcript, event: CallAnswered) -> Iterator[Mapping[str, Any]]:
    yield from turn.close()
    yield from turn.add(
        {
            "id": turn.item_id("fco"),
            "type": "function_call_output",
            "call_id": event.call_id,
            "output": event.content if event.ok else redact_text(event.content),
            "status": "completed" if event.ok else "incomplete",
        }
    )


def show_stage(turn: Transcript, event: StageReached) -> Iterator[Mapping[str, Any]]:
    yield from turn.close()
    if event.status == "executing" and event.run_id:
        turn.running[event.artifact_id] = event.run_id
    else:
        turn.running.pop(event.artifact_id, None)
    heading = f"{event.artifact_id or event.call_id}: {event.stage}, {event.status}"
    event = replace(event, detail=redact_text(event.detail)) if event.detail else event
    yield from turn.add(turn.note(f"{heading}\n{event.detail}" if event.detail else heading), stage=asdict(event))


def show_progress(turn: Transcript, event: ChunkRead) -> Iterator[Mapping[str, Any]]:
    """Progress is no item until the last chunk is read: a long output has hundreds."""
    if event.done < event.total:
        so_far = turn.response() | {"output": []}
        yield turn.event("response.in_progress", noted={"chunks": asdict(event)}, response=so_far)
        return
    yield from turn.close()
    text = f"{event.artifact_id}: read {event.done - event.missed} of {event.total} {event.unit}"
    yield from turn.add(turn.note(text), chunks=asdict(event))


def show_end(turn: Transcript, event: TurnEnded) -> Iterator[Mapping[str, Any]]:
    yield from turn.begin(event.result.thread_id, event.result.request_id)
    yield from rest_of(turn, event.result.response_text or complaint(event.result))
    turn.result = event.result
    yield turn.event(f"response.{status_of(event.result)}", response=turn.response())


def rest_of(turn: Transcript, text: str) -> Iterator[Mapping[str, Any]]:
    """What of the answer was not streamed: all of it for an answer that is given again or was forced."""
    if turn.writing and text.startswith(turn.writing):
        text = text[len(turn.writing) :]
    elif text.strip() in {turn.writing.strip(), turn.said.strip()}:
        text = ""
    else:
        yield from turn.close()
    yield from turn.write(text)
    yield from turn.close()


SHOWN: dict[type, Callable[[Transcript, Any], Iterator[Mapping[str, Any]]]] = {
    TurnStarted: show_start,
    Token: show_token,
    CallStarted: show_call,
    StageReached: show_stage,
    ChunkRead: show_progress,
    CallAnswered: show_answer,
    TurnEnded: show_end,
}


NOT_SHOWN: frozenset[type] = frozenset({ModelCalled, StatementRan})
"""The sum of the first is the response's usage; the others are for traces."""


def text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


def status_of(result: ConversationResult) -> str:
    return "failed" if result.status == "fatal_error" else ENDS[result.end].status


def complaint(result: ConversationResult) -> str:
    """Why there is no answer; empty when there may be one."""
    if result.status != "fatal_error":
        return result.missing or ""
    return result.fatal_error_msg or f"The request failed ({result.end})."


def usage_of(usage: Usage) -> dict[str, Any]:
    """Providers' cached and reasoning tokens are not told apart from the rest."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
