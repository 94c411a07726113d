"""The words of the machine that are saved: what is delegated, what came of it, and how a turn ended.

Everything here is a frozen dataclass or a Literal, so that it can be checkpointed, compared and sent between threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import wraps
from typing import Any, Literal, TypeVar, dataclass_transform

Stage = Literal["delegated", "executed", "processed"]
ArtifactStatus = Literal["pending", "executing", "completed", "failed", "consumed"]
RunStatus = Literal["queued", "running"]
ResultStatus = Literal["success", "failed"]
ModelRole = Literal["base", "sub", "reduce"]
"""`sub` reads one part or answers one small question, `reduce` merges what was read."""

End = Literal[
    "answer",
    "exit_loop",
    "job_started",
    "run_running",
    "waiting",
    "unanswered",
    "truncated",
    "blocked",
    "max_iterations",
    "time",
    "budget",
    "stagnation",
    "repairs",
    "unfit",
    "cancelled",
    "error",
]
"""Why a turn ended; `graph.endings.ENDS` says what each means. `waiting`: for a person; `unanswered`: the model said
that it can't; `truncated`: its reply stayed incomplete; `blocked`: a provider's filter blocked the question."""

ConversationStatus = Literal["success", "exit_loop", "fatal_error"]
Refusal = Literal["invalid", "not_found", "busy"]

DELEGATE = "delegate_code_results"
EXIT_LOOP = "exit_loop"
LOST = "lost"
"""The outcome of a delegation of which nothing is left."""


Kind = TypeVar("Kind")


@dataclass_transform(frozen_default=True)
def saved(cls: type[Kind]) -> type[Kind]:
    """A frozen dataclass that threads are saved with, under the name `graph.types.<its name>` wherever it is defined.

    It loads what another version of it has saved: a field that it doesn't know is left out, one that was not saved yet
    has its default. So fields are only added with a default, and a class that moves stays importable from here.
    """
    known: Any = dataclass(frozen=True)(cls)
    names, plain = {one.name for one in fields(known)}, known.__init__

    @wraps(plain)
    def made(self: Any, *values: Any, **named: Any) -> None:
        plain(self, *values, **{name: value for name, value in named.items() if name in names})

    known.__init__ = made
    known.__module__ = __name__
    return known  # type: ignore[no-any-return]


@saved
class Artifact:
    """One delegation, ready to run. `path` is its folder; `code.py` in it is what runs."""

    artifact_id: str
    thread_id: str
    invocation_id: str
    iteration: int
    code: str
    instruction: str | None
    path: str
    call_id: str = ""


@dataclass(frozen=True)
class ExecutionResult:
    """What a run left: the content of `result.json`.

    `stdout` and `stderr` are capped (head and tail); the full text lies beside the artifact. Times are ISO 8601 in UTC.
    `output` is the value of the code's `result` (else `output`) as JSON text.
    """

    status: ResultStatus
    artifact_path: str
    run_id: str
    iteration: int
    start_time: str
    end_time: str
    duration_seconds: float
    stdout: str = ""
    stderr: str = ""
    output: str | None = None
    error: str | None = None
    error_trace: str | None = None
    timed_out: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Rejection:
    """Why a delegation was not run, said so that the model can act on it."""

    code: str
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Approval:
    """Why a delegation has to be agreed to by a person before it runs."""

    code: str
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)


Verdict = Rejection | Approval
"""What a guard may say of a delegation besides nothing."""


@saved
class Delegation:
    """Where one delegation stands. Kept in the thread's state: handles and previews only, never data."""

    call_id: str
    artifact_id: str
    request_id: str
    round: int
    iteration: int
    stage: Stage
    status: ArtifactStatus
    instruction: str | None = None
    code_hash: str = ""
    outcome_hash: str = ""
    succeeded: bool = False
    run_id: str | None = None
    started_at: float = 0.0
    summary: str = ""
    coverage: str = ""
    """How much of what was to be read was read, in words; empty when nothing had to be."""

    @property
    def running(self) -> bool:
        return self.stage == "executed" and self.status == "executing"


@saved
class Usage:
    """What model calls cost: tokens as the provider counts them, US dollars by the configured prices."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    calls: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost_usd + other.cost_usd,
            self.calls + other.calls,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens - other.input_tokens,
            self.output_tokens - other.output_tokens,
            self.cost_usd - other.cost_usd,
            self.calls - other.calls,
        )


@saved
class Turn:
    """One request on a thread. `started_at` is seconds since the epoch.

    `rounds` counts the analyst's replies that called tools, `repairs` the malformed ones in a row. `end` is None while
    the turn goes on; `missing` says what a forced end left undone.
    """

    request_id: str
    user_id: str
    started_at: float
    rounds: int = 0
    repairs: int = 0
    delegations: int = 0
    artifact_ids: tuple[str, ...] = ()
    usage: Usage = Usage()
    end: End | None = None
    missing: str | None = None
    coverage: str = ""
    refusals: int = 0
    """How many final replies did not fit the form that the request asks for."""


@saved
class Capsule:
    """What the analyst carries instead of history. `constraints` are the user's own words, whole; the other lists keep
    their newest entries only. `data` says what the thread is about, `folded` how many turns a model has folded.
    """

    intent: str = ""
    constraints: tuple[str, ...] = ()
    tried: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    open_questions: tuple[str, ...] = ()
    artifact_ids: tuple[str, ...] = ()
    data: str = ""
    folded: int = 0


@dataclass(frozen=True)
class Attachment:
    """A value that a run's code handed over for the person: a file beside the artifact that made it."""

    name: str
    media_type: str
    artifact_id: str
    path: str
    size: int


@dataclass(frozen=True)
class ConversationResult:
    """How a turn ended. `missing` says what a forced end left undone; `usage` is the turn's, sub-models included.

    `coverage` says how much of the outputs was read; `items` are what code answered with, `parsed` the answer to a
    request that has a schema.
    `refusal` says why a request was not taken up at all: nothing was done and nothing saved.
    """

    response_text: str
    status: ConversationStatus
    fatal_error_msg: str | None
    delegation_count: int
    end: End
    thread_id: str
    request_id: str
    missing: str | None = None
    usage: Usage = Usage()  # noqa: RUF009 - frozen
    seconds: float = 0.0
    artifact_ids: tuple[str, ...] = ()
    coverage: str = ""
    items: tuple[Attachment, ...] = ()
    parsed: Any = None
    refusal: Refusal | None = None


CHECKPOINTED = (Artifact, Delegation, Turn, Usage, Capsule)
"""The types of ours that appear in a thread's state: what a strict serializer has to allow."""
