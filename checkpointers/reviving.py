"""Packed values back to objects. LangChain's own messages are made without being validated a second time.

What a message class would do with the packed fields is known when they are exactly its fields, in their order, with the
types that it would leave as they are; any other message, and everything else, is revived by LangGraph's serializer.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import ormsgpack
from langgraph.checkpoint.serde.jsonplus import EXT_PYDANTIC_V2, JsonPlusSerializer, _create_msgpack_ext_hook

from checkpointers.errors import BlockedType

_OPTION = ormsgpack.OPT_NON_STR_KEYS
_MESSAGES = {
    ("langchain_core.messages.human", "HumanMessage"): "human",
    ("langchain_core.messages.ai", "AIMessage"): "ai",
    ("langchain_core.messages.system", "SystemMessage"): "system",
    ("langchain_core.messages.tool", "ToolMessage"): "tool",
}
_CALL = ("name", "args", "id", "type")
_USAGE = ("input_tokens", "output_tokens", "total_tokens")
_classes: dict[tuple[str, str], tuple[type, tuple[str, ...], str]] = {}


def revived(data: bytes, serializer: JsonPlusSerializer) -> Any:
    """Raises `BlockedType` for a type that the serializer doesn't allow, where it would give a dict."""
    allowed = _Allowed(serializer._allowed_msgpack_modules)
    official = _create_msgpack_ext_hook(allowed)  # type: ignore[arg-type]

    def hook(code: int, packed: bytes) -> Any:
        if code == EXT_PYDANTIC_V2:
            module, name, fields, *_ = ormsgpack.unpackb(packed, ext_hook=hook, option=_OPTION)
            if (module, name) in _MESSAGES and type(fields) is dict and (made := _message((module, name), fields)):
                return made
        return official(code, packed)

    if serializer._custom_unpack_ext_hook or serializer._allowed_msgpack_modules is True:
        return serializer.loads_typed(("msgpack", data))
    found = ormsgpack.unpackb(data, ext_hook=hook, option=_OPTION)
    if allowed.refused:
        raise BlockedType(allowed.refused)
    return found


class _Allowed:
    """The types besides LangGraph's own; remembers what was asked for in vain."""

    def __init__(self, types: Any) -> None:
        self._types = types or ()
        self.refused: list[tuple[str, str]] = []

    def __contains__(self, key: tuple[str, str]) -> bool:
        if key in self._types:
            return True
        self.refused.append(key)
        return False


def _message(kind: tuple[str, str], fields: dict[str, Any]) -> Any:
    cls, names, type_name = _classes.get(kind) or _learned(kind)
    if tuple(fields) != names or fields["type"] != type_name or not _is_plain(fields):
        return None
    if type_name == "ai" and not _is_plain_reply(fields):
        return None
    if type_name == "tool" and (
        type(fields["tool_call_id"]) is not str or fields["status"] not in ("success", "error")
    ):
        return None
    message: Any = object.__new__(cls)
    put = object.__setattr__
    put(message, "__dict__", fields)
    put(message, "__pydantic_fields_set__", set(names))
    put(message, "__pydantic_extra__", {})
    put(message, "__pydantic_private__", None)
    return message


def _learned(kind: tuple[str, str]) -> tuple[type, tuple[str, ...], str]:
    cls = getattr(import_module(kind[0]), kind[1])
    _classes[kind] = cls, tuple(cls.model_fields), _MESSAGES[kind]
    return _classes[kind]


def _is_plain(fields: dict[str, Any]) -> bool:
    content, name, id_ = fields["content"], fields["name"], fields["id"]
    return (
        (type(content) is str or (type(content) is list and all(type(part) in (str, dict) for part in content)))
        and type(fields["additional_kwargs"]) is dict
        and type(fields["response_metadata"]) is dict
        and (name is None or type(name) is str)
        and (id_ is None or type(id_) is str)
    )


def _is_plain_reply(fields: dict[str, Any]) -> bool:
    calls, usage = fields["tool_calls"], fields["usage_metadata"]
    if type(calls) is not list or fields["invalid_tool_calls"] != []:
        return False
    if not calls and "tool_calls" in fields["additional_kwargs"]:
        return False  # the class would read them from there
    return all(map(_is_plain_call, calls)) and (usage is None or _is_plain_usage(usage))


def _is_plain_call(call: Any) -> bool:
    return (
        type(call) is dict
        and tuple(call) == _CALL
        and type(call["name"]) is str
        and type(call["args"]) is dict
        and all(type(key) is str for key in call["args"])
        and (call["id"] is None or type(call["id"]) is str)
        and call["type"] == "tool_call"
    )


def _is_plain_usage(usage: Any) -> bool:
    return type(usage) is dict and tuple(usage) == _USAGE and all(type(count) is int for count in usage.values())
