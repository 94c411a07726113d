"""What is read of a client's request, and how bad ones are refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request as HttpRequest

from agent.core import Request
from agent.serving.body import read_object
from agent.serving.errors import Refused
from agent.serving.responses import read_response_request
from graph.errors import InvalidRequest

HISTORY = [
    {"role": "user", "content": "How many vendors are there?"},
    {"type": "function_call", "call_id": "call_1", "name": "delegate_code_results", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "call_1", "output": "300"},
    {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "300."}]},
]


def asked(*items: Any, **fields: Any) -> Request:
    return read_response_request({"input": list(items), **fields}).request


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def test_of_a_resent_history_only_what_is_new_is_asked():
    assert asked(*HISTORY, user("And invoices?")).text == "And invoices?"


def test_several_new_messages_are_asked_together():
    assert asked(*HISTORY, user("And invoices?"), user("By month.")).text == "And invoices?\n\nBy month."


def test_instructions_of_the_client_are_not_mistaken_for_the_question():
    asked_with_a_system_message = asked({"role": "system", "content": "Be brief."}, user("Hello"))

    assert asked_with_a_system_message.text == "Hello"


def test_text_parts_are_read_as_lines():
    parts = [{"type": "input_text", "text": "How many"}, {"type": "input_text", "text": "vendors?"}]

    assert asked(user(parts)).text == "How many\nvendors?"


@pytest.mark.parametrize(
    ("fields", "thread"),
    [
        ({"custom_inputs": {"thread_id": "t1"}, "context": {"conversation_id": "c1"}}, "t1"),
        ({"context": {"conversation_id": "c1"}}, "c1"),
        ({"custom_inputs": {"thread_id": ""}, "context": {"conversation_id": "c1"}}, "c1"),
        ({"custom_inputs": {"thread_id": None}}, None),
        ({}, None),
    ],
)
def test_the_thread_is_the_clients_then_the_conversations_then_a_new_one(fields: dict[str, Any], thread: str | None):
    assert asked(user("Hi"), **fields).thread_id == thread


def test_user_request_id_and_state_are_taken_over():
    request = asked(
        user("Hi"),
        context={"user_id": "ada"},
        custom_inputs={"request_id": "ask-1", "state": {"user:region": "EU", "temp:x": 1}},
    )

    assert (request.user_id, request.request_id) == ("ada", "ask-1")
    assert request.state == {"user:region": "EU", "temp:x": 1}


def test_inputs_that_a_platform_adds_are_left_alone():
    assert asked(user("Hi"), custom_inputs={"databricks_options": {"return_trace": True}}).text == "Hi"


@pytest.mark.parametrize(
    ("items", "fields", "complaint"),
    [
        ([], {}, "no new user message"),
        ([user("  \n")], {}, "no new user message"),
        (HISTORY, {}, "no new user message"),
        ([user([{"type": "input_image", "image_url": "x"}])], {}, "input_image"),
        ([user([{"type": "input_file", "text": "x"}])], {}, "input_file"),
        ([user("Hi")], {"custom_inputs": {"thread_id": 7}}, "custom_inputs.thread_id"),
        ([user("Hi")], {"custom_inputs": {"thread_id": "t" * 201}}, "custom_inputs.thread_id"),
        ([user("Hi")], {"custom_inputs": {"thread_id": "a\0b"}}, "custom_inputs.thread_id"),
        ([user("Hi")], {"custom_inputs": {"request_id": ["r"]}}, "custom_inputs.request_id"),
        ([user("Hi")], {"custom_inputs": {"state": ["user:x"]}}, "custom_inputs.state"),
        ([user("Hi")], {"custom_inputs": {"state": {" ": 1}}}, "custom_inputs.state"),
        ([user("Hi")], {"custom_inputs": {"threadid": "t1"}}, "did you mean thread_id"),
        ([user("Hi")], {"context": {"conversation_id": "c\n"}}, "context.conversation_id"),
        ([user("Hi")], {"context": {"user_id": "u" * 300}}, "context.user_id"),
    ],
)
def test_a_bad_request_is_refused_with_the_field_to_change(items: list[Any], fields: dict[str, Any], complaint: str):
    with pytest.raises(InvalidRequest, match=complaint):
        asked(*items, **fields)


def test_history_and_instructions_are_told_apart_from_the_question() -> None:
    request = asked(
        {"role": "system", "content": "Be brief."}, *HISTORY, user("And invoices?"), instructions="In German."
    )

    assert [(message.type, message.text) for message in request.history] == [
        ("human", "How many vendors are there?"),
        ("ai", "300."),
    ]
    assert request.instructions == "In German.\n\nBe brief."


def test_a_body_is_waited_for_so_long() -> None:
    async def slow() -> dict[str, Any]:
        await asyncio.sleep(30)
        return {}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")]}
    with pytest.raises(Refused) as refused:
        asyncio.run(read_object(HttpRequest(scope, slow), patience=0.05))
    assert refused.value.status == 408
