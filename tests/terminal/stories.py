"""Turns as lists of events with the second at which each happens: what displays are driven with."""

from __future__ import annotations

from dataclasses import replace

from graph.endings import ENDS
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
from graph.types import DELEGATE, ConversationResult, Usage

ONE, TWO = "art_000000000001", "art_000000000002"

DONE = ConversationResult(
    response_text="**Beacon** is there twice.",
    status="success",
    fatal_error_msg=None,
    delegation_count=3,
    end="answer",
    thread_id="t-1",
    request_id="r-1",
    usage=Usage(1200, 34, 0.0123, 3),
    artifact_ids=(ONE, TWO),
)

STORY: list[tuple[float, Event]] = [
    (0.0, TurnStarted("t-1", "r-1")),
    (0.5, Token("I look at ")),
    (0.6, Token("both tables.")),
    (1.0, ModelCalled("base", "m", Usage(1000, 20, 0.01, 1), 0.9)),
    (1.0, CallStarted("a", DELEGATE, {"code": "'''Find the twins'''\nprint(1)"})),
    (1.0, CallStarted("b", DELEGATE, {"code": "import os\n# why\ncount = 2\nprint(count)"})),
    (1.0, CallStarted("c", DELEGATE, {"code": "DROP"})),
    (1.0, CallStarted("d", "query_genie", {"query": "How many vendors?"})),
    (1.1, StageReached("c", "art_00000000000c", 3, "delegated", "failed", "SAFETY_BLOCK: DROP destroys data")),
    (1.1, CallAnswered("c", DELEGATE, False, '{"status": "error"}')),
    (1.2, StageReached("a", ONE, 1, "delegated", "pending")),
    (1.2, StageReached("b", TWO, 2, "delegated", "pending")),
    (1.5, StageReached("a", ONE, 1, "executed", "executing", None, "run-1")),
    (1.6, StageReached("b", TWO, 2, "executed", "executing", None, "run-2")),
    (2.0, CallAnswered("d", "query_genie", True, "1,080")),
    (3.0, StageReached("a", ONE, 1, "executed", "completed", None, "run-1")),
    (3.5, StageReached("b", TWO, 2, "executed", "failed", "Traceback\n  File x\nKeyError: 'nam\x1b[31me'", "run-2")),
    (3.6, StageReached("b", TWO, 2, "processed", "consumed", None, "run-2")),
    (3.6, CallAnswered("b", DELEGATE, True, "digest")),
    (4.0, ChunkRead("a", ONE, 3, 12)),
    (6.0, ChunkRead("a", ONE, 12, 12)),
    (6.5, StageReached("a", ONE, 1, "processed", "consumed", None, "run-1")),
    (6.5, CallAnswered("a", DELEGATE, True, "digest")),
    (7.0, Token("**Beacon** is ")),
    (7.1, Token("there twice.")),
    (7.5, ModelCalled("base", "m", Usage(200, 14, 0.0023, 2), 0.9)),
    (8.0, TurnEnded(DONE)),
]

FAILED = replace(
    DONE, response_text="", status="fatal_error", fatal_error_msg="m can't be reached; check base_model.base_url",
    end="error", artifact_ids=(), usage=Usage(),
)  # fmt: skip
LIMITED = replace(DONE, response_text="So far: two.", end="max_iterations", missing=ENDS["max_iterations"].missing)
