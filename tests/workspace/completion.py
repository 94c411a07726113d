"""A reply in the shape of OpenAI's chat completions: whole, or as chunks of a stream."""

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

from tests.workspace.serving import Endpoint, Reply

_PIECE = 12


def whole(endpoint: Endpoint, request: dict[str, Any], reply: Reply) -> dict[str, Any]:
    """A `chat.completion`."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.content}
    if reply.tool_calls:
        message["tool_calls"] = [_call(call, index=None) for call in reply.tool_calls]
    choice = {"index": 0, "message": message, "finish_reason": _reason(reply)}
    return {**_head(endpoint, "chat.completion"), "choices": [choice], "usage": usage(request, reply)}


def chunks(endpoint: Endpoint, request: dict[str, Any], reply: Reply) -> Iterator[dict[str, Any]]:
    """The `chat.completion.chunk`s, with usage where the endpoint puts it."""
    head = _head(endpoint, "chat.completion.chunk")
    counted = usage(request, reply)
    deltas = [*_deltas(reply)]
    for position, delta in enumerate(deltas):
        last = position == len(deltas) - 1
        choice = {"index": 0, "delta": delta, "finish_reason": _reason(reply) if last else None}
        chunk = {**head, "choices": [choice]}
        if endpoint.usage == "every_chunk" or (endpoint.usage == "last_choice" and last):
            chunk["usage"] = counted
        yield chunk
        if reply.pause:
            time.sleep(reply.pause)
    if endpoint.usage == "own_chunk":
        yield {**head, "choices": [], "usage": counted}


def usage(request: dict[str, Any], reply: Reply) -> dict[str, int]:
    """Token counts: as scripted, else words."""
    asked = reply.prompt_tokens
    if asked is None:
        asked = sum(len(str(message.get("content") or "").split()) for message in request.get("messages", []))
    said = reply.completion_tokens
    if said is None:
        said = len(reply.content.split()) + sum(len(json.dumps(call.arguments).split()) for call in reply.tool_calls)
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def _deltas(reply: Reply) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    for start in range(0, len(reply.content), _PIECE):
        yield {"content": reply.content[start : start + _PIECE]}
    for index, call in enumerate(reply.tool_calls):
        whole_call = _call(call, index=index)
        arguments = whole_call["function"]["arguments"]
        yield {"tool_calls": [{**whole_call, "function": {"name": call.name, "arguments": ""}}]}
        for start in range(0, len(arguments), _PIECE):
            piece = {"index": index, "function": {"arguments": arguments[start : start + _PIECE]}}
            yield {"tool_calls": [piece]}
    yield {"content": ""}


def _call(call: Any, index: int | None) -> dict[str, Any]:
    made = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}
    return made if index is None else {"index": index, **made}


def _reason(reply: Reply) -> str:
    return reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop")


def _head(endpoint: Endpoint, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl_{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": endpoint.name}
