"""Dataclasses packed to the same bytes as by LangGraph's serializer, sooner.

For each object that serializer tries some thirty kinds before it comes to dataclasses; here a class is looked at once.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import ormsgpack
from langgraph.checkpoint.serde.jsonplus import EXT_CONSTRUCTOR_KW_ARGS, _msgpack_default, _option

# A dataclass with one of these may be packed in another way (and one with `node` and `arg` is taken for a Send).
_TELLING = ("model_dump", "get_secret_value", "dict", "_asdict", "node", "arg", "__getattr__")
_known: dict[type, tuple[str, ...] | None] = {}


def packed(value: Any) -> bytes:
    return ormsgpack.packb(value, default=_default, option=_option)


def _default(value: Any) -> Any:
    kind = type(value)
    names = _known[kind] if kind in _known else _learned(kind)
    if names is None or tuple(value.__dict__) != names:
        return _msgpack_default(value)
    return ormsgpack.Ext(EXT_CONSTRUCTOR_KW_ARGS, packed((kind.__module__, kind.__name__, value.__dict__)))


def _learned(kind: type) -> tuple[str, ...] | None:
    """The fields of a class that is nothing but a dataclass, whose objects hold them in `__dict__`; else None."""
    names: tuple[str, ...] | None = None
    plain = all(base is object or "__dataclass_fields__" in vars(base) for base in kind.__mro__)
    if plain and dataclasses.is_dataclass(kind) and kind.__dictoffset__:
        names = tuple(field.name for field in dataclasses.fields(kind))
        if any(hasattr(kind, name) or name in names for name in _TELLING):
            names = None
    _known[kind] = names
    return names
