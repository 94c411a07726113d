"""What is told of a turn while it goes on, in the order in which a reader sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graph.types import ArtifactStatus, ConversationResult, ModelRole, Stage, Usage


@dataclass(frozen=True)
class TurnStarted:
    thread_id: str
    request_id: str
    resumed: bool = False


@dataclass(frozen=True)
class Token:
    """A piece of the analyst's reply, as it is written."""

    text: str


@dataclass(frozen=True)
class CallStarted:
    """The analyst called a tool. `arguments` are the call's, whole."""

    call_id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class StageReached:
    """A delegation entered a stage or changed its status there. `detail`: the rejection's reason or the error."""

    call_id: str
    artifact_id: str
    iteration: int
    stage: Stage
    status: ArtifactStatus
    detail: str | None = None
    run_id: str | None = None


@dataclass(frozen=True)
class ChunkRead:
    """The sub-model is through with `done` of `total` chunks of a long output, and could not read `missed` of them.

    `unit` is what is counted: `chunks` of an output, or what a run's own code is at.
    """

    call_id: str
    artifact_id: str
    done: int
    total: int
    missed: int = 0
    unit: str = "chunks"


@dataclass(frozen=True)
class StatementRan:
    """A run's SQL was answered. `rows` are the result's, None when nobody counted them; `began` is in epoch seconds."""

    artifact_id: str
    sql: str
    rows: int | None
    began: float
    seconds: float
    error: str | None = None


@dataclass(frozen=True)
class CallAnswered:
    call_id: str
    name: str
    ok: bool
    content: str


@dataclass(frozen=True)
class ModelCalled:
    role: ModelRole
    model: str
    usage: Usage
    seconds: float


@dataclass(frozen=True)
class TurnEnded:
    result: ConversationResult


Event = (
    TurnStarted | Token | CallStarted | StageReached | ChunkRead | StatementRan | CallAnswered | ModelCalled | TurnEnded
)
