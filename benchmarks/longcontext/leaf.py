"""How a leaf of `llm_map` is worded: the one place here that knows what a reader is sent and what it sends back.

A leaf's message holds an item on each line, as JSON with its key: `{"key": 17, "item": "…"}`. What comes back is a JSON
list of the records, each with its item's key.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any


def items_of(message: str) -> list[tuple[Any, str]]:
    """Keys and texts of the items in a message; none for a message that is no leaf."""
    found = (item_of(line) for line in message.splitlines())
    return [item for item in found if item is not None]


def item_of(line: str) -> tuple[Any, str] | None:
    if not line.startswith('{"key": '):
        return None
    value = json.loads(line)
    item = value["item"]
    return value["key"], item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)


def reply(records: Iterable[tuple[Any, Mapping[str, Any]]]) -> str:
    return json.dumps([{"key": key, **record} for key, record in records], ensure_ascii=False)
