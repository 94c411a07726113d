"""From a run's output to what the analyst reads: short output as it is, long output read by fresh models."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from langchain_core.messages import HumanMessage, SystemMessage

from graph.asking import ask
from graph.budget import Digesting
from graph.context import RunContext
from graph.errors import BudgetExceeded, ModelUnavailable
from graph.types import ExecutionResult

STDOUT_LINES = (25, 24)
STDERR_LINES = (10, 9)
LINE_CHARS = 1_000
DEFAULT_INSTRUCTION = "Report what this output says: the figures, the findings, the errors. Leave out boilerplate."


@dataclass(frozen=True)
class Preview:
    text: str
    truncated: bool


@dataclass(frozen=True)
class Reading:
    """One chunk's fate: what was read in it, or why it could not be read."""

    part: int
    note: str | None
    trouble: str | None = None


def preview(text: str, head: int, tail: int) -> Preview:
    """The first and last lines; the marker between them says how many lines are missing. Long lines are cut."""
    lines = text.splitlines()
    cut = [line if len(line) <= LINE_CHARS else f"{line[:LINE_CHARS]}… ({len(line):,} characters)" for line in lines]
    if len(lines) <= head + tail + 1:
        return Preview("\n".join(cut), cut != lines)
    omitted = len(lines) - head - tail
    return Preview("\n".join([*cut[:head], f"... ({omitted} lines omitted) ...", *cut[-tail:]]), True)


def is_short(result: ExecutionResult, size: int, sizes: Digesting) -> bool:
    """Whether the analyst can read the output itself: it fits, and the previews leave nothing out."""
    whole = size + len(result.output or "")
    return whole <= sizes.short_chars and not preview(result.stdout, *STDOUT_LINES).truncated


def report(artifact_id: str, result: ExecutionResult, short_chars: int, digest: str | None = None) -> str:
    """What the analyst is shown of a run. With a digest, stdout gives way to it."""
    sections = [f"{artifact_id}: {result.status}, iteration {result.iteration}, {result.duration_seconds:.1f} s"]
    if result.timed_out:
        sections.append("The time limit ended it; what it printed until then is kept.")
    if result.error:
        sections.append(f"error: {result.error}\n{(result.error_trace or '').strip()}".rstrip())
    if digest is not None:
        sections.append(f"digest:\n{digest}")
    if result.output:
        sections.append(f"result:\n{clip(result.output, short_chars)}")
    if result.stdout.strip() and digest is None:
        sections.append(f"stdout:\n{clip(preview(result.stdout, *STDOUT_LINES).text, short_chars)}")
    if result.stderr.strip() and not result.error_trace:
        sections.append(f"stderr:\n{clip(preview(result.stderr, *STDERR_LINES).text, short_chars)}")
    if len(sections) == 1:
        sections.append("It printed nothing and left no `result`.")
    return "\n\n".join(sections)


def clip(text: str, most: int) -> str:
    """Head and tail of a text that is longer than `most` characters."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n... ({len(text) - 2 * half:,} characters omitted) ...\n{text[-half:]}"


def chunks(pieces: Iterable[str], size: int) -> Iterator[str]:
    """Cut a stream of text into chunks of at most `size` characters, at line ends where there are any."""
    held = ""
    for piece in pieces:
        held += piece
        while len(held) > size:
            end = held.rfind("\n", 1, size) + 1 or size
            yield held[:end]
            held = held[end:]
    if held.strip():
        yield held


def digest(
    ctx: RunContext, pieces: Iterable[str], instruction: str | None, size: int, progress: Callable[[int, int], None]
) -> str:
    """Read a long output chunk by chunk, then reduce the notes to one. Says what could not be read."""
    task = instruction or DEFAULT_INSTRUCTION
    sizes = ctx.digesting
    parts = list(chunks(pieces, max(sizes.chunk_chars, -(-size // sizes.max_chunks))))
    readings = read_all(ctx, parts, task, progress)
    notes = [f"[part {reading.part} of {len(parts)}] {reading.note}" for reading in readings if reading.note]
    missed = [f"part {reading.part}: {reading.trouble}" for reading in readings if reading.trouble]
    text = reduce_notes(ctx, notes, task) if notes else "No part of the output could be read."
    return "\n\n".join([text, account(len(parts), missed)])


def account(parts: int, missed: list[str]) -> str:
    """How much of the output was read, in words."""
    if not missed:
        return f"(All {parts} parts of the output were read.)"
    return f"({parts - len(missed)} of {parts} parts were read. Not read: {'; '.join(missed)}.)"


def read_all(ctx: RunContext, parts: list[str], task: str, progress: Callable[[int, int], None]) -> list[Reading]:
    """Read all chunks in parallel, each by a model that sees nothing else. One reading for each chunk, in order."""
    progress(0, len(parts))
    readings: list[Reading] = []
    with ThreadPoolExecutor(min(ctx.digesting.parallel_reads, len(parts) or 1), "chunk") as pool:
        running = [
            pool.submit(contextvars.copy_context().run, read, ctx, task, part, number, len(parts))
            for number, part in enumerate(parts, 1)
        ]
        for future in running:
            readings.append(future.result())
            progress(len(readings), len(parts))
    return readings


def read(ctx: RunContext, task: str, part: str, number: int, parts: int) -> Reading:
    if ctx.cancelled.is_set():
        return Reading(number, None, "the request was cancelled")
    messages = [SystemMessage(ctx.prompts.chunk(task, number, parts)), HumanMessage(part)]
    try:
        return Reading(number, ask(ctx, ctx.sub_model, "sub", messages).text.strip() or "nothing")
    except (ModelUnavailable, BudgetExceeded) as error:
        return Reading(number, None, str(error))


def reduce_notes(ctx: RunContext, notes: list[str], task: str) -> str:
    """One note from many, in rounds while they don't fit one reading; unreduced when a model fails."""
    size = ctx.digesting.chunk_chars
    while len(notes) > 1:
        groups = list(chunks((f"{note}\n\n" for note in notes), size))
        merged = [reduce_once(ctx, group, task, len(notes)) for group in groups]
        if len(merged) >= len(notes):
            return clip("\n\n".join(merged), size)
        notes = merged
    return notes[0]


def reduce_once(ctx: RunContext, notes: str, task: str, parts: int) -> str:
    if ctx.cancelled.is_set():
        return notes
    messages = [SystemMessage(ctx.prompts.reduce(task, parts)), HumanMessage(notes)]
    try:
        return ask(ctx, ctx.sub_model, "reduce", messages).text.strip() or notes
    except (ModelUnavailable, BudgetExceeded):
        return notes
