"""The scripted model: what a test author relies on."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool

from agent.models.scripted import (
    ScriptedModel,
    ScriptEnded,
    calls,
    delegates,
    exits,
    fails,
    malformed,
    says,
    together,
)
from graph.blob import parse_blob
from graph.types import DELEGATE, EXIT_LOOP


@tool
def query_genie(query: str) -> str:
    """Ask."""
    return query


def streamed(model, *messages):
    merged = None
    for chunk in model.stream(list(messages) or [HumanMessage("go")]):
        merged = chunk if merged is None else merged + chunk
    return merged


def test_replies_come_in_order_and_the_messages_of_each_call_are_kept():
    model = ScriptedModel(says("one"), "two")
    assert model.invoke("a").text == "one"
    assert model.invoke([HumanMessage("a"), HumanMessage("b")]).text == "two"
    assert [[message.text for message in call] for call in model.shown] == [["a"], ["a", "b"]]
    assert model.remaining == 0


def test_a_script_that_runs_out_says_how_long_it_was_and_what_was_asked_last():
    model = ScriptedModel(says("only"))
    model.invoke("first")
    with pytest.raises(ScriptEnded, match=r"1 replies.*'second'"):
        model.invoke("second")


def test_an_instruction_and_code_become_one_blob_that_parses_back():
    for instruction in ("Quote the number", "mind the ''' inside", None):
        [call] = ScriptedModel(delegates("print(1)", instruction=instruction)).invoke("go").tool_calls
        blob = parse_blob(call["args"]["code"])
        assert (call["name"], blob.instruction, blob.code) == (DELEGATE, instruction, "print(1)")


@pytest.mark.parametrize("how", ["invoked", "streamed"])
def test_several_calls_in_one_reply_keep_their_order_and_have_ids_of_their_own(how):
    model = ScriptedModel(
        together(says("Both."), delegates("print(1)"), calls(("query_genie", {"query": "q"})), exits())
    )
    reply = model.invoke("go") if how == "invoked" else streamed(model)
    assert reply.text == "Both."
    assert [call["name"] for call in reply.tool_calls] == [DELEGATE, "query_genie", EXIT_LOOP]
    assert reply.tool_calls[1]["args"] == {"query": "q"}
    assert len({call["id"] for call in reply.tool_calls}) == 3


@pytest.mark.parametrize("arguments", ["{not json", "[1, 2]", "not json at all"])
def test_malformed_arguments_arrive_as_an_invalid_tool_call_with_the_text_as_written(arguments):
    reply = ScriptedModel(malformed(DELEGATE, arguments)).invoke("go")
    assert reply.tool_calls == []
    assert [(call["name"], call["args"]) for call in reply.invalid_tool_calls] == [(DELEGATE, arguments)]


def test_a_stream_carries_malformed_arguments_as_written_although_langchain_completes_them_when_it_merges():
    reply = streamed(ScriptedModel(malformed(DELEGATE, '{"code": "print(')))
    assert [chunk["args"] for chunk in reply.tool_call_chunks] == ['{"code": "print(']
    assert reply.tool_calls[0]["args"] == {"code": "print("}


def test_call_ids_differ_after_a_restart_with_a_new_script_on_the_same_thread_and_repeat_in_each_run():
    first = ScriptedModel(delegates("print(1)")).invoke("go")
    history = [HumanMessage("go"), first, ToolMessage("1", tool_call_id=first.tool_calls[0]["id"])]
    again = ScriptedModel(delegates("print(1)")).invoke(history)
    assert again.tool_calls[0]["id"] != first.tool_calls[0]["id"]
    assert ScriptedModel(delegates("print(1)")).invoke("go").tool_calls == first.tool_calls


def test_a_stream_gives_text_in_pieces_and_arguments_bit_by_bit():
    chunks = list(ScriptedModel(delegates("print('a long enough piece of code')", text="a few words")).stream("go"))
    assert [chunk.text for chunk in chunks if chunk.text] == ["a ", "few ", "words"]
    assert sum(bool(chunk.tool_call_chunks) for chunk in chunks) > 2
    assert all(isinstance(chunk, AIMessageChunk) for chunk in chunks)


def test_streamed_and_invoked_replies_are_equal_in_text_calls_and_usage():
    reply = together(says("text\nof two lines  "), delegates("x = 1"))
    whole, parts = ScriptedModel(reply).invoke("go"), streamed(ScriptedModel(reply))
    assert (whole.text, whole.tool_calls, whole.usage_metadata) == (parts.text, parts.tool_calls, parts.usage_metadata)


def test_usage_counts_four_characters_as_a_token_unless_the_script_says_otherwise():
    model = ScriptedModel(says("12345678"), says("x", usage=(100, 7)))
    assert model.invoke("1234").usage_metadata == {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    assert model.invoke("1234").usage_metadata["total_tokens"] == 107


def test_a_failure_is_raised_and_the_script_goes_on_after_it():
    model = ScriptedModel(fails(ConnectionError), fails(ValueError("no")), says("back"))
    with pytest.raises(ConnectionError):
        model.invoke("go")
    with pytest.raises(ValueError, match="no"):
        streamed(model)
    assert model.invoke("go").text == "back"


def test_a_stream_can_break_after_its_first_words():
    stream = ScriptedModel(fails(ConnectionError, after="so far")).stream("go")
    assert [next(stream).text, next(stream).text] == ["so ", "far"]
    with pytest.raises(ConnectionError):
        next(stream)


def test_the_tools_bound_to_it_are_recorded():
    model = ScriptedModel(says("a"), says("b"))
    model.bind_tools([query_genie], tool_choice="auto").invoke("go")
    model.invoke("go")
    assert model.offered == [["query_genie"], []]


def test_a_function_answers_by_what_it_is_shown_and_never_runs_out():
    model = ScriptedModel.by(lambda messages: says(messages[-1].text.upper()))
    assert [model.invoke(word).text for word in ("a", "b", "c")] == ["A", "B", "C"]


def test_a_function_can_be_one_step_of_a_script():
    model = ScriptedModel(says("a"), lambda messages: f"saw {len(messages)}")
    assert [model.invoke("x").text for _ in range(2)] == ["a", "saw 1"]


def test_calls_at_the_same_time_each_take_one_step_and_overlap():
    model = ScriptedModel(*(says(str(number)) for number in range(8)), latency=0.2)
    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda _: model.invoke("go").text, range(8)))
    assert sorted(said) == [str(number) for number in range(8)]
    assert time.monotonic() - started < 1.2
    assert threading.active_count() < 20


async def run_async(model):
    return (await model.ainvoke("go")).text, [chunk.text async for chunk in model.astream("go")]


def test_it_works_asynchronously_too():
    import asyncio

    text, heard = asyncio.run(run_async(ScriptedModel(says("one"), says("two words"))))
    assert (text, "".join(heard)) == ("one", "two words")
