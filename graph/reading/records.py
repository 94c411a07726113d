"""What a reader sends back: JSON records, taken from whatever surrounds them, also when the reply was cut off."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Check = Callable[[Any], str | None]
"""What is wrong with a record, in words for whoever wrote it; None when it fits."""

FENCED = re.compile(r"```(?:json)?\s*\n(.*?)(?:```|\Z)", re.DOTALL)
DECODER = json.JSONDecoder()
ANSWER = "answer"
"""The one field of a record whose schema is none of an object."""


def shape(schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """The schema of one record: always an object. What is no object becomes its field `answer`; so does plain text."""
    if schema is None:
        schema = {"type": "string"}
    if schema.get("type") == "object" or "properties" in schema:
        return dict(schema)
    return {"type": "object", "properties": {ANSWER: dict(schema)}, "required": [ANSWER]}


def values_of(text: str) -> Iterator[Any]:
    """The whole JSON values at the top of a list, or the values that stand in the text one after the other."""
    fenced = FENCED.search(text)
    body = fenced.group(1) if fenced else text
    at = next((place for place, letter in enumerate(body) if letter in "[{"), len(body))
    if body[at : at + 1] == "[":
        at += 1
    while at < len(body):
        at = next((place for place in range(at, len(body)) if body[place] not in " \t\r\n,"), len(body))
        try:
            value, at = DECODER.raw_decode(body, at)
        except (ValueError, RecursionError):
            return
        yield value


def records_of(text: str) -> dict[int, dict[str, Any]]:
    """The records of a reply by the number of their item; records without one are left out."""
    found: dict[int, dict[str, Any]] = {}
    for value in values_of(text):
        inner = value.get("records") if isinstance(value, dict) and "key" not in value else None
        for record in inner if isinstance(inner, list) else [value]:
            number = number_of(record)
            if number is not None:
                found.setdefault(number, {name: held for name, held in record.items() if name != "key"})
    return found


def number_of(record: Any) -> int | None:
    key = record.get("key") if isinstance(record, dict) else None
    if isinstance(key, str) and key.strip().isdecimal():
        key = int(key)
    return key if isinstance(key, int) and not isinstance(key, bool) else None


def record_of(text: str, plain: bool) -> Any:
    """The one record of a reply; None when there is none. `plain`: the text itself is the answer."""
    if plain:
        return {ANSWER: text.strip()} if text.strip() else None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = next(values_of(text), None)
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value
