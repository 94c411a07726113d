"""What a client of the Responses API asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.request import Request, check_id
from agent.schema import check_schema
from agent.serving.errors import PREVIOUS, BadField, refuse_previous
from agent.serving.requests import (
    Asked,
    Caller,
    Line,
    Unserved,
    check_served,
    read_count,
    read_dialogue,
    read_flag,
    read_instructions,
    read_message,
    read_metadata,
    read_place,
    read_section,
)
from graph.errors import InvalidRequest

PREFIX = "resp_"
OWN_ITEMS = ("function_call", "function_call_output", "reasoning", "mcp_approval_request", "mcp_approval_response")
"""Items that the agent itself wrote, or that answer them: the thread has them already."""

UNSERVED: Unserved = {
    "tools": (bool, "this agent has its own tools"),
    "tool_choice": (lambda value: value not in (None, "auto", "none"), "the agent chooses its tools itself"),
    "background": (bool, "ask without it, streamed or not"),
    "prompt": (lambda value: value is not None, "there are no stored prompts; send instructions"),
}


def read_response_request(body: Mapping[str, Any], caller: Caller = Caller()) -> Asked:  # noqa: B008 - frozen
    """Raises InvalidRequest, which names the field to change, and Refused for a conversation that can't be."""
    check_served(body, UNSERVED)
    schema = read_format(read_section(body, "text").get("format"), "text.format")
    place = read_place(body, caller)
    conversation = read_conversation(body)
    after = read_previous(body, conversation)
    instructions = body.get("instructions")
    if instructions is not None and not isinstance(instructions, str):
        raise BadField("instructions", "instructions have to be a text")
    said = read_dialogue(read_input(body.get("input")), "input")
    most = read_count(body, "max_output_tokens")
    metadata = read_metadata(body)
    request = Request(
        text=said.question,
        after=after,
        history=said.history,
        instructions=read_instructions([instructions or "", *said.instructions], "instructions"),
        max_output_tokens=most,
        schema=schema,
        **{**place, "thread_id": place["thread_id"] or conversation},
    )
    echo = {
        "model": body.get("model") if isinstance(body.get("model"), str) else None,
        "metadata": metadata,
        "instructions": instructions,
        "max_output_tokens": most,
        PREVIOUS: body.get(PREVIOUS) or None,
    }
    shown = {name: value for name, value in echo.items() if value is not None}
    return Asked(request, stream=read_flag(body, "stream"), echo=shown)


def read_input(value: Any) -> Iterator[Line]:
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    if not isinstance(value, list):
        raise BadField("input", "input has to be a text or a list of messages")
    for item in value:
        kind = item.get("type", "message") if isinstance(item, Mapping) else None
        if kind == "message":
            yield read_message(item, "input")
        elif kind in OWN_ITEMS:
            yield Line("assistant", "")
        else:
            raise BadField("input", f"input has an item of type {kind!r}: this agent reads messages")


def read_conversation(body: Mapping[str, Any]) -> str | None:
    given = body.get("conversation")
    return check_id("conversation", given.get("id") if isinstance(given, Mapping) else given)


def read_previous(body: Mapping[str, Any], conversation: str | None) -> str | None:
    """The request that a response answered."""
    given = check_id(PREVIOUS, body.get(PREVIOUS))
    if given is None:
        return None
    if conversation is not None:
        raise BadField(PREVIOUS, f"{PREVIOUS} and conversation both say where to go on: give one of them")
    if not given.startswith(PREFIX) or given == PREFIX:
        raise refuse_previous(f"There is no response {given}.")
    return given.removeprefix(PREFIX)


def read_format(given: Any, name: str) -> Mapping[str, Any] | None:
    """The JSON schema that the answer is to fit; None for text. Raises BadField for any other form.

    The Responses API puts name and schema beside the type, chat completions below `json_schema`.
    """
    form = given if isinstance(given, Mapping) else {"type": given}
    match form.get("type"):
        case None | "text":
            return None
        case "json_object":
            return {"type": "object"}
        case "json_schema":
            below = form.get("json_schema", form)
            schema = below.get("schema") if isinstance(below, Mapping) else None
            if not isinstance(schema, Mapping):
                raise BadField(name, f"{name} has no schema: give a JSON schema, an object")
            try:
                check_schema(schema)
            except InvalidRequest as error:
                raise BadField(name, f"{name}: {error}") from error
            return schema
        case kind:
            raise BadField(name, f"{name} is {kind!r}: answers are text, json_object or json_schema")
