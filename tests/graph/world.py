"""A world in memory for the machine: no files, no processes, no network. Code is a key into `runs`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from langchain_core.messages import HumanMessage
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from agent.models.scripted import ScriptedModel
from agent.schema import check_schema
from graph.blob import BlobError
from graph.budget import Digesting, Ledger, Limits, Memory
from graph.builder import build_graph
from graph.claims import MemoryClaims
from graph.context import Handler, Model, ReadingAllowance, RunContext, RunHost, SystemClock
from graph.errors import BackendUnavailable, RunLost
from graph.events import Event, StageReached
from graph.program import Program
from graph.reading.llm_map import NoRecall, Recall
from graph.types import CHECKPOINTED, Artifact, ArtifactStatus, Capsule, ExecutionResult, Rejection, RunStatus, Turn


def ran(stdout: str = "", *, status: str = "success", **fields: Any) -> ExecutionResult:
    start = "2026-01-01T00:00:00+00:00"
    return ExecutionResult(
        status=status, artifact_path="", run_id="", iteration=0, start_time=start, end_time=start,
        duration_seconds=0.1, stdout=stdout, **fields,
    )  # fmt: skip


def failed(error: str, trace: str = "") -> ExecutionResult:
    return ran(status="failed", error=error, error_trace=trace)


Run = ExecutionResult | Callable[[], "ExecutionResult | None"]


class NoHost:
    """Answers nothing: the runs of this world are canned."""

    setup: Mapping[str, Any] = MappingProxyType({"catalog": None, "schema": None, "text": []})
    handlers: Mapping[str, Handler] = MappingProxyType({})

    def allowance(self) -> ReadingAllowance:
        raise AssertionError("runs of this world read nothing by themselves")

    def settle(self, report: Mapping[str, Any] | None) -> None: ...

    def close(self) -> None: ...


@dataclass
class Runs:
    """A backend: `runs` says what each code does. A function is called at each look; None means that it still runs."""

    runs: Mapping[str, Run]
    artifacts: Artifacts
    started: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    by_token: dict[str, Artifact] = field(default_factory=dict)
    unreachable: int = 0
    gone: set[str] = field(default_factory=set)
    reasons: list[str] = field(default_factory=list)

    def submit(self, artifact: Artifact, idempotency_token: str, host: RunHost) -> str:
        if self.unreachable:
            self.unreachable -= 1
            raise BackendUnavailable("the cluster is away")
        if idempotency_token not in self.by_token:
            self.by_token[idempotency_token] = artifact
            self.started.append(artifact.code)
        return f"run_{artifact.artifact_id[4:]}"

    def find(self, artifact: Artifact, idempotency_token: str) -> str | None:
        if artifact.artifact_id in self.gone:
            raise RunLost(f"the folder of {artifact.artifact_id} is gone")
        return f"run_{artifact.artifact_id[4:]}" if idempotency_token in self.by_token else None

    def poll(self, run_id: str) -> RunStatus | ExecutionResult:
        if f"art_{run_id[4:]}" in self.gone:
            raise RunLost(f"nothing is left of {run_id}")
        artifact = next(a for a in self.by_token.values() if a.artifact_id[4:] == run_id[4:])
        if run_id in self.cancelled:
            return self.left(artifact, failed(self.reasons[self.cancelled.index(run_id)]))
        run = self.runs[artifact.code.strip()]
        outcome = run() if callable(run) else run
        return "running" if outcome is None else self.left(artifact, outcome)

    def left(self, artifact: Artifact, result: ExecutionResult) -> ExecutionResult:
        result = replace(result, iteration=artifact.iteration)
        self.artifacts.results[artifact.artifact_id] = result
        return result

    def cancel(self, run_id: str, reason: str = "cancelled") -> None:
        self.cancelled.append(run_id)
        self.reasons.append(reason)


@dataclass
class Artifacts:
    written: dict[str, Artifact] = field(default_factory=dict)
    results: dict[str, ExecutionResult] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    handed_over: Mapping[str, Any] = field(default_factory=dict)

    def folder(self, artifact_id: str) -> str:
        return f"memory/{artifact_id}"

    def write(self, artifact: Artifact) -> str:
        self.written[artifact.artifact_id] = artifact
        return f"{artifact.artifact_id}/code.py"

    def result(self, artifact_id: str) -> ExecutionResult | None:
        return self.results.get(artifact_id)

    def text(self, artifact_id: str, stream: str = "stdout") -> Iterator[str]:
        yield getattr(self.results[artifact_id], stream)

    def size(self, artifact_id: str, stream: str = "stdout") -> int:
        return len(getattr(self.results[artifact_id], stream))

    def write_digest(self, artifact_id: str, digest: str, notes: Sequence[Mapping[str, Any]] = ()) -> None:
        self.digests[artifact_id] = digest
        self.notes[artifact_id] = list(notes)

    def handed(self, artifact_id: str) -> Mapping[str, Any]:
        return self.handed_over


@dataclass
class Records:
    statuses: dict[str, list[str]] = field(default_factory=dict)
    rows: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def register(self, artifact: Artifact, code_key: str) -> None:
        self.statuses.setdefault(artifact.artifact_id, ["pending"])

    def advance(self, artifact_id: str, status: ArtifactStatus, metadata: Mapping[str, Any] | None = None) -> None:
        steps = self.statuses.setdefault(artifact_id, [])
        if steps[-1:] != [status]:
            steps.append(status)

    def telemetry(self, callback_name: str, **fields: Any) -> None:
        self.rows.append((callback_name, fields))


class Prompts:
    def analyst(self, capsule: Capsule, scoped: Mapping[str, Any], question: str = "") -> str:
        return f"You are the analyst. {capsule} {dict(scoped)}"

    def remember(self, capsule: Capsule) -> str:
        return f"remember: {capsule.constraints}"

    def chunk(self, instruction: str) -> str:
        return f"chunk: {instruction}"

    def reduce(self, instruction: str) -> str:
        return f"reduce: {instruction}"

    def leaf(self, instruction: str, schema: Mapping[str, Any], context: str | None) -> str:
        return f"leaf: {instruction} {schema} {context}"

    def query(self, schema: Mapping[str, Any] | None) -> str:
        return f"query: {schema}"


def no_drops(program: Program) -> Rejection | None:
    return (
        Rejection("SAFETY_BLOCK", "DROP TABLE destroys data; write elsewhere") if "DROP TABLE" in program.text else None
    )


def well_formed(program: Program) -> Rejection | None:
    return Rejection(program.blob.code, str(program.blob)) if isinstance(program.blob, BlobError) else None


def declare(name: str, answer: Callable[..., str], *, direct: bool = False) -> StructuredTool:
    return StructuredTool.from_function(answer, name=name, description=name, return_direct=direct)


def delegate_code_results(code: str) -> str:
    raise AssertionError("the graph runs this, not the tool")


def exit_loop() -> str:
    return "done"


BUILT_IN = (declare("delegate_code_results", delegate_code_results), declare("exit_loop", exit_loop, direct=True))


def memory_saver() -> InMemorySaver:
    allowed = [(kind.__module__, kind.__name__) for kind in CHECKPOINTED]
    return InMemorySaver(serde=JsonPlusSerializer(allowed_msgpack_modules=allowed))


class World:
    """One thread of one agent. `events` and `values` hold what happened in all its turns."""

    def __init__(
        self,
        model: ScriptedModel,
        runs: Mapping[str, Run] | None = None,
        *,
        sub_model: ScriptedModel | None = None,
        tools: tuple[StructuredTool, ...] = (),
        limits: Limits | None = None,
        digesting: Digesting | None = None,
        memory: Memory | None = None,
        saver: BaseCheckpointSaver[Any] | None = None,
        recall: Recall | None = None,
    ) -> None:
        self.model = model
        self.sub_model = sub_model or ScriptedModel.by(lambda messages: "nothing")
        self.artifacts, self.records = Artifacts(), Records()
        self.backend = Runs(runs or {}, self.artifacts)
        self.tools = {tool.name: tool for tool in (*BUILT_IN, *tools)}
        self.limits = limits or Limits()
        self.digesting, self.memory = digesting or Digesting(), memory or Memory()
        self.graph = build_graph(saver or memory_saver())
        self.cancelled = threading.Event()
        self.events: list[Event] = []
        self.config: Any = {"configurable": {"thread_id": "t"}, "recursion_limit": 1_000}
        self.turns = 0
        self.recall: Recall = NoRecall() if recall is None else recall
        self.models: dict[str, Any] = {}
        self.claims = MemoryClaims()

    def context(self, deadline: float | None = None, until: float | None = None) -> RunContext:
        clock = SystemClock()
        context = RunContext(
            base_model=Model(self.model.bind_tools(list(self.tools.values())), "scripted", 1.0, 2.0),
            sub_model=Model(self.sub_model, "reader", 1.0, 2.0),
            prompts=Prompts(),
            tools=self.tools,
            guards=(no_drops, well_formed),
            backend=self.backend,
            host=lambda ctx, artifact: NoHost(),
            artifacts=self.artifacts,
            records=self.records,
            ledger=Ledger(self.limits),
            check_schema=check_schema,
            recall=lambda thread_id: self.recall,
            limits=self.limits,
            digesting=self.digesting,
            memory=self.memory,
            cancelled=self.cancelled,
            deadline=None if deadline is None else clock.monotonic() + deadline,
            until=None if until is None else clock.monotonic() + until,
            thread_id="t",
            emit=self.events.append,
            claims=self.claims,
            place="here",
        )
        return replace(context, **self.models)

    def later(self, seconds: float, act: Callable[[World], None]) -> None:
        timer = threading.Timer(seconds, act, [self])
        timer.daemon = True
        timer.start()

    def ask(self, question: str, **times: float) -> dict[str, Any]:
        self.turns += 1
        given = {"messages": [HumanMessage(question)], "turn": Turn(f"r{self.turns}", "me", 0.0)}
        return self.invoke(given, **times)

    def resume(self, **times: float) -> dict[str, Any]:
        return self.invoke(None, **times)

    def invoke(self, given: Any, **times: float) -> dict[str, Any]:
        values: dict[str, Any] = self.graph.invoke(given, self.config, context=self.context(**times), durability="sync")
        return values

    def path(self) -> list[str]:
        """The nodes that ran since the thread began, delegations without their stages."""
        steps = sorted(self.graph.get_state_history(self.config), key=lambda state: state.metadata["step"])
        return [task.name for state in steps for task in state.tasks if task.name != "__start__"]

    def stages(self) -> list[tuple[str, str]]:
        return [(e.stage, e.status) for e in self.events if isinstance(e, StageReached)]

    def shown(self, call: int = -1) -> str:
        """The last message that the base model saw in a call."""
        return str(self.model.shown[call][-1].content)
