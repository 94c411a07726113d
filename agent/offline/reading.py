"""What the offline model makes of results and long outputs: figures as they stand, lines counted, nothing guessed."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from agent.offline.words import FILLER, quotes, words
from graph.reading.leaves import BODY

IN_ALL, MOST = "lines in all", 25
SECTION = re.compile(r"\n\n(digest|result|stdout):\n(.*?)(?=\n\n(?:result|stdout|stderr):\n|\Z)", re.DOTALL)


def answer_of(outcome: str) -> str:
    """A run's report in a person's words: its result as a table, its digest, or what it printed."""
    sections = dict(SECTION.findall(outcome))
    try:
        result = json.loads(sections.get("result", ""))
        rows, count = result.pop("rows"), result.pop("row_count")
    except (ValueError, KeyError, AttributeError, TypeError):
        return sections.get("digest") or outcome.partition("\n\n")[2] or outcome
    said = ", ".join(f"{name.replace('_', ' ')}: {cell(name, value)}" for name, value in result.items())
    return "\n\n".join(part for part in (said, table(rows, count)) if part)


def table(rows: list[dict[str, Any]], count: int = 0) -> str:
    if not rows:
        return "Nothing was found."
    if len(rows) == 1 and len(rows[0]) == 1:
        return f"**{cell(*rows[0].popitem())}**"
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([cell(*item) for item in row.items()] for row in rows)]
    more = f"\n\n(The first {len(rows)} of {count:,}.)" if count > len(rows) else ""
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + more


def cell(name: str, value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool) and "year" not in name.lower():
        return f"{value:,.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{value:,}"
    return "(none)" if value is None else str(value).replace("|", "\\|")[:120]


def read_part(instruction: str, part: str) -> str:
    """The lines that have the instruction's quoted texts or words, else all: how many of each kind."""
    lines = [line.strip() for line in part.partition(BODY)[2].splitlines() if line.strip()]
    exact = [text.lower() for text in quotes(instruction)]
    wanted = exact or [word for word in words(instruction) if len(word) > 3 and word not in FILLER]
    hits = [line for line in lines if any(text in line.lower() for text in wanted)]
    return json.dumps(record_of(hits if hits or exact else lines), ensure_ascii=False)


def record_of(lines: list[str]) -> dict[str, Any]:
    """How many lines there are of each kind, which is a line without its numbers."""
    kinds = Counter(re.sub(r"\b[0-9a-f.:]*\d[0-9a-f.:]*\b", "#", line)[:100] for line in lines)
    told = [(IN_ALL, kinds.total()), *kinds.most_common(MOST)]
    others = 2 * kinds.total() - sum(count for _, count in told)
    figures = [{"name": name, "value": count} for name, count in [*told, ("other lines", others)] if count]
    return {"note": "", "figures": figures}


def merge_notes(notes: str) -> str:
    """Notes say nothing here: what was counted is in figures."""
    return notes
