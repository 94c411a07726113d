from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

from langchain_core.messages import ToolMessage
from langgraph.runtime import Runtime

from graph.blob import BlobError
from graph.context import RunContext
from graph.events import CallAnswered, StageReached
from graph.program import Program
from graph.state import DelegationState
from graph.types import Approval, Artifact, Delegation, Rejection


def delegated(state: DelegationState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Let the guards read the code in order, then register it and write it down."""
    ctx, call = runtime.context, state["call"]
    blob = call["args"].get("code")
    program = Program(blob) if isinstance(blob, str) else None
    rejection = run_guards(ctx, program, state.get("number", 1))
    if rejection is not None:
        return reject(ctx, state, str(blob), rejection)
    assert program is not None
    artifact = make_artifact(ctx, state, program)
    key = ctx.artifacts.write(artifact)
    ctx.records.register(artifact, key)
    delegation = make_delegation(state, artifact.artifact_id, artifact.code, artifact.instruction)
    announce(ctx, delegation)
    return {"artifact": artifact, "delegation": delegation, "delegations": {delegation.artifact_id: delegation}}


def run_guards(ctx: RunContext, program: Program | None, number: int) -> Rejection | None:
    """The first guard's objection. A call without code, or the turn's `number`-th when that is one too many,
    needs no guard."""
    if ctx.cancelled.is_set():
        return Rejection("CANCELLED", "The request was cancelled before this code was run.")
    if program is None:
        return Rejection("FORMAT_VALIDATION_ERROR", "The argument `code` is missing or no text. Send one text.")
    if number > ctx.limits.max_delegations:
        most = ctx.limits.max_delegations
        return Rejection("TOO_MANY_DELEGATIONS", f"A turn has at most {most} delegations. Answer with what you have.")
    verdict = next((said for guard in ctx.guards if (said := guard(program))), None)
    if isinstance(verdict, Approval):
        message = f"{verdict.message} A person would have to agree, and nobody can be asked yet."
        return Rejection(verdict.code, message, verdict.details)
    return verdict


def token_of(state: DelegationState, code: str) -> str:
    """What makes this delegation the same one after a crash: 64 hexadecimal characters."""
    turn = state["turn"]
    parts = (state["call"]["id"] or "", turn.request_id, str(state["iteration"]), code)
    return sha256("\x00".join(parts).encode(errors="surrogatepass")).hexdigest()


def artifact_id_of(ctx: RunContext, state: DelegationState, code: str) -> str:
    seed = f"{ctx.thread_id}\x00{token_of(state, code)}"
    return f"art_{sha256(seed.encode(errors='surrogatepass')).hexdigest()[:12]}"


def make_artifact(ctx: RunContext, state: DelegationState, program: Program) -> Artifact:
    """Raises BlobError for what the guards should have sent back."""
    blob = program.blob
    if isinstance(blob, BlobError):
        raise blob
    artifact_id = artifact_id_of(ctx, state, blob.code)
    return Artifact(
        artifact_id=artifact_id,
        thread_id=ctx.thread_id,
        invocation_id=state["turn"].request_id,
        iteration=state["iteration"],
        code=blob.code,
        instruction=blob.instruction,
        path=ctx.artifacts.folder(artifact_id),
        call_id=state["call"]["id"] or "",
    )


def make_delegation(state: DelegationState, artifact_id: str, code: str, instruction: str | None) -> Delegation:
    return Delegation(
        call_id=state["call"]["id"] or "",
        artifact_id=artifact_id,
        request_id=state["turn"].request_id,
        round=state["turn"].rounds,
        iteration=state["iteration"],
        stage="delegated",
        status="pending",
        instruction=instruction,
        code_hash=sha256(code.encode(errors="surrogatepass")).hexdigest()[:16],
    )


def reject(ctx: RunContext, state: DelegationState, blob: str, rejection: Rejection) -> dict[str, Any]:
    """Send the delegation back with its reason."""
    call = state["call"]
    delegation = make_delegation(state, artifact_id_of(ctx, state, blob), blob, None)
    delegation = replace(delegation, status="failed", outcome_hash=rejection.code, summary=rejection.message)
    announce(ctx, delegation, f"{rejection.code}: {rejection.message}")
    text = json.dumps(
        {"status": "error", "error_code": rejection.code, "message": rejection.message, **rejection.details},
        ensure_ascii=False,
        default=str,
    )
    ctx.records.telemetry(
        "on_tool_error",
        tool_name=call["name"],
        function_call_id=call["id"],
        tool_blocked=True,
        blocked_reason=f"{rejection.code}: {rejection.message}",
        payload={"code": blob},
    )
    ctx.emit(CallAnswered(call["id"] or "", call["name"], False, text))
    message = ToolMessage(text, tool_call_id=call["id"], name=call["name"], status="error")
    return {"delegation": delegation, "messages": [message], "delegations": {delegation.artifact_id: delegation}}


def announce(ctx: RunContext, delegation: Delegation, detail: str | None = None) -> None:
    """Tell the stream and the telemetry where a delegation stands."""
    d = delegation
    ctx.emit(StageReached(d.call_id, d.artifact_id, d.iteration, d.stage, d.status, detail, d.run_id))
    payload = {"artifact_id": d.artifact_id, "stage": d.stage, "status": d.status, "run_id": d.run_id, "detail": detail}
    ctx.records.telemetry("stage", function_call_id=d.call_id, agent_name=d.stage, payload=payload)
