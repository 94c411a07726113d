"""What a Responses client is told of a turn, from recorded turns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mlflow.types.responses import ResponsesAgentResponse, ResponsesAgentStreamEvent

from agent.serving.transcript import Transcript
from graph.events import CallStarted, Event, Token
from tests.serving.turns import PLAIN, STARTED, STILL_RUNNING, TWO_AT_ONCE, ended


def told(events: Sequence[Event]) -> list[dict[str, Any]]:
    turn = Transcript(created_at=1.0)
    fields = [shown for event in events for shown in turn.take(event)]
    return [ResponsesAgentStreamEvent(**one).model_dump(exclude_none=True) for one in fields]


def answer(events: Sequence[Event]) -> dict[str, Any]:
    return ResponsesAgentResponse(**told(events)[-1]["response"]).model_dump(exclude_none=True)


def texts(response: dict[str, Any]) -> list[str]:
    return [item["content"][0]["text"] for item in response["output"] if item["type"] == "message"]


def done(events: Sequence[Event]) -> list[dict[str, Any]]:
    return [event["item"] for event in told(events) if event["type"] == "response.output_item.done"]


def test_text_arrives_piece_by_piece_between_a_created_and_a_completed_response():
    kinds = [event["type"].removeprefix("response.") for event in told(PLAIN)]

    assert kinds == [
        "created",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert "".join(event["delta"] for event in told(PLAIN) if "delta" in event) == "Good day."


def test_a_stream_and_a_response_of_the_same_turn_have_the_same_items():
    for events in (PLAIN, TWO_AT_ONCE, STILL_RUNNING):
        assert done(events) == answer(events)["output"] == told(events)[-1]["response"]["output"]


def test_every_event_is_numbered_in_order_and_names_the_thread_and_the_request():
    events = told(TWO_AT_ONCE)

    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert all(event["custom_outputs"]["thread_id"] == "thread-1" for event in events)
    assert all(event["custom_outputs"]["request_id"] == "ask-1" for event in events)


def test_ids_are_stable_so_that_a_request_asked_again_has_the_same_ones():
    first, again = answer(TWO_AT_ONCE), answer(TWO_AT_ONCE)

    assert first == again
    assert first["id"] == "resp_ask-1"
    ids = [item["id"] for item in first["output"]]
    assert len(set(ids)) == len(ids)


def test_deltas_belong_to_the_item_that_is_added_before_and_done_after_them():
    open_item: str | None = None
    for event in told(TWO_AT_ONCE):
        match event["type"]:
            case "response.output_item.added":
                assert open_item is None
                open_item = event["item"]["id"]
                place = event["output_index"]
            case "response.output_text.delta":
                assert event["item_id"] == open_item
            case "response.output_item.done":
                assert (event["item"]["id"], event["output_index"]) == (open_item, place)
                open_item = None


def test_calls_stages_and_answers_are_items_in_the_order_in_which_they_happened():
    output = answer(TWO_AT_ONCE)["output"]

    assert [item["type"] for item in output[:3]] == ["message", "function_call", "function_call"]
    assert json.loads(output[1]["arguments"]) == {"code": "print(1)"}
    notes = [item["summary"][0]["text"] for item in output if item["type"] == "reasoning"]
    assert notes == [
        "art_1: delegated, pending",
        "art_2: delegated, pending",
        "art_2: executed, executing",
        "art_1: executed, executing",
        "art_1: executed, failed\nNameError: x",
        "art_2: executed, completed",
        "art_2: read 3 of 3 chunks",
        "art_2: processed, consumed",
    ]
    answers = {item["call_id"]: item["output"] for item in output if item["type"] == "function_call_output"}
    assert answers == {"call_1": "NameError: x", "call_2": "It printed 2."}


def test_stages_and_chunks_are_also_told_as_fields_for_programs():
    noted = [event["custom_outputs"] for event in told(TWO_AT_ONCE)]

    assert [n["stage"]["status"] for n in noted if n.get("stage", {}).get("artifact_id") == "art_1"] == [
        "pending",
        "executing",
        "failed",
    ]
    assert [n["chunks"]["done"] for n in noted if "chunks" in n] == [1, 2, 3]


def test_the_end_says_how_it_ended_what_it_cost_and_what_it_left():
    response = answer(TWO_AT_ONCE)

    assert response["status"] == "completed"
    assert response["usage"]["total_tokens"] == 150
    custom = response["custom_outputs"]
    assert custom["status"] == "success"
    assert custom["end"] == "answer"
    assert custom["delegation_count"] == 2
    assert custom["artifact_ids"] == ["art_1", "art_2"]
    assert custom["usage"] == {"input_tokens": 120, "output_tokens": 30, "cost_usd": 0.002, "calls": 2}
    assert custom["running"] == []


def test_runs_that_go_on_after_the_turn_are_named():
    custom = answer(STILL_RUNNING)["custom_outputs"]

    assert custom["end"] == "run_running"
    assert custom["running"] == [{"artifact_id": "art_1", "run_id": "run_1"}]


def test_an_answer_that_was_not_streamed_comes_whole():
    events = [STARTED, ended("The answer that was given before.")]

    assert texts(answer(events)) == ["The answer that was given before."]
    assert [event["delta"] for event in told(events) if "delta" in event] == ["The answer that was given before."]


def test_what_was_streamed_is_not_said_twice():
    said_with_the_call = [STARTED, Token("Bye."), CallStarted("call_1", "exit_loop", {}), ended("Bye.", "exit_loop")]

    assert texts(answer(said_with_the_call)) == ["Bye."]
    assert texts(answer([STARTED, Token("Half"), ended("Half and half")])) == ["Half and half"]
    assert texts(answer([STARTED, Token("Well \n"), ended("Well")])) == ["Well \n"]


def test_a_forced_answer_follows_what_was_being_written_as_a_message_of_its_own():
    events = [STARTED, Token("I am still"), ended("Best so far: 3.", "time", missing="the time limit")]

    response = answer(events)

    assert texts(response) == ["I am still", "Best so far: 3."]
    assert response["status"] == "incomplete"
    assert response["custom_outputs"]["missing"] == "the time limit"
    assert told(events)[-1]["type"] == "response.incomplete"


def test_a_fatal_error_is_a_failed_response_with_its_reason_in_sight():
    events = [STARTED, ended("", "error", status="fatal_error", fatal_error_msg="no model answered: set base_model")]

    response = answer(events)

    assert response["status"] == "failed"
    assert response["error"] == {"code": "error", "message": "no model answered: set base_model"}
    assert texts(response) == ["no model answered: set base_model"]
    assert told(events)[-1]["type"] == "response.failed"


def test_arguments_that_are_no_json_are_shown_as_text():
    class Odd:
        def __str__(self) -> str:
            return "odd"

    output = answer([STARTED, CallStarted("call_1", "query_genie", {"query": Odd()}), ended("")])["output"]

    assert json.loads(output[0]["arguments"]) == {"query": "odd"}
