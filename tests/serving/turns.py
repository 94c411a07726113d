"""Turns as the core tells them, written down: what a client has to be able to make sense of."""

from __future__ import annotations

from graph.events import (
    CallAnswered,
    CallStarted,
    ChunkRead,
    Event,
    ModelCalled,
    StageReached,
    Token,
    TurnEnded,
    TurnStarted,
)
from graph.types import DELEGATE, ConversationResult, End, Usage

THREAD, REQUEST = "thread-1", "ask-1"
STARTED = TurnStarted(THREAD, REQUEST)


def result(text: str, end: End = "answer", **fields: object) -> ConversationResult:
    given = {
        "status": "success",
        "fatal_error_msg": None,
        "delegation_count": 0,
        "usage": Usage(120, 30, 0.002, 2),
        "thread_id": THREAD,
        "request_id": REQUEST,
    } | fields
    return ConversationResult(response_text=text, end=end, **given)  # type: ignore[arg-type]


def ended(text: str, end: End = "answer", **fields: object) -> TurnEnded:
    return TurnEnded(result(text, end, **fields))


def stage(call: str, artifact: str, stage: str, status: str, **fields: object) -> StageReached:
    return StageReached(call, artifact, 1, stage, status, **fields)  # type: ignore[arg-type]


PLAIN: list[Event] = [
    STARTED,
    Token("Good "),
    Token("day."),
    ModelCalled("base", "scripted", Usage(10, 2, 0.0, 1), 0.1),
    ended("Good day."),
]

TWO_AT_ONCE: list[Event] = [
    STARTED,
    Token("Let me look."),
    CallStarted("call_1", DELEGATE, {"code": "print(1)"}),
    CallStarted("call_2", DELEGATE, {"code": "print(2)"}),
    stage("call_1", "art_1", "delegated", "pending"),
    stage("call_2", "art_2", "delegated", "pending"),
    stage("call_2", "art_2", "executed", "executing", run_id="run_2"),
    stage("call_1", "art_1", "executed", "executing", run_id="run_1"),
    stage("call_1", "art_1", "executed", "failed", detail="NameError: x", run_id="run_1"),
    CallAnswered("call_1", DELEGATE, False, "NameError: x"),
    stage("call_2", "art_2", "executed", "completed", run_id="run_2"),
    ChunkRead("call_2", "art_2", 1, 3),
    ChunkRead("call_2", "art_2", 2, 3),
    ChunkRead("call_2", "art_2", 3, 3),
    stage("call_2", "art_2", "processed", "consumed", run_id="run_2"),
    CallAnswered("call_2", DELEGATE, True, "It printed 2."),
    Token("The second "),
    Token("said 2."),
    ended("The second said 2.", delegation_count=2, artifact_ids=("art_1", "art_2")),
]

STILL_RUNNING: list[Event] = [
    STARTED,
    CallStarted("call_1", DELEGATE, {"code": "long()"}),
    stage("call_1", "art_1", "delegated", "pending"),
    stage("call_1", "art_1", "executed", "executing", run_id="run_1"),
    CallAnswered("call_1", DELEGATE, True, "Run run_1 is still running."),
    ended("Run run_1 is still running.", "run_running", delegation_count=1, artifact_ids=("art_1",)),
]
