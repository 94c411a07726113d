from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

from langchain_core.messages import AnyMessage, HumanMessage, ToolMessage
from langgraph.runtime import Runtime

from graph.capsule import entry
from graph.context import CANCELLED, RunContext
from graph.errors import BackendUnavailable, RunLost
from graph.events import CallAnswered
from graph.nodes.delegated import announce, token_of
from graph.state import DelegationState
from graph.types import LOST, Artifact, ArtifactStatus, Delegation, ExecutionResult

SHORTEST_PAUSE, LONGEST_PAUSE = 0.005, 2.0
"""Seconds between two looks at a run: a tenth of how long it has run, within these, so that none costs much waiting."""
CANCEL_SECONDS = 15.0

SHUT_DOWN = "interrupted by shutdown: the program in which it ran was ended"
OUT_OF_TIME = "the turn's time limit (limits.max_seconds) was reached, and the run was stopped"


def executed(state: DelegationState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Start the artifact, or look again at one already started."""
    ctx = runtime.context
    try:
        delegation = start_run(ctx, state)
        result = await_result(ctx, delegation, late=state.get("late", False))
    except RunLost as error:
        return lose(ctx, state, str(error))
    if result is None:
        return put_off(ctx, state, delegation)
    return finish(ctx, delegation, result)


def start_run(ctx: RunContext, state: DelegationState) -> Delegation:
    """The delegation with its run. What was begun before, here or elsewhere, is found and not begun again.

    Raises RunLost when it was begun and can't be found.
    """
    delegation = state["delegation"]
    if delegation.run_id is not None:
        return delegation
    artifact = state["artifact"]
    token = token_of(state, artifact.code)
    key = f"run {artifact.artifact_id}"
    run_id = None if ctx.claims.claim(key, ctx.place) else find_run(ctx, artifact, token, key)
    run_id = run_id or ctx.backend.submit(artifact, token, ctx.host(ctx, artifact))
    began = ctx.clock.now().timestamp()
    delegation = replace(delegation, stage="executed", status="executing", run_id=run_id, started_at=began)
    ctx.records.advance(delegation.artifact_id, "executing", {"run_id": run_id})
    announce(ctx, delegation)
    return delegation


def find_run(ctx: RunContext, artifact: Artifact, token: str, key: str) -> str | None:
    """The run that was claimed before; None when this home claimed it and is certain that it was not begun."""
    claimant = ctx.claims.claimed(key)
    try:
        run_id = ctx.backend.find(artifact, token)
    except RunLost as error:
        raise RunLost(f"{error}; it was begun in {claimant} and is not begun a second time") from error
    if run_id is None and claimant != ctx.place:
        raise RunLost(f"{artifact.artifact_id} was begun in {claimant}, not here, and is not begun a second time")
    return run_id


def await_result(ctx: RunContext, delegation: Delegation, late: bool) -> ExecutionResult | None:
    """The run's result; None when it outlives the deadline. A late run is looked at once, not waited for."""
    assert delegation.run_id is not None
    began = ctx.clock.monotonic()
    while True:
        if ctx.cancelled.is_set():
            return stop_run(ctx, delegation.run_id, SHUT_DOWN if ctx.closing.is_set() else CANCELLED)
        outcome = ctx.backend.poll(delegation.run_id)
        if isinstance(outcome, ExecutionResult):
            return outcome
        if ctx.until is not None and ctx.clock.monotonic() >= ctx.until:
            return stop_run(ctx, delegation.run_id, OUT_OF_TIME)
        if late or (ctx.deadline is not None and ctx.clock.monotonic() >= ctx.deadline):
            return None
        waited = ctx.clock.monotonic() - began
        left = LONGEST_PAUSE if ctx.until is None else max(SHORTEST_PAUSE, ctx.until - ctx.clock.monotonic())
        ctx.cancelled.wait(min(max(waited / 10, SHORTEST_PAUSE), LONGEST_PAUSE, left))


def stop_run(ctx: RunContext, run_id: str, reason: str) -> ExecutionResult:
    """End a run, and take what it left."""
    ctx.backend.cancel(run_id, reason)
    until = ctx.clock.monotonic() + CANCEL_SECONDS
    while ctx.clock.monotonic() < until:
        outcome = ctx.backend.poll(run_id)
        if isinstance(outcome, ExecutionResult):
            return outcome
        ctx.clock.sleep(0.02)
    raise BackendUnavailable(f"run {run_id} was told to end and still runs after {CANCEL_SECONDS:.0f} s")


def put_off(ctx: RunContext, state: DelegationState, delegation: Delegation) -> dict[str, Any]:
    """Answer the call now; the next turn looks at the run again."""
    seconds = max(0.0, ctx.clock.now().timestamp() - delegation.started_at)
    text = f"run {delegation.run_id} is running ({delegation.artifact_id}, for {seconds:.0f} s so far)"
    announce(ctx, delegation, text)
    return {"delegations": {delegation.artifact_id: delegation}, "messages": [answer_call(ctx, state, text, True)]}


def answer_call(ctx: RunContext, state: DelegationState, text: str, ok: bool) -> AnyMessage:
    """The answer to the delegation's call; a message of its own when the call was answered in an earlier turn."""
    if state.get("late"):
        return HumanMessage(f"[{text}]", name="executor")
    call = state["call"]
    ctx.emit(CallAnswered(call["id"] or "", call["name"], ok, text))
    return ToolMessage(text, tool_call_id=call["id"], name=call["name"], status="success" if ok else "error")


def lose(ctx: RunContext, state: DelegationState, reason: str) -> dict[str, Any]:
    """The delegation as failed: what it left is gone, and it is not known what it did."""
    delegation = state["delegation"]
    text = f"{delegation.artifact_id} has no result: {reason}. Whether it did its work is not known."
    delegation = replace(delegation, stage="executed", status="failed", outcome_hash=LOST, summary=entry(text))
    ctx.records.advance(delegation.artifact_id, "failed", {"error": reason})
    announce(ctx, delegation, reason)
    messages = [answer_call(ctx, state, text, False)]
    return {"delegation": delegation, "delegations": {delegation.artifact_id: delegation}, "messages": messages}


def finish(ctx: RunContext, delegation: Delegation, result: ExecutionResult) -> dict[str, Any]:
    status: ArtifactStatus = "completed" if result.status == "success" else "failed"
    outcome = "\x00".join((result.status, result.stdout, result.stderr, result.output or "", result.error or ""))
    mark = sha256(outcome.encode(errors="surrogatepass")).hexdigest()[:16]
    delegation = replace(
        delegation, stage="executed", status=status, outcome_hash=mark, succeeded=status == "completed"
    )
    metadata = {"duration_seconds": result.duration_seconds, "timed_out": result.timed_out, "error": result.error}
    ctx.records.advance(delegation.artifact_id, delegation.status, metadata)
    announce(ctx, delegation, result.error)
    return {"delegation": delegation, "delegations": {delegation.artifact_id: delegation}}
