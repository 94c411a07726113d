"""How right an answer is, from 0 to 1. An answer of another form than was asked for is wrong, not an error."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from typing import Any


def same(given: Any, exact: Any) -> float:
    return float(given == exact)


def placed(given: Any, exact: Mapping[str, Any]) -> float:
    """Of things counted by kind: the share that is in the right place. Each that is elsewhere, or lost, counts once."""
    if not isinstance(given, Mapping) or not all(is_number(value) for value in given.values()):
        return 0.0
    more = sum(max(given.get(kind, 0) - exact.get(kind, 0), 0) for kind in {*given, *exact})
    less = sum(max(exact.get(kind, 0) - given.get(kind, 0), 0) for kind in {*given, *exact})
    whole = sum(exact.values())
    return max(0.0, 1 - max(more, less) / whole) if whole else float(not more)


def agreed(given: Any, exact: Mapping[str, Any]) -> float:
    """The share of keys with the right value."""
    if not isinstance(given, Mapping):
        return 0.0
    return sum(given.get(key) == value for key, value in exact.items()) / len(exact) if exact else float(not given)


def found(given: Any, exact: list[Any]) -> float:
    """F1 of a set of things: what is missing and what is too much count alike."""
    if not isinstance(given, list):
        return 0.0
    ours, theirs = {fixed(one) for one in given}, {fixed(one) for one in exact}
    return 2 * len(ours & theirs) / (len(ours) + len(theirs)) if ours or theirs else 1.0


def fixed(value: Any) -> Hashable:
    return json.dumps(value, sort_keys=True)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
