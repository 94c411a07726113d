"""A task, and its text at any size: one line after the other, with the exact answer counted along the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

CHARS_PER_TOKEN = 4
"""Of English text, roughly; the same everywhere in the product."""

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Line:
    """One line of the text, and what a reader who understands it would write down."""

    text: str
    record: Record


@dataclass(frozen=True)
class Task:
    """A question whose answer is exact at any size.

    `lines(tokens, random)` makes the text, `understand` reads one line of it, and `solve` makes the answer from the
    records of all lines, in one pass. `misread` is the record of a line that was read wrongly. `form` tells a model
    that is asked plainly what to answer, `code` is what an analyst writes, and `score` compares an answer with the
    exact one, from 0 to 1. Both answers are plain JSON.
    """

    name: str
    question: str
    instruction: str
    schema: Mapping[str, Any]
    form: str
    code: str
    lines: Callable[[int, Random], Iterator[Line]]
    understand: Callable[[str], Record]
    misread: Callable[[Record, Random], Record]
    solve: Callable[[Iterable[Record]], Any]
    score: Callable[[Any, Any], float]


@dataclass(frozen=True)
class Corpus:
    """A text that was written, and the exact answer to the task's question about it. `size` is what was asked for."""

    path: Path
    size: int
    tokens: int
    lines: int
    answer: Any


def write(task: Task, tokens: int, seed: int, path: Path) -> Corpus:
    """Write `tokens` of text, never holding more than a line of it. The same seed writes the same text."""
    written = count = 0

    def records() -> Iterator[Record]:
        nonlocal written, count
        with path.open("w", encoding="utf-8", newline="") as file:
            for line in task.lines(tokens, Random(f"{task.name}-{tokens}-{seed}")):
                written += file.write(f"{line.text}\n")
                count += 1
                yield line.record

    answer = task.solve(records())
    return Corpus(path, tokens, written // CHARS_PER_TOKEN, count, answer)


def filled(tokens: int, random: Random, filler: Iterator[Line], scattered: Sequence[Line] = ()) -> Iterator[Line]:
    """Lines of `filler` until the text is `tokens` long, with all of `scattered` among them, in order."""
    most = tokens * CHARS_PER_TOKEN - sum(len(line.text) + 1 for line in scattered)
    places = sorted(random.randrange(max(most, 1)) for _ in scattered)
    written = placed = 0
    for line in filler:
        while placed < len(places) and written >= places[placed]:
            yield scattered[placed]
            placed += 1
        written += len(line.text) + 1
        if written > most:
            break
        yield line
    yield from scattered[placed:]
