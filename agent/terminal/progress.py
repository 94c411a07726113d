"""A turn as a person sees it: its steps, the text so far and what it cost, drawn up from its events."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graph.blob import BlobError, parse_blob
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
from graph.types import DELEGATE, ArtifactStatus, ConversationResult, Stage, Usage

TITLE_CHARS = 100
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
TELLING = ("query", "keyword", "user_request", "run_id", "filename")
"""The arguments that say what a tool call is about, the most telling first."""


@dataclass
class Step:
    """One tool call on its way. Times are on the caller's clock; `read` and `total` count chunks of its output,
    of which `missed` could not be read, or what `unit` says.
    """

    call_id: str
    name: str
    title: str
    started: float
    stage: Stage | None = None
    status: ArtifactStatus | None = None
    artifact_id: str = ""
    trouble: str = ""
    read: int = 0
    total: int = 0
    missed: int = 0
    unit: str = "chunks"
    ended: float | None = None

    @property
    def rejected(self) -> bool:
        return self.stage == "delegated" and self.status == "failed"

    def seconds(self, now: float) -> float:
        return (now if self.ended is None else self.ended) - self.started


@dataclass(frozen=True)
class Remark:
    """What the analyst said before it called tools."""

    text: str


Settled = Step | Remark
"""What won't change any more and can be written down."""


@dataclass
class Progress:
    """Takes a turn's events in order. `text` is the reply that is being written, `usage` all model calls so far."""

    started: float = 0.0
    thread_id: str = ""
    resumed: bool = False
    text: str = ""
    steps: dict[str, Step] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    result: ConversationResult | None = None

    def take(self, event: Event, now: float) -> list[Settled]:
        """Take the event in; returns what it settled."""
        show = SHOWN.get(type(event))
        return show(self, event, now) if show is not None else []

    def running(self) -> list[Step]:
        return [step for step in list(self.steps.values()) if step.ended is None]

    def show_start(self, event: TurnStarted, now: float) -> list[Settled]:
        self.started, self.thread_id, self.resumed = now, event.thread_id, event.resumed
        return []

    def show_token(self, event: Token, now: float) -> list[Settled]:
        self.text += event.text
        return []

    def show_call(self, event: CallStarted, now: float) -> list[Settled]:
        said, self.text = self.text.strip(), ""
        self.steps[event.call_id] = Step(event.call_id, event.name, title_of(event.name, event.arguments), now)
        return [Remark(said)] if said else []

    def show_stage(self, event: StageReached, now: float) -> list[Settled]:
        step = self._step(event.call_id, event.artifact_id, now)
        step.stage, step.status, step.artifact_id = event.stage, event.status, event.artifact_id
        if event.status == "failed" and event.detail:
            step.trouble = last_line(event.detail) if event.stage != "delegated" else one_line(event.detail)
        return self._ended(step, now) if event.stage == "processed" or step.rejected else []

    def show_reading(self, event: ChunkRead, now: float) -> list[Settled]:
        step = self._step(event.call_id, event.artifact_id, now)
        step.read, step.total, step.missed, step.unit = event.done, event.total, event.missed, event.unit
        return []

    def show_answer(self, event: CallAnswered, now: float) -> list[Settled]:
        step = self.steps.get(event.call_id)
        if step is None or step.ended is not None:
            return []
        if not event.ok and not step.trouble:
            step.trouble = one_line(event.content)
        return self._ended(step, now)

    def add_usage(self, event: ModelCalled, now: float) -> list[Settled]:
        self.usage = self.usage + event.usage
        return []

    def keep_result(self, event: TurnEnded, now: float) -> list[Settled]:
        self.result = event.result
        return []

    def _step(self, call_id: str, artifact_id: str, now: float) -> Step:
        """A delegation of an earlier turn comes without a call."""
        return self.steps.setdefault(call_id, Step(call_id, DELEGATE, f"{artifact_id} goes on", now))

    def _ended(self, step: Step, now: float) -> list[Settled]:
        if step.ended is not None:
            return []
        step.ended = now
        return [step]


SHOWN: Mapping[type, Callable[[Progress, Any, float], list[Settled]]] = {
    TurnStarted: Progress.show_start,
    Token: Progress.show_token,
    CallStarted: Progress.show_call,
    StageReached: Progress.show_stage,
    ChunkRead: Progress.show_reading,
    CallAnswered: Progress.show_answer,
    ModelCalled: Progress.add_usage,
    TurnEnded: Progress.keep_result,
}
NOT_SHOWN: frozenset[type] = frozenset({StatementRan})
"""Events that a person at a terminal is not told of."""


def title_of(name: str, arguments: Mapping[str, Any]) -> str:
    """What a call is about, in a few words: a delegation's instruction, else its code's first telling line."""
    if name == DELEGATE:
        return cut(subject(str(arguments.get("code", ""))))
    value = next((arguments[key] for key in TELLING if arguments.get(key)), "")
    return cut(one_line(str(value)))


def subject(blob: str) -> str:
    try:
        parsed = parse_blob(blob)
    except BlobError:
        return one_line(blob)
    lines = [line.strip() for line in parsed.code.splitlines()]
    telling = (line for line in lines if line and not line.startswith(("#", "import ", "from ")))
    return one_line(parsed.instruction or next(telling, parsed.code))


def one_line(text: str) -> str:
    return " ".join(visible(text).split())


def last_line(trace: str) -> str:
    """The line of a traceback that names the error."""
    lines = [line for line in trace.splitlines() if line.strip()]
    return one_line(lines[-1]) if lines else ""


def cut(text: str, most: int = TITLE_CHARS) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def visible(text: str) -> str:
    """Without the characters that would command a terminal: what models and data say must not."""
    return CONTROL.sub("", text)
