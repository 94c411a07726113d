"""Payloads as they are stored: redacted, bounded, and always valid JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from agent.redaction.secrets import redact

MAX_CHARS = 16_000
MAX_ITEMS = 100
MAX_DEPTH = 12


def to_json(value: Any, max_chars: int = MAX_CHARS) -> str:
    """JSON text of at most about `max_chars` characters. Long strings and lists say how much was left out."""
    text = json.dumps(redact(bound(value, max_chars // 2)), default=str, ensure_ascii=False)
    if len(text) <= max_chars:
        return text
    return json.dumps(
        {"truncated": True, "characters": len(text), "preview": text[: max_chars // 2]}, ensure_ascii=False
    )


def bound(value: Any, chars: int, depth: int = 0) -> Any:
    if isinstance(value, str):
        return shorten(value, chars)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if depth >= MAX_DEPTH:
        return shorten(str(value), chars)
    return bound_container(value, chars, depth + 1)


def bound_container(value: Any, chars: int, depth: int) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(key)[:200]: bound(item, chars, depth) for key, item in list(value.items())[:MAX_ITEMS]}
    if isinstance(value, (list, tuple)):
        kept = [bound(item, chars, depth) for item in value[:MAX_ITEMS]]
        return [*kept, f"... ({len(value) - MAX_ITEMS} items omitted)"] if len(value) > MAX_ITEMS else kept
    return shorten(str(value), chars)


def shorten(text: str, chars: int) -> str:
    if len(text) <= chars:
        return text
    return f"{text[:chars]}... ({len(text) - chars} characters omitted)"
