"""The live things that a run needs and a checkpoint can't hold, as Protocols. Whoever runs the graph brings them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import Any, Protocol

from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool

from graph.budget import Digesting, Ledger, Limits, Memory
from graph.claims import Claims, MemoryClaims
from graph.events import Event
from graph.program import Program
from graph.reading.llm_map import NoRecall, Recall
from graph.reading.records import Check
from graph.types import Artifact, ArtifactStatus, Capsule, ExecutionResult, RunStatus, Usage, Verdict

Guard = Callable[[Program], Verdict | None]
"""Reads a delegation; says no with a reason, that a person has to agree, or nothing."""


Handler = Callable[[Mapping[str, Any], Any], Mapping[str, Any]]
"""Answers one kind of request: the request's JSON object, and a binary file for bytes that go before the answer's JSON.
Raises HostError for what the code is to be told."""


CANCELLED = "the run was cancelled"


@dataclass(frozen=True)
class ReadingAllowance:
    """What a run that can't reach us may spend on reading by itself: reserved in the ledger, accounted for afterwards.

    It does not bound what the run's identity could spend: the rate limit of the sub-model's endpoint does.
    """

    model: str
    tokens: int
    leaf_tokens: int
    leaf_items: int
    parallel: int


class RunHost(Protocol):
    """What one run may ask of us while it runs. A backend whose runs can't reach us hands over the allowance before
    and settles the report afterwards.
    """

    @property
    def setup(self) -> Mapping[str, Any]:
        """What the run is told before it starts, as JSON: `catalog`, `schema`, `text`."""

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """By the kind of request."""

    def allowance(self) -> ReadingAllowance:
        """Reserve what the run may spend on reading by itself. Raises BudgetExceeded when nothing is left."""

    def settle(self, report: Mapping[str, Any] | None) -> None:
        """Account for what a run with an allowance spent, by what it says: `input_tokens`, `output_tokens`, `calls`.

        None is a run that left no report: it is taken to have spent all.
        """

    def close(self) -> None:
        """End what is being answered; from any thread. The run has ended."""


class ExecutionBackend(Protocol):
    """Runs artifacts. Raises BackendUnavailable when it can't be reached; failing code is an ExecutionResult."""

    def submit(self, artifact: Artifact, idempotency_token: str, host: RunHost) -> str:
        """Start the artifact and return its run id. One token is started once, also after a crash of the caller.

        The backend closes `host` when the run has ended, or at once when there is nothing to start.
        """

    def find(self, artifact: Artifact, idempotency_token: str) -> str | None:
        """The run that this token has started; None when it is certain that it has started none.

        Raises RunLost when what would tell is not here: the artifact's folder was removed, or is another home's.
        """

    def poll(self, run_id: str) -> RunStatus | ExecutionResult:
        """Raises RunLost for a run of which nothing is left here."""

    def cancel(self, run_id: str, reason: str = CANCELLED) -> None:
        """End the run, with the reason for its result; a finished run stays as it is. The next poll returns it."""


class ArtifactStore(Protocol):
    """The folders that delegations leave."""

    def folder(self, artifact_id: str) -> str: ...

    def write(self, artifact: Artifact) -> str:
        """Write code and notebook; return the code's key. Writing the same artifact again changes nothing."""

    def result(self, artifact_id: str) -> ExecutionResult | None: ...

    def text(self, artifact_id: str, stream: str = "stdout") -> Iterator[str]:
        """All of `stdout` or `stderr` in pieces."""

    def size(self, artifact_id: str, stream: str = "stdout") -> int:
        """Characters (at most; bytes on disk) that `text` yields."""

    def write_digest(self, artifact_id: str, digest: str, notes: Sequence[Mapping[str, Any]] = ()) -> None:
        """Keep what the analyst was told, and the records that it was made of."""

    def handed(self, artifact_id: str) -> Mapping[str, Any]:
        """What the run handed over or had read while it ran: `answers`, `saved` and `maps`, lists of JSON objects."""


class Records(Protocol):
    """What is written down about a run for people who ask later. Every method is idempotent by its ids."""

    def register(self, artifact: Artifact, code_key: str) -> None: ...

    def advance(self, artifact_id: str, status: ArtifactStatus, metadata: Mapping[str, Any] | None = None) -> None: ...

    def telemetry(self, callback_name: str, **fields: Any) -> None:
        """One row; `fields` are columns of adk_telemetry, and `payload` a mapping that becomes payload_json."""


