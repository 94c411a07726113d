"""The `databricks_job` backend: each artifact is one run of the executor's job in a workspace, at most once.

    claim beside the thread → order.json → run_now with a key → run.json → looked at until it has ended → result.json

Each step may be the last before a crash. The claim fixes the key, the key makes the workspace start one run however
often it is asked, and run.json says which; so whoever goes on, on whatever machine, finds the same run.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Protocol

from agent.artifacts.volume import VolumeArtifacts
from agent.execution.claim import artifact_id_of, run_id_of
from agent.execution.job.order import ORDER, OUTPUT, RUN, STARTED, Order
from agent.execution.job_states import RunState, explain, read_state
from agent.execution.run import RunLimits
from agent.workspace.refusals import named, read_refusal, refusals
from graph.context import CANCELLED, RunHost
from graph.errors import BackendUnavailable, InvalidRequest, RunLost
from graph.types import Artifact, ExecutionResult, RunStatus

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

log = logging.getLogger(__name__)

TRIES = 5
SOON = 0.3
OUTPUT_SECONDS = 3.0
"""How long the output of a run that left no result is awaited."""
START_SECONDS = 900
"""What a run may take to start, besides the code's own limit."""
TASK = "executor"


class Claims(Protocol):
    """What a thread's saver keeps beside it."""

    def claim(self, thread_id: str, key: str, value: str) -> bool: ...

    def claimed(self, thread_id: str, key: str) -> str | None: ...


@dataclass(frozen=True)
class Compute:
    """Where code runs: the executor's job, or without one the notebook on serverless or on a cluster that is there.

    `wheel` is ours in the Volume; None when the job's environment has it.
    """

    job_id: int | None = None
    notebook: str | None = None
    cluster_id: str | None = None
    environment_version: str = "4"
    wheel: str | None = None
    warehouse_id: str | None = None


@dataclass(frozen=True)
class Pace:
    """Seconds to the first look at a run, how the pauses grow, and where they end: one of 8 s is looked at 4 times."""

    first: float = 1.0
    growth: float = 1.5
    longest: float = 10.0


@dataclass
class Watched:
    """A run of the workspace, when it is to be looked at next, and what it came to."""

    job_run_id: int
    pause: float
    due: float = 0.0
    status: RunStatus = "running"
    cancelled: str | None = None
    ended: float | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.due = monotonic() + self.pause


