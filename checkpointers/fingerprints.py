"""Has an element of a list changed since it was last saved? Told without serializing it again.

A snapshot holds what an element looked like. Comparing strings, None and empty containers is exact; where equality is
loose (1 == True == 1.0) the snapshot holds packed bytes. Only LangChain's messages, strings and plain data are known
well enough; a list with anything else is serialized each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ormsgpack

# the options of LangGraph's serializer, so that equal bytes here are equal bytes there
_OPTIONS = (
    ormsgpack.OPT_NON_STR_KEYS
    | ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_UUID
    | ormsgpack.OPT_REPLACE_SURROGATES
)
_PLAIN = (str, type(None), bool, int, float, bytes, dict, list, tuple)


class Packed:
    """Equal to whatever packs to the same bytes."""

    __slots__ = ("data",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: Any) -> None:
        self.data = ormsgpack.packb(value, option=_OPTIONS)

    def __eq__(self, other: object) -> bool:
        try:
            return self.data == ormsgpack.packb(other, option=_OPTIONS)
        except ormsgpack.MsgpackEncodeError:
            return False


class Fingerprint:
    """What a list looked like when it was saved."""

    __slots__ = ("_contents", "_extras", "_messages", "_types")

    def __init__(self, types: list[type], contents: list[Any], extras: list[Any], *, messages: bool) -> None:
        """`messages`: whether all are."""
        self._types, self._contents, self._extras, self._messages = types, contents, extras, messages

    def __len__(self) -> int:
        return len(self._types)

    def begins(self, values: Sequence[Any]) -> bool:
        """Whether `values` begins with exactly this list, unchanged."""
        known = len(self._types)
        if len(values) < known:
            return False
        head = values[:known]
        if list(map(type, head)) != self._types:
            return False
        contents, extras = _looks(head, self._types, self._messages)
        return contents == self._contents and extras == self._extras

    def extended(self, values: Sequence[Any]) -> Fingerprint | None:
        more = fingerprint(values)
        if more is None:
            return None
        return Fingerprint(
            self._types + more._types,
            self._contents + more._contents,
            self._extras + more._extras,
            messages=self._messages and more._messages,
        )


def fingerprint(values: Sequence[Any]) -> Fingerprint | None:
    """None when some element can't be watched."""
    types = list(map(type, values))
    kinds = set(types)
    messages = all(map(_is_message, kinds))
    if not messages and not all(map(_watchable, kinds)):
        return None
    contents, extras = _looks(values, types, messages)
    try:
        return Fingerprint(types, [_kept(c) for c in contents], [_kept(e) for e in extras], messages=messages)
    except ormsgpack.MsgpackEncodeError:
        return None


def _looks(values: Sequence[Any], types: Sequence[type], messages: bool) -> tuple[list[Any], list[Any]]:
    if messages:
        return [v.__dict__ for v in values], [v.__pydantic_extra__ for v in values]
    return [v.__dict__ if _is_message(t) else v for v, t in zip(values, types, strict=True)], [
        v.__pydantic_extra__ if _is_message(t) else None for v, t in zip(values, types, strict=True)
    ]


def _kept(content: Any) -> Any:
    kind = type(content)
    if kind is str or content is None:
        return content
    if kind is not dict:
        return Packed(content)
    copy = {}
    for key, value in content.items():
        kind = type(value)
        if kind is str or value is None:
            copy[key] = value
        elif (kind is dict or kind is list) and not value:
            copy[key] = kind()
        else:
            return Packed(content)
    return copy


_messages: dict[type, bool] = {}


def _is_message(kind: type) -> bool:
    known = _messages.get(kind)
    if known is None:
        from langchain_core.messages import BaseMessage

        ours = kind.__module__.startswith("langchain_core.messages.")
        known = _messages[kind] = ours and issubclass(kind, BaseMessage)
    return known


def _watchable(kind: type) -> bool:
    return kind in _PLAIN or _is_message(kind)
