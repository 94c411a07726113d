"""Objects packed to the same bytes as by LangGraph's serializer, sooner.

For each object that serializer tries some thirty kinds before it comes to dataclasses, and a message is dumped to a
dict that is the one it has already; here a class is looked at once.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import ormsgpack
from langgraph.checkpoint.serde.jsonplus import EXT_CONSTRUCTOR_KW_ARGS, EXT_PYDANTIC_V2, _msgpack_default, _option

# A dataclass with one of these may be packed in another way (and one with `node` and `arg` is taken for a Send).
_TELLING = ("model_dump", "get_secret_value", "dict", "_asdict", "node", "arg", "__getattr__")
_known: dict[type, tuple[str, ...] | None] = {}
_frames: dict[type, _Frame | None] = {}


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


class _Frame:
    """What stands around a message's fields when it is packed."""

    def __init__(self, kind: type) -> None:
        self.names = tuple(kind.model_fields)  # type: ignore[attr-defined]
        self._head = b"\x94" + packed(kind.__module__) + packed(kind.__name__)
        self._tail = packed("model_validate_json")

    def around(self, fields: bytes) -> bytes:
        element: bytes = ormsgpack.packb(ormsgpack.Ext(EXT_PYDANTIC_V2, self._head + fields + self._tail))
        return element


def plain_fields(message: Any) -> dict[str, Any] | None:
    """A copy of a LangChain message's fields, when packing them is packing the message (and they hold plain data)."""
    kind = type(message)
    frame = _frames[kind] if kind in _frames else _framed(kind)
    if frame is None or message.__pydantic_extra__:
        return None
    fields: dict[str, Any] = message.__dict__.copy()  # at once: another thread may be changing it
    return fields if tuple(fields) == frame.names else None


def packed_plain(value: Any) -> bytes:
    """Plain data; raises MsgpackEncodeError for anything else."""
    return ormsgpack.packb(value, option=_option)


def packed_message(kind: type, fields: bytes) -> bytes:
    frame = _frames[kind]
    assert frame is not None, "plain_fields knows the class"
    return frame.around(fields)


def is_message(kind: type) -> bool:
    """One of LangChain's own message classes."""
    return (_frames[kind] if kind in _frames else _framed(kind)) is not None


def _framed(kind: type) -> _Frame | None:
    from langchain_core.messages import BaseMessage

    ours = kind.__module__.startswith("langchain_core.messages.") and issubclass(kind, BaseMessage)
    frame = _frames[kind] = _Frame(kind) if ours else None
    return frame
