"""Values as the official tables take them, and rows as they come from there."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

from checkpointers.records import Selection
from checkpointers.retention import Fact


def columns(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def inlinable(value: Any) -> bool:
    """What JSON keeps exactly. Floats come back as integers, and NUL not at all: these become blobs."""
    if type(value) is str:
        return ("\0" not in value and value.isascii()) or _encodable(value)
    return value is None or type(value) in (bool, int)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def storable(value: Any) -> Any:
    """Metadata that jsonb takes: without NUL and lone surrogates, and null for what is no number."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "ignore").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {storable(str(k)): storable(v) for k, v in value.items()}
    return [storable(v) for v in value] if isinstance(value, list | tuple) else value


def numbered(versions: Mapping[str, Any]) -> dict[str, Any]:
    return {c: v if isinstance(v, str) else f"{int(v):032}.{0:016}" for c, v in versions.items()}


def fact(row: tuple[Any, ...]) -> Fact:
    ns, checkpoint_id, parent, root, inline, blobs, versioned, delta, run_id, interrupted, sends = row
    return Fact(
        ns,
        checkpoint_id,
        parent,
        run_id=str(run_id),
        root=root,
        stored=frozenset([*inline, *blobs]),
        versioned=frozenset(versioned),
        delta=frozenset(delta),
        interrupted=interrupted,
        sends_in_parent=bool(sends),
    )


def conditions(selection: Selection) -> tuple[LiteralString, list[Any]]:
    """A WHERE over the official names of the columns."""
    found, parameters = selection.conditions()
    names = {"thread_id": "thread_id", "ns": "checkpoint_ns", "id": "checkpoint_id", "?": "%s"}
    named = re.sub(r"\b(?:thread_id|ns|id)\b|\?", lambda match: names[match[0]], found)
    return "WHERE TRUE" + named, parameters
