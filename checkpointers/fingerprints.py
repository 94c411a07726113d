"""Has an element of a list changed since it was last saved? Told without serializing it again.

A fingerprint is made of a copy, and the bytes that are saved are made of the same copy: while a list is being saved
another thread may change what is in it. A message's copy is its fields, compared by value when they are strings, None
or empty; everything else is compared by its packed bytes, because equality is loose (1 == True == 1.0, and dicts are
equal in any order). A list with other objects than messages and plain data is serialized each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ormsgpack

from checkpointers.packing import is_message, packed_message, packed_plain, plain_fields

_EMPTY: dict[type, Any] = {dict: {}, list: []}
_PLAIN = (str, type(None), bool, int, float, bytes, dict, list, tuple)


class Packed:
    """Equal to whatever packs to the same bytes."""

    __slots__ = ("data",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __eq__(self, other: object) -> bool:
        try:
            return self.data == packed_plain(other)
        except ormsgpack.MsgpackEncodeError:
            return False


class Fingerprint:
    """What a list looked like when it was saved."""

    __slots__ = ("_contents", "_messages", "_types")

    def __init__(self, types: list[type], contents: list[Any], *, messages: bool) -> None:
        """`messages`: whether all are."""
        self._types, self._contents, self._messages = types, contents, messages

    def begins(self, values: Sequence[Any]) -> bool:
        """Whether `values` begins with exactly this list, unchanged."""
        known = len(self._types)
        if len(values) < known:
            return False
        head = values[:known]
        if list(map(type, head)) != self._types:
            return False
        if self._messages:
            same = [v.__dict__ for v in head] == self._contents
            return same and not any([v.__pydantic_extra__ for v in head])  # noqa: C419 a list is twice as fast
        return all(
            (value.__dict__ == content and not value.__pydantic_extra__) if is_message(kind) else value == content
            for value, kind, content in zip(head, self._types, self._contents, strict=True)
        )

    def extended(self, more: Fingerprint) -> Fingerprint:
        return Fingerprint(
            self._types + more._types,
            self._contents + more._contents,
            messages=self._messages and more._messages,
        )


def watched(values: Sequence[Any]) -> tuple[list[bytes], Fingerprint] | None:
    """The packed elements, and the fingerprint of just these bytes; None when some element can't be watched."""
    types = list(map(type, values))
    elements, contents, messages = [], [], 0
    try:
        for kind, value in zip(types, values, strict=True):
            if is_message(kind):
                element, content = _message(kind, value)
                messages += 1
            elif kind in _PLAIN:
                element, content = _plain(value)
            else:
                return None
            elements.append(element)
            contents.append(content)
    except (ormsgpack.MsgpackEncodeError, _NotPlain):
        return None
    return elements, Fingerprint(types, contents, messages=messages == len(types))


class _NotPlain(Exception):
    """A message that isn't packed as its fields are."""


def _message(kind: type, message: Any) -> tuple[bytes, Any]:
    fields = plain_fields(message)
    if fields is None:
        raise _NotPlain
    frozen = _frozen(fields)
    data = packed_plain(frozen or fields)
    return packed_message(kind, data), frozen or Packed(data)


def _plain(value: Any) -> tuple[bytes, Any]:
    data = packed_plain(value)
    return data, value if type(value) is str or value is None else Packed(data)


def _frozen(fields: dict[str, Any]) -> dict[str, Any] | None:
    """The fields when comparing them is exact, with containers of their own that nobody fills."""
    frozen = {}
    for name, value in fields.items():
        kind = type(value)
        if kind is str or value is None:
            frozen[name] = value
        elif (kind is dict or kind is list) and not value:
            frozen[name] = _EMPTY[kind]
        else:
            return None
    return frozen
