"""From a long output to what the analyst reads: parts, a note on each by a fresh model, sums by code, prose reduced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from graph.context import RunContext
from graph.reading.leaves import BODY, Part, pack, parts_of
from graph.reading.llm_map import Question, Reader, Reading, read_items
from graph.reading.notes import NOTE_SCHEMA, Coverage, Note, add_up, coverage_of
from graph.reading.reader import reader_of

DEFAULT_INSTRUCTION = "Report what this output says: the figures, the findings, the errors. Leave out boilerplate."
MOST_SUMS = 60
MOST_ROUNDS = 8
WORDING = 30
"""Tokens around a part's text."""

Pieces = Callable[[], Iterator[str]]


@dataclass(frozen=True)
class Digest:
    """What the analyst reads, and the records beside it that code reads."""

    text: str
    notes: tuple[Note, ...]
    coverage: Coverage


@dataclass(frozen=True)
class Told:
    """A note, or one made of several, with the parts that it stands for."""

    first: int
    last: int
    text: str


def make_digest(
    ctx: RunContext,
    sources: Sequence[tuple[str, Pieces]],
    instruction: str | None,
    progress: Callable[[int, int, int], None],
) -> Digest:
    """Read `sources` (their names, and how to get their text) by the instruction. `progress`: done, total, not read."""
    task = instruction or DEFAULT_INSTRUCTION
    reader = reader_of(ctx)

    def parts() -> Iterator[Part]:
        room = max(1, reader.leaf_tokens - WORDING)
        return chain.from_iterable(parts_of(name, pieces(), room, reader.count) for name, pieces in sources)

    whole = sum(1 for _ in parts())
    chosen = sample(whole, ctx.digesting.max_leaves)
    numbered = ((number, part) for number, part in enumerate(parts(), 1) if number - 1 in chosen)
    notes = read_parts(ctx, reader, task, numbered, lambda done, missed: progress(done, len(chosen), missed))
    coverage = coverage_of(notes, whole)
    return Digest(compose(ctx, task, notes, coverage), notes, coverage)


def sample(whole: int, most: int) -> range | frozenset[int]:
    """All places, or `most` of them, evenly, with the first and the last."""
    if whole <= most:
        return range(whole)
    if most == 1:
        return frozenset({0})
    return frozenset(round(place * (whole - 1) / (most - 1)) for place in range(most))


def read_parts(
    ctx: RunContext,
    reader: Reader,
    task: str,
    parts: Iterator[tuple[int, Part]],
    progress: Callable[[int, int], None],
) -> tuple[Note, ...]:
    seen: list[tuple[int, str, str]] = []

    def texts() -> Iterator[str]:
        for number, part in parts:
            seen.append((number, part.source, part.lines))
            yield worded(part)

    question = Question(ctx.prompts.chunk(task), ctx.check_schema(NOTE_SCHEMA), single=True, prose="note")
    notes: list[Note] = []
    missed = 0
    progress(0, 0)
    for reading in read_items(reader, question, texts()):
        notes.append(note_of(*seen[reading.item], reading))
        missed += reading.record is None
        progress(len(notes), missed)
    return tuple(notes)


def worded(part: Part) -> str:
    slice_ = "" if part.whole else ", a slice of it"
    header = f"\nThe header of the table, from its first line:\n{part.header.rstrip()}" if part.header else ""
    return f"{part.lines.capitalize()} of {part.source}{slice_}{header}{BODY}{part.text}"


def note_of(number: int, source: str, lines: str, reading: Reading) -> Note:
    if reading.record is None:
        return Note(number, source, lines, reading.error or "", read=False)
    figures: Any = reading.record.get("figures") or ()
    return Note(number, source, lines, reading.record["note"].strip(), tuple(figures))


def compose(ctx: RunContext, task: str, notes: Sequence[Note], coverage: Coverage) -> str:
    """Sums, then what the notes say, then how much was read."""
    if not coverage.read:
        return f"No part of the output could be read. ({coverage.told}.)"
    sums = add_up(notes)
    sections = []
    if sums:
        more = [f"… and {len(sums) - MOST_SUMS} more: the notes have them all"] if len(sums) > MOST_SUMS else []
        lines = [f"- {sum_}" for sum_ in sums[:MOST_SUMS]]
        sections.append("\n".join(["Figures, added up by code over the parts that were read:", *lines, *more]))
    sections.append(prose(ctx, task, [note for note in notes if note.says_something]))
    sections.append(f"({sentence(coverage.told)})")
    return "\n\n".join(section for section in sections if section)


def sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def prose(ctx: RunContext, task: str, notes: Sequence[Note]) -> str:
    """The notes as they are when they fit what the analyst reads; else merged, in rounds, as far as models can."""
    told = [Told(note.part, note.part, note.labelled) for note in notes]
    room = ctx.digesting.short_chars
    for _ in range(MOST_ROUNDS):
        if len(told) <= 1 or length(told) <= room:
            break
        merged = merge(ctx, task, told)
        if length(merged) >= length(told):
            break
        told = merged
    return fitted(told, room)


def length(told: Sequence[Told]) -> int:
    return sum(len(one.text) + 2 for one in told)


def merge(ctx: RunContext, task: str, told: Sequence[Told]) -> list[Told]:
    """Neighbours merged by models in parallel, whole notes at a time; what no model could merge stays as it was."""
    reader = reader_of(ctx, role="reduce")
    groups = list(pack(told, lambda one: reader.count(one.text) + 2, reader.leaf_tokens, len(told)))
    several = [group for group in groups if len(group) > 1]
    question = Question(ctx.prompts.reduce(task), lambda record: None, single=True, plain=True)
    texts = ("\n\n".join(one.text for one in group) for group in several)
    readings = iter(read_items(reader, question, texts))
    merged: list[Told] = []
    for group in groups:
        reading = next(readings) if len(group) > 1 else None
        merged += [joined(group, reading.record["answer"])] if reading and reading.record else group
    return merged


def joined(group: Sequence[Told], text: str) -> Told:
    first, last = group[0].first, group[-1].last
    return Told(first, last, f"[parts {first}–{last}] {text}")


def fitted(told: Sequence[Told], room: int) -> str:
    """Whole notes, as many as fit, and which were left out."""
    if length(told) <= room:
        return "\n\n".join(one.text for one in told)
    kept: list[Told] = []
    for one in told:
        if length([*kept, one]) > room:
            break
        kept.append(one)
    if not kept:
        kept = [Told(told[0].first, told[0].last, f"{told[0].text[:room]} … (cut)")]
    left = told[len(kept) :]
    texts = [one.text for one in kept]
    if left:
        span = f"parts {left[0].first}–{left[-1].last}"
        texts.append(f"(The notes on {span} did not fit here: the artifact's notes have them all.)")
    return "\n\n".join(texts)