class DatabricksJobBackend:
    """Implements graph.context.ExecutionBackend. Runs go on when it is closed: any other finds them again."""

    def __init__(
        self,
        artifacts: VolumeArtifacts,
        limits: RunLimits,
        claims: Claims,
        client: Callable[[], WorkspaceClient],
        compute: Compute,
        pace: Pace = Pace(),
    ) -> None:
        self._artifacts, self._files = artifacts, artifacts.volume
        self._limits = limits
        self._claims = claims
        self._client = client
        self._compute = compute
        self._pace = pace
        self._watched: dict[str, Watched] = {}
        self._lock = threading.Lock()

    def submit(self, artifact: Artifact, idempotency_token: str, host: RunHost) -> str:
        """Start the artifact, or find the run that it has had: an artifact runs at most once, whatever the token."""
        setup = host.setup
        host.close()
        self._artifacts.write(artifact)
        claim = self._claim(artifact, idempotency_token)
        run_id = str(claim["run_id"])
        if self._find(run_id, artifact.artifact_id) is None and self._artifacts.result(artifact.artifact_id) is None:
            self._start(artifact, claim, setup)
        return run_id

    def find(self, artifact: Artifact, idempotency_token: str) -> str | None:
        """The artifact's run, or None when none is known: to submit it again is harmless, the key sees to that."""
        claim = self._kept(artifact)
        run_id = str(claim["run_id"]) if claim else ""
        begun = claim is not None and self._find(run_id, artifact.artifact_id) is not None
        return run_id if begun or self._artifacts.result(artifact.artifact_id) is not None else None

    def poll(self, run_id: str) -> RunStatus | ExecutionResult:
        """Asks the workspace when it is time to; in between a run is as it was.

        Raises RunLost for a run that was never submitted.
        """
        artifact_id = name_of(run_id)
        watched = self._watched.get(run_id)
        if watched is None:
            result = self._artifacts.result(artifact_id)
            if result is not None:
                return result
            watched = self._find(run_id, artifact_id)
        if watched is None:
            raise RunLost(f"there is no run {run_id}: it was never submitted, or its folder was removed")
        with watched.lock:
            return self._look(artifact_id, run_id, watched)

    def cancel(self, run_id: str, reason: str = CANCELLED) -> None:
        """End the run, whichever process started it; a finished run stays as it is."""
        artifact_id = name_of(run_id)
        if self._artifacts.result(artifact_id) is not None:
            return
        watched = self._watched.get(run_id) or self._find(run_id, artifact_id)
        if watched is None:
            raise RunLost(f"there is no run {run_id}: it was never submitted, or its folder was removed")
        with named(BackendUnavailable, f"Run {watched.job_run_id}", self._setting):
            self._client().jobs.cancel_run(watched.job_run_id)
        watched.cancelled, watched.pause, watched.due = reason, SOON, monotonic() + SOON

    def close(self) -> None:
        """Nothing is ended: the runs are the workspace's."""

    def __enter__(self) -> DatabricksJobBackend:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # starting

    @property
    def _setting(self) -> str:
        return "execution.job_id" if self._compute.job_id else "execution.notebook and execution.cluster_id"

    def _claim(self, artifact: Artifact, token: str) -> Mapping[str, Any]:
        """How this artifact is run, once and for all: by the first who asked."""
        run_id = run_id_of(artifact.artifact_id, token)
        key = sha256(f"{artifact.artifact_id}\x00{token}".encode(errors="surrogatepass")).hexdigest()
        claim = {"run_id": run_id, "key": key, "job_id": self._compute.job_id}
        if self._claims.claim(artifact.thread_id, f"run:{artifact.artifact_id}", json.dumps(claim)):
            return claim
        return self._kept(artifact) or claim

    def _kept(self, artifact: Artifact) -> Mapping[str, Any] | None:
        kept = self._claims.claimed(artifact.thread_id, f"run:{artifact.artifact_id}")
        return json.loads(kept) if kept else None

    def _find(self, run_id: str, artifact_id: str) -> Watched | None:
        """The run of the workspace, known here or by what lies beside the artifact."""
        with self._lock:
            if run_id in self._watched:
                return self._watched[run_id]
        kept = self._files.read_json(f"{artifact_id}/{RUN}")
        if kept is None or kept.get("run_id") != run_id:
            return None
        return self._watch(run_id, int(kept["job_run_id"]))

    def _watch(self, run_id: str, job_run_id: int) -> Watched:
        with self._lock:
            return self._watched.setdefault(run_id, Watched(job_run_id, self._pace.first))

    def _start(self, artifact: Artifact, claim: Mapping[str, Any], setup: Mapping[str, Any]) -> None:
        name = artifact.artifact_id
        limits = self._limits
        text = tuple(setup["text"])
        order = Order(limits.seconds, limits.output_bytes, limits.result_bytes, self._compute.warehouse_id, text)
        self._artifacts.note_names(
            name, {"run_id": claim["run_id"], "catalog": setup["catalog"], "schema": setup["schema"]}
        )
        self._files.write(f"{name}/{ORDER}", order.to_json())
        parameters = {
            "ARTIFACT_PATH": f"{self._artifacts.folder(name)}/code.py",
            "RUN_ID": str(claim["run_id"]),
            "ITERATION": str(artifact.iteration),
            "catalog": setup["catalog"] or "",
            "schema": setup["schema"] or "",
            **({"WHEEL": self._compute.wheel} if self._compute.wheel else {}),
        }
        try:
            job_run_id = self._ask(claim, parameters)
        except refusals() as error:
            self._refuse(
                artifact, str(claim["run_id"]), read_refusal(error).sentence("The executor's job", self._setting)
            )
            return
        about = {"run_id": claim["run_id"], "job_run_id": job_run_id, "thread_id": artifact.thread_id}
        self._files.write(f"{name}/{RUN}", json.dumps(about).encode())
        self._watch(str(claim["run_id"]), job_run_id)
        log.info("a run was started", extra={"run_id": claim["run_id"], "job_run_id": job_run_id})

    def _ask(self, claim: Mapping[str, Any], parameters: dict[str, str]) -> int:
        """Ask until it is known that the run is there, or that it can't be. The key makes asking again harmless.

        Raises a refusal of the SDK's for a clear no, BackendUnavailable when no clear answer came.
        """
        for attempt in range(TRIES):
            try:
                started = self._run_now(claim, parameters) if claim["job_id"] else self._submit(claim, parameters)
                if started.run_id is not None:
                    return int(started.run_id)
                said = "an answer without a run id"
            except refusals() as error:
                refusal = read_refusal(error)
                if refusal.kind != "unknown":
                    raise
                said = refusal.said
            sleep(2**attempt / 4)
        raise BackendUnavailable(
            f"whether the run was started is unknown after {TRIES} tries ({said}); asked again, it is started once"
        )

    def _run_now(self, claim: Mapping[str, Any], parameters: dict[str, str]) -> Any:
        return (
            self._client()
            .jobs.run_now(int(claim["job_id"]), idempotency_token=claim["key"], notebook_params=parameters)
            .response
        )

    def _submit(self, claim: Mapping[str, Any], parameters: dict[str, str]) -> Any:
        from databricks.sdk.service.compute import Environment
        from databricks.sdk.service.jobs import JobEnvironment, NotebookTask, SubmitTask

        compute = self._compute
        task = SubmitTask(
            TASK,
            notebook_task=NotebookTask(str(compute.notebook), base_parameters=parameters),
            max_retries=0,
            disable_auto_optimization=True,
        )
        environments = None
        if compute.cluster_id:
            task.existing_cluster_id = compute.cluster_id
        else:
            task.environment_key = TASK
            environments = [JobEnvironment(TASK, Environment(environment_version=compute.environment_version))]
        return (
            self._client()
            .jobs.submit(
                run_name=f"{TASK} {claim['run_id']}",
                tasks=[task],
                environments=environments,
                idempotency_token=claim["key"],
                timeout_seconds=int(self._limits.seconds) + START_SECONDS,
            )
            .response
        )

    def _refuse(self, artifact: Artifact, run_id: str, reason: str) -> None:
        """A run that can't be is a result like any other, so that the analyst can go on."""
        now = datetime.now(UTC)
        self._keep(artifact.artifact_id, run_id, artifact.iteration, (now, now), reason)

    # looking

    def _look(self, artifact_id: str, run_id: str, watched: Watched) -> RunStatus | ExecutionResult:
        if monotonic() < watched.due:
            return watched.status
        if watched.ended is None:
            state = self._state(watched)
            if state is not None and not state.has_ended and not (watched.cancelled and state.life == "TERMINATING"):
                watched.pause = (
                    SOON if watched.cancelled else min(watched.pause * self._pace.growth, self._pace.longest)
                )
                watched.due = monotonic() + watched.pause
                watched.status = "queued" if state.waits else "running"
                return watched.status
            watched.ended = monotonic()
        result = self._artifacts.result(artifact_id)
        if result is None and not self._output_is_whole(artifact_id) and monotonic() < watched.ended + OUTPUT_SECONDS:
            watched.due = monotonic() + SOON
            return watched.status
        result = result or self._settle(artifact_id, run_id, watched)
        with self._lock:
            self._watched.pop(run_id, None)
        return result

    def _state(self, watched: Watched) -> RunState | None:
        """None when the workspace does not know the run any more."""
        from databricks.sdk.errors import InvalidParameterValue, NotFound

        try:
            with_state = self._client().jobs.get_run(watched.job_run_id)
        except (NotFound, InvalidParameterValue):
            return None
        except refusals() as error:
            refusal = read_refusal(error)
            raise BackendUnavailable(refusal.sentence(f"Run {watched.job_run_id}", self._setting)) from error
        return read_state(with_state)

    def _output_is_whole(self, artifact_id: str) -> bool:
        return self._files.size(f"{artifact_id}/{OUTPUT}") is not None

    def _settle(self, artifact_id: str, run_id: str, watched: Watched) -> ExecutionResult:
        """The result of a run that left none: from what the workspace says of it."""
        state = self._state(watched)
        meta = self._files.read_json(f"{artifact_id}/meta.json") or {}
        now = datetime.now(UTC)
        if state is None:
            gone = f"run {watched.job_run_id} is not known to the workspace any more, and it left no result"
            return self._keep(artifact_id, run_id, meta.get("iteration", 0), (now, now), gone)
        times = (
            datetime.fromtimestamp(state.started, UTC) if state.started else now,
            datetime.fromtimestamp(state.ended, UTC) if state.ended else now,
        )
        error, trace = self._output_of(state)
        said = explain(state, watched.cancelled)
        if state.result == "FAILED" and state.code in (None, "RUN_EXECUTION_ERROR") and error and not watched.cancelled:
            begun = self._files.size(f"{artifact_id}/{STARTED}") is not None
            where = "" if begun else f" It had not begun: check {self._setting}."
            said = f"the run ended without a result: {error}{where}"
        log.info("a run left no result", extra={"run_id": run_id, "job_run_id": watched.job_run_id, "reason": said})
        return self._keep(artifact_id, run_id, meta.get("iteration", 0), times, said, trace, state.result == "TIMEDOUT")

    def _output_of(self, state: RunState) -> tuple[str | None, str | None]:
        """A task's error and trace, as far as they can be had."""
        if state.task_run_id is None:
            return None, None
        try:
            left = self._client().jobs.get_run_output(state.task_run_id)
        except refusals():
            return None, None
        return left.error, left.error_trace

    def _keep(
        self,
        artifact_id: str,
        run_id: str,
        iteration: int,
        times: tuple[datetime, datetime],
        error: str,
        trace: str | None = None,
        timed_out: bool = False,
    ) -> ExecutionResult:
        result = ExecutionResult(
            status="failed",
            artifact_path=f"{self._artifacts.folder(artifact_id)}/code.py",
            run_id=run_id,
            iteration=iteration,
            start_time=times[0].isoformat(),
            end_time=times[1].isoformat(),
            duration_seconds=round((times[1] - times[0]).total_seconds(), 3),
            stdout=self._preview(f"{artifact_id}/stdout.txt"),
            stderr=self._preview(f"{artifact_id}/stderr.txt"),
            error=error,
            error_trace=trace or None,
            timed_out=timed_out,
        )
        self._artifacts.finish(artifact_id, result)
        return result

    def _preview(self, name: str) -> str:
        from agent.execution.preview import preview_of

        return preview_of(self._files.read(name) or b"")


def name_of(run_id: str) -> str:
    artifact_id = artifact_id_of(run_id)
    if artifact_id is None or not re.fullmatch(r"\w+", run_id):
        raise InvalidRequest(f"{run_id!r} is no run id")
    return artifact_id
