"""What the offline model makes of results and long outputs: figures as they stand, lines counted, nothing guessed."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from agent.offline.words import FILLER, QUOTED, quotes, words

IN_ALL, OTHERS = "lines in all", "other lines"
MOST = 25
"""Kinds of lines that a note tells apart; the rest of its lines are counted as others."""
COUNTED = re.compile(r"^(?:\[part [^\]]*\] )?([\d,]+) × (.+)$", re.MULTILINE)
RESULT = re.compile(r"\n\nresult:\n(.*?)(?=\n\nstdout:\n|\n\nstderr:\n|\Z)", re.DOTALL)


def answer_of(outcome: str) -> str:
    """A run's report in a person's words: its result as a table, its digest, or what it printed."""
    found = RESULT.search(outcome)
    try:
        result = json.loads(found.group(1)) if found else None
    except ValueError:
        result = None
    if not isinstance(result, dict):
        digest = re.search(r"\n\ndigest:\n(.*?)(?=\n\nresult:\n|\Z)", outcome, re.DOTALL)
        return digest.group(1) if digest else outcome.partition("\n\n")[2] or outcome
    rows, count = result.pop("rows", []), result.pop("row_count", 0)
    said = ", ".join(f"{name.replace('_', ' ')}: {cell(name, value)}" for name, value in result.items())
    return "\n\n".join(part for part in (said, table(rows, count)) if part)


def table(rows: list[dict[str, Any]], count: int = 0) -> str:
    if not rows:
        return "Nothing was found."
    if len(rows) == 1 and len(rows[0]) == 1:
        [(name, value)] = rows[0].items()
        return f"**{cell(name, value)}**"
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([cell(name, row[name]) for name in row] for row in rows)]
    more = f"\n\n(The first {len(rows)} of {count:,}.)" if count > len(rows) else ""
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + more


def cell(name: str, value: Any) -> str:
    if isinstance(value, bool) or value is None or not isinstance(value, int | float) or "year" in name.lower():
        return "(none)" if value is None else str(value).replace("|", "\\|")[:120]
    return f"{value:,.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{value:,}"


def read_part(instruction: str, part: str) -> str:
    """The lines that have the instruction's quoted texts or words, else all: how many of each kind, with an example."""
    lines = [line.strip() for line in part.splitlines() if line.strip()]
    wanted = [text.lower() for text in quotes(instruction)]
    wanted = wanted or [word for word in words(instruction) if len(word) > 3 and word not in FILLER]
    hits = [line for line in lines if any(text in line.lower() for text in wanted)]
    if wanted and QUOTED.search(instruction) and not hits:
        return "nothing"
    return noted(Counter(hits or lines))


def merge_notes(notes: str) -> str:
    """The notes' counts added up."""
    totals: Counter[str] = Counter()
    for count, text in COUNTED.findall(notes):
        totals[text] += int(count.replace(",", "")) if text != IN_ALL else 0
    return noted(totals) if totals else "nothing"


def noted(lines: Counter[str]) -> str:
    """How many lines there are of each kind, which is a line without its numbers, with an example."""
    kinds: Counter[str] = Counter()
    examples: dict[str, str] = {OTHERS: OTHERS}
    for line, count in lines.items():
        kind = line if line == OTHERS else re.sub(r"\b[0-9a-f.:]*\d[0-9a-f.:]*\b", "#", line)[:100]
        kinds[kind] += count
        examples.setdefault(kind, line[:160])
    most = dict(kinds.most_common(MOST))
    most[OTHERS] = kinds.total() - sum(count for kind, count in most.items() if kind != OTHERS)
    told = [f"{count:,} × {examples[kind]}" for kind, count in most.items() if count]
    return "\n".join([f"{kinds.total():,} × {IN_ALL}", *told])
