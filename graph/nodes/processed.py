from __future__ import annotations

from dataclasses import replace
from typing import Any

from langgraph.runtime import Runtime

from graph.capsule import entry
from graph.context import RunContext
from graph.digest import digest, is_short, report
from graph.events import ChunkRead
from graph.nodes.delegated import announce
from graph.nodes.executed import answer_call, lose
from graph.state import DelegationState
from graph.types import Delegation, ExecutionResult


def processed(state: DelegationState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Turn what the run left into what the analyst reads."""
    ctx, delegation = runtime.context, state["delegation"]
    result = ctx.artifacts.result(delegation.artifact_id)
    if result is None:
        return lose(ctx, state, "it has ended and its result.json can't be found")
    text = read_out(ctx, delegation, result)
    ctx.artifacts.write_digest(delegation.artifact_id, text)
    ctx.records.advance(delegation.artifact_id, "consumed", {"digest_chars": len(text)})
    summary = entry(text.partition("\n\n")[2] or text)
    delegation = replace(delegation, stage="processed", status="consumed", summary=summary)
    announce(ctx, delegation, None if result.status == "success" else result.error)
    message = answer_call(ctx, state, text, result.status == "success")
    return {"delegations": {delegation.artifact_id: delegation}, "messages": [message]}


def read_out(ctx: RunContext, delegation: Delegation, result: ExecutionResult) -> str:
    """Short output as it is; long output as a digest by fresh models."""
    artifact_id, sizes = delegation.artifact_id, ctx.digesting
    size = ctx.artifacts.size(artifact_id)
    if is_short(result, size, sizes) or ctx.cancelled.is_set():
        return report(artifact_id, result, sizes.short_chars)

    def progress(done: int, total: int) -> None:
        ctx.emit(ChunkRead(delegation.call_id, artifact_id, done, total))

    text = digest(ctx, ctx.artifacts.text(artifact_id), delegation.instruction, size, progress)
    return report(artifact_id, result, sizes.short_chars, text)
