"""What a turn hands the person besides words: the values that its code answered with, and results by their names."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from agent.artifacts.files import Unreadable
from agent.artifacts.protocol import Artifacts
from graph.errors import InvalidRequest
from graph.events import Event, Token
from graph.types import Attachment, ConversationResult

PLACEHOLDER = re.compile(r"\{(art_[0-9a-f]{12})\.result((?:\.\w+|\[\d+\])*)\}")
STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
BEGUN = re.compile(r"\{[^{}\n]{0,200}\Z")
"""A placeholder that may not be whole yet."""
INLINE_CHARS = 20_000
"""Of a value that stands in the response itself; what is longer is in its file, and told."""
MOST_ROWS = 1_000

Fill = Callable[[str], str]


def with_answers(result: ConversationResult, artifacts: Artifacts, alone: bool = False) -> ConversationResult:
    """The result as the person gets it: placeholders filled, and the values under the closing words.

    `alone`: the words are a value by themselves, and the values that code answered with stand beside it only.
    """
    if result.status == "fatal_error":
        return result
    items = tuple(item for one in result.artifact_ids for item in items_of(one, artifacts))
    latest = {item.name: item for item in items}
    if alone:
        return replace(result, items=tuple(latest.values()))
    text = fill(result.response_text, result.thread_id, artifacts)
    shown = [inline(item, artifacts) for item in latest.values()]
    return replace(result, response_text="\n\n".join(filter(None, [text, *shown])), items=tuple(latest.values()))


def items_of(artifact_id: str, artifacts: Artifacts) -> Iterator[Attachment]:
    """What a run answered with, when it came to a good end. Raises nothing for what is broken: it is left out."""
    result = artifacts.result(artifact_id)
    told = artifacts.handed(artifact_id).get("answers", ())
    for one in told if result is not None and result.status == "success" else ():
        try:
            with artifacts.open(artifact_id, f"answers/{one['name']}") as file:
                size = file.seek(0, 2)
        except (FileNotFoundError, Unreadable, KeyError, TypeError):
            continue
        path = str(artifacts.answers(artifact_id) / one["name"])
        yield Attachment(one["name"], str(one.get("media_type", "")), artifact_id, path, size)


def inline(item: Attachment, artifacts: Artifacts) -> str:
    """The value as it stands in the response: whole when it is a text of a sane length, else where it is."""
    whole = item.size <= INLINE_CHARS and item.media_type in FORMS
    if not whole:
        return f"{item.name}: {item.size:,} bytes ({item.path})"
    with artifacts.open(item.artifact_id, f"answers/{item.name}") as file:
        return FORMS[item.media_type](file.read().decode("utf-8", "replace").strip())


def as_json_block(text: str) -> str:
    return f"```json\n{text}\n```"


def as_csv_block(text: str) -> str:
    return f"```csv\n{text}\n```"


FORMS: Mapping[str, Fill] = {
    "text/plain": str,
    "text/markdown": str,
    "text/csv": as_csv_block,
    "application/json": as_json_block,
}


def as_text(value: Any) -> str:
    """Texts as they are, rows as a table, anything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(row, dict) and row for row in value):
        return as_table(value)
    return json.dumps(value, ensure_ascii=False)


def fill(text: str, thread_id: str, artifacts: Artifacts, write: Callable[[Any], str] = as_text) -> str:
    """The text with `{art_….result}` filled in; what this thread has no result for stays as it is."""

    def told(found: re.Match[str]) -> str:
        artifact_id, path = found.groups()
        try:
            result = artifacts.result(artifact_id) if artifacts.thread_of(artifact_id) == thread_id else None
            return write(follow(json.loads(result.output), path)) if result and result.output else found.group()
        except (InvalidRequest, LookupError, TypeError, ValueError):
            return found.group()

    return PLACEHOLDER.sub(told, text)


def follow(value: Any, path: str) -> Any:
    for name, number in STEP.findall(path):
        value = value[name] if name else value[int(number)]
    return value


def as_table(rows: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows[:MOST_ROWS] for name in row))
    lines = [names, ["---"] * len(names), *([cell(row.get(name)) for name in names] for row in rows[:MOST_ROWS])]
    more = f"\n\n(and {len(rows) - MOST_ROWS:,} rows more)" if len(rows) > MOST_ROWS else ""
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + more


def cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.replace("|", "\\|").replace("\n", " ")


class Filling:
    """Passes events on; in what is streamed, placeholders are filled when they are whole."""

    def __init__(self, emit: Callable[[Event], None], fill: Fill) -> None:
        self._emit, self._fill = emit, fill
        self._held = ""

    def __call__(self, event: Event) -> None:
        if not isinstance(event, Token):
            self._flush()
            self._emit(event)
            return
        text = self._held + event.text
        begun = BEGUN.search(text)
        cut = begun.start() if begun else len(text)
        text, self._held = text[:cut], text[cut:]
        if text:
            self._emit(Token(self._fill(text)))

    def _flush(self) -> None:
        held, self._held = self._held, ""
        if held:
            self._emit(Token(self._fill(held)))
