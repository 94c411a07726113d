"""What the analyst is shown of a run: all of it when it is short, else what is short of it and a digest of the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graph.types import ExecutionResult

STREAMS = ("stdout", "stderr")


@dataclass(frozen=True)
class Source:
    """One thing that a run left: its name, and how many characters it has."""

    name: str
    size: int


def sources_of(result: ExecutionResult, sizes: Mapping[str, int]) -> list[Source]:
    """What there is to read. A traceback stands in the report by itself and is not read twice."""
    left = [Source(name, sizes.get(name, 0)) for name in STREAMS if name == "stdout" or not result.error_trace]
    left.append(Source("result", len(result.output or "")))
    return [source for source in left if source.size]


def long_ones(sources: list[Source], short_chars: int) -> list[Source]:
    """Those that have to be read for the analyst: the shortest are shown as they are while all together fit."""
    room, long = short_chars, []
    for source in sorted(sources, key=lambda source: source.size):
        room -= source.size
        if room < 0:
            long.append(source)
    return [source for source in sources if source in long]


def report(
    artifact_id: str, result: ExecutionResult, read: frozenset[str] = frozenset(), digest: str = "", more: str = ""
) -> str:
    """The report. `read` are the sources that a digest stands for, `more` what the run handed over besides."""
    sections = [f"{artifact_id}: {result.status}, iteration {result.iteration}, {result.duration_seconds:.1f} s"]
    if result.timed_out:
        sections.append("The time limit ended it; what it printed until then is kept.")
    if result.error:
        sections.append(f"error: {result.error}\n{(result.error_trace or '').strip()}".rstrip())
    if digest:
        sections.append(f"digest:\n{digest}")
    for name, text in (("result", result.output or ""), ("stdout", result.stdout), ("stderr", result.stderr)):
        if text.strip() and name not in read and not (name == "stderr" and result.error_trace):
            sections.append(f"{name}:\n{text.rstrip()}")
    if more:
        sections.append(more)
    if len(sections) == 1:
        sections.append("It printed nothing and left no `result`.")
    return "\n\n".join(sections)


def clip(text: str, most: int) -> str:
    """Head and tail of a text that is longer than `most` characters."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n... ({len(text) - 2 * half:,} characters omitted) ...\n{text[-half:]}"


def result_lines(output: str) -> Iterator[str]:
    """A JSON value by lines: each element of a list on one of its own, an object's fields below each other."""
    try:
        value = json.loads(output)
    except (ValueError, RecursionError):
        value = output
    yield from (f"{line}\n" for line in lines_in(value, ""))


def lines_in(value: Any, path: str) -> Iterator[str]:
    """Long lists, also within objects, an element a line; what is short stays together."""
    whole = json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and "\n" in value:
        yield from ([f"{path}:"] if path else [])
        yield from value.splitlines()
    elif len(whole) <= 300 or not isinstance(value, (list, dict)):
        yield f"{path}: {whole}" if path else whole
    elif isinstance(value, list):
        yield from ([f"{path}: {len(value):,} elements"] if path else [])
        yield from (json.dumps(element, ensure_ascii=False) for element in value)
    else:
        for key, element in value.items():
            yield from lines_in(element, f"{path}.{key}" if path else str(key))