class Prompts(Protocol):
    def analyst(self, capsule: Capsule, scoped: Mapping[str, Any], question: str = "") -> str:
        """`question` decides which tables and columns are shown first."""

    def remember(self, capsule: Capsule) -> str:
        """Asks what the messages that follow laid down, found and left open, as a JSON object of lists."""

    def chunk(self, instruction: str) -> str:
        """For a reader of one part of an output, who answers with a `graph.reading.notes.NOTE_SCHEMA`."""

    def reduce(self, instruction: str) -> str: ...

    def leaf(self, instruction: str, schema: Mapping[str, Any], context: str | None) -> str:
        """For a reader of many items, a line each, who answers with a record for each."""

    def query(self, schema: Mapping[str, Any] | None) -> str:
        """For a model that generated code asks one question."""


class Clock(Protocol):
    def monotonic(self) -> float: ...

    def now(self) -> datetime: ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def monotonic(self) -> float:
        return monotonic()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        sleep(seconds)


@dataclass(frozen=True)
class Model:
    """A chat model and what its tokens cost (US dollars per million). The base model's tools are already bound.

    `counter` counts a text's tokens as the model does. `fallback` is asked what is too long for this one.
    """

    chat: Runnable[Any, Any]
    name: str
    input_price: float = 0.0
    output_price: float = 0.0
    max_output_tokens: int | None = None
    counter: Callable[[str], int] | None = None
    fallback: Model | None = None

    def tokens(self, text: str) -> int:
        """The tokens of a text; without a counter a third of its UTF-8 bytes, which is seldom too few."""
        if self.counter is not None:
            return self.counter(text)
        return -(-len(text.encode(errors="surrogatepass")) // 3)

    def bind_tools(self, tools: Sequence[BaseTool]) -> Model:
        """The same model, with tools, and so its fallbacks."""
        fallback = self.fallback.bind_tools(tools) if self.fallback is not None else None
        return replace(self, chat=self.chat.bind_tools(tools), fallback=fallback)  # type: ignore[attr-defined]

    def price(self, input_tokens: int, output_tokens: int) -> Usage:
        cost = (input_tokens * self.input_price + output_tokens * self.output_price) / 1e6
        return Usage(input_tokens, output_tokens, cost, calls=1)


@dataclass(frozen=True)
class RunContext:
    """One request's live things.

    On the clock's monotonic scale, `deadline` is when it stops waiting for runs and `until` when the turn ends.
    """

    base_model: Model
    sub_model: Model
    prompts: Prompts
    tools: Mapping[str, BaseTool]
    guards: Sequence[Guard]
    backend: ExecutionBackend
    host: Callable[[RunContext, Artifact], RunHost]
    artifacts: ArtifactStore
    records: Records
    ledger: Ledger
    check_schema: Callable[[Mapping[str, Any]], Check]
    """From a JSON schema to what says why a value does not fit it. Raises InvalidRequest for what is no schema."""
    recall: Callable[[str], Recall] = lambda thread_id: NoRecall()
    """What was read on a thread before."""
    limits: Limits = field(default_factory=Limits)
    digesting: Digesting = field(default_factory=Digesting)
    memory: Memory = field(default_factory=Memory)
    clock: Clock = field(default_factory=SystemClock)
    cancelled: threading.Event = field(default_factory=threading.Event)
    closing: threading.Event = field(default_factory=threading.Event)
    """Set when it is the program's end that cancels the request."""
    claims: Claims = field(default_factory=MemoryClaims)
    place: str = ""
    """Which home this is, on which machine: what a claim is made with."""
    deadline: float | None = None
    until: float | None = None
    thread_id: str = ""
    about: str = ""
    """The data that the thread is about, in a person's words."""
    instructions: str = ""
    """What this request tells the model besides its question; it is not saved."""
    scoped: Mapping[str, Any] = field(default_factory=dict)
    """The keys of the scopes that live beyond the thread, `user:…` and `app:…`, as they were when the turn began."""
    refuse: Callable[[str], str | None] | None = None
    """Says why a final reply does not have the form that the request asks for, or None when it has."""
    emit: Callable[[Event], None] = lambda event: None
