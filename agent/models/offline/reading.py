"""What the offline model makes of results and long outputs: figures as they stand, lines counted, nothing guessed."""

import json
import re
from collections import Counter
from typing import Any

from agent.models.offline.words import FILLER, quotes, spoken, stem
from graph.reading.leaves import BODY

IN_ALL, MOST = "lines in all", 25
SECTION = re.compile(r"\n\n(digest|result|stdout):\n(.*?)(?=\n\n(?:result|stdout|stderr):\n|\Z)", re.DOTALL)


def result_of(outcome: str) -> dict[str, Any]:
    try:
        result = json.loads(dict(SECTION.findall(outcome)).get("result", ""))
    except ValueError:
        return {}
    return result if isinstance(result, dict) else {}


def not_found(outcome: str) -> list[str]:
    """Words of the question that the data does not have, as the code found out."""
    return list(result_of(outcome).get("not_found", ()))


def answer_of(outcome: str) -> str:
    """A run's report in a person's words: its result as a table, its digest, or what it printed."""
    result, sections = result_of(outcome), dict(SECTION.findall(outcome))
    if not {"rows", "row_count"} <= result.keys():
        return sections.get("digest") or outcome.partition("\n\n")[2] or outcome
    rows, count = result.pop("rows"), result.pop("row_count")
    said = ", ".join(f"{name.replace('_', ' ')}: {cell(name, value)}" for name, value in result.items())
    return "\n\n".join(part for part in (said, table(rows, count)) if part)


def table(rows: list[dict[str, Any]], count: int | None = 0) -> str:
    if not rows:
        return "Nothing was found."
    if len(rows) == 1 and len(rows[0]) == 1:
        return f"**{cell(*rows[0].popitem())}**"
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([cell(*item) for item in row.items()] for row in rows)]
    whole = "more than were counted" if count is None else f"{count:,}"
    more = f"\n\n(The first {len(rows)} of {whole}.)" if count is None or count > len(rows) else ""
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + more


def cell(name: str, value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool) and "year" not in name.lower():
        return f"{value:,.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{value:,}"
    return "(none)" if value is None else str(value).replace("|", "\\|")[:120]


def read_part(instruction: str, part: str) -> str:
    """The lines that have the instruction's quoted texts or words, else all: how many of each kind."""
    lines = [line.strip() for line in part.partition(BODY)[2].splitlines() if line.strip()]
    exact = [text.lower() for text in quotes(instruction)]
    wanted = exact or [stem(word) for word in spoken(instruction.lower()) if len(word) > 3 and word not in FILLER]
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
