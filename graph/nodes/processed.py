from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from langgraph.runtime import Runtime

from graph.capsule import entry
from graph.context import RunContext
from graph.events import ChunkRead
from graph.nodes.delegated import announce
from graph.nodes.executed import answer_call, lose
from graph.reading.digest import Digest, make_digest
from graph.reading.report import STREAMS, long_ones, report, result_lines, sources_of
from graph.state import DelegationState
from graph.types import Delegation, ExecutionResult


def processed(state: DelegationState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Turn what the run left into what the analyst reads."""
    ctx, delegation = runtime.context, state["delegation"]
    result = ctx.artifacts.result(delegation.artifact_id)
    if result is None:
        return lose(ctx, state, "it has ended and its result.json can't be found")
    told = read_out(ctx, delegation, result)
    notes = [note.as_dict() for note in told.digest.notes] if told.digest else []
    ctx.artifacts.write_digest(delegation.artifact_id, told.text, notes)
    ctx.records.advance(delegation.artifact_id, "consumed", {"digest_chars": len(told.text)})
    summary = entry(told.text.partition("\n\n")[2] or told.text)
    delegation = replace(delegation, stage="processed", status="consumed", summary=summary, coverage=told.coverage)
    announce(ctx, delegation, None if result.status == "success" else result.error)
    message = answer_call(ctx, state, told.text, result.status == "success")
    return {"delegations": {delegation.artifact_id: delegation}, "messages": [message]}


@dataclass(frozen=True)
class Outcome:
    """What the analyst is told of a run."""

    text: str
    digest: Digest | None
    coverage: str


def read_out(ctx: RunContext, delegation: Delegation, result: ExecutionResult) -> Outcome:
    """Short output as it is; long output as a digest by fresh models. What was handed over is told in any case."""
    artifact_id = delegation.artifact_id
    sources = sources_of(result, {stream: ctx.artifacts.size(artifact_id, stream) for stream in STREAMS})
    long = [source.name for source in long_ones(sources, ctx.digesting.short_chars)]
    handed = ctx.artifacts.handed(artifact_id)
    maps = [told_map(one) for one in handed.get("maps", ())]
    more = "\n\n".join(filter(None, [told_handed(handed), *maps]))
    if not long:
        return Outcome(report(artifact_id, result, more=more), None, "; ".join(maps))

    def progress(done: int, total: int, missed: int) -> None:
        ctx.emit(ChunkRead(delegation.call_id, artifact_id, done, total, missed))

    texts = [(name, text_of(ctx, artifact_id, result, name)) for name in long]
    digest = make_digest(ctx, texts, delegation.instruction, progress)
    text = report(artifact_id, result, frozenset(long), digest.text, more)
    return Outcome(text, digest, "; ".join([str(digest.coverage), *maps]))


def text_of(ctx: RunContext, artifact_id: str, result: ExecutionResult, source: str) -> Callable[[], Iterator[str]]:
    if source == "result":
        return partial(result_lines, result.output or "")
    return partial(ctx.artifacts.text, artifact_id, source)


def told_handed(handed: Mapping[str, Any]) -> str:
    """What the run handed over and kept, so that nobody types it again."""
    lines = [
        f"- {one['name']} ({one['shape']}): the person gets it with your closing words; don't repeat it"
        for one in handed.get("answers", ())
    ]
    lines += [f"- saved {one['name']!r} ({one['shape']}): load({one['name']!r})" for one in handed.get("saved", ())]
    return "\n".join(["handed over:", *lines]) if lines else ""


def told_map(one: Mapping[str, Any]) -> str:
    read, whole = one["read"], one["items"]
    if read == whole:
        return f"llm_map: all {whole:,} items were read"
    why = "; ".join(f"{count:,} × {reason}" for reason, count in one.get("reasons", {}).items())
    return f"llm_map: {read:,} of {whole:,} items were read ({why})"
