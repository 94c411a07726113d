"""Dataclasses as JSON schemas, and records as dataclasses."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

PLAIN: Mapping[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def as_schema(given: Any) -> dict[str, Any] | None:
    """The JSON schema of what code gave: one itself, a dataclass, a plain type, or nothing. Raises TypeError."""
    if given is None or isinstance(given, Mapping):
        return None if given is None else dict(given)
    return schema_of(given)


def schema_of(kind: Any) -> dict[str, Any]:
    if kind is Any:
        return {}
    if kind in PLAIN:
        return {"type": PLAIN[kind]}
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        needed = [one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING]
        return {
            "type": "object",
            "properties": {one.name: schema_of(hints[one.name]) for one in fields(kind)},
            "required": needed,
        }
    return _schema_of_generic(kind, get_origin(kind), get_args(kind))


def _schema_of_generic(kind: Any, origin: Any, inner: tuple[Any, ...]) -> dict[str, Any]:
    if origin is Literal:
        return {"enum": list(inner)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema_of(one) for one in inner]}
    if kind is list or origin is list:
        return {"type": "array", **({"items": schema_of(inner[0])} if inner else {})}
    if kind is dict or origin is dict:
        return {"type": "object"}
    raise TypeError(f"{kind!r} has no JSON schema here: give a JSON schema, or a dataclass of plain types")


def as_given(record: Any, given: Any) -> Any:
    """The record as an instance of the dataclass that was given as its schema; else itself."""
    if isinstance(given, type) and is_dataclass(given):
        return given(**record)
    return record
