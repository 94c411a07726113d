"""Only a whole reply is an answer: what models break, in whichever way, and what comes of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from agent.models.scripted import (
    Reply,
    ScriptedModel,
    calls,
    cuts,
    delegates,
    exits,
    fails,
    malformed,
    says,
    together,
)
from graph.budget import Limits, Memory
from graph.context import Model
from graph.errors import BrokenOff, TooLong, Withheld
from graph.events import Token
from graph.replying import GO_ON
from graph.window import presentable
from tests.graph.world import World, declare, ran


@pytest.mark.parametrize("finish", ["length", "max_tokens", "MAX_TOKENS", "lengthlength", "content_filter", "SAFETY"])
def test_a_reply_that_was_cut_is_gone_on_with_where_it_stopped(finish: str) -> None:
    world = World(ScriptedModel(cuts("The total is 4", finish), says("2,317 euros.")))
    values = world.ask("total?")
    assert values["messages"][-1].text == "The total is 42,317 euros."
    assert values["turn"].end == "answer"
    assert "".join(event.text for event in world.events if isinstance(event, Token)) == "The total is 42,317 euros."
    assert [message.text for message in world.model.shown[1][-2:]] == ["The total is 4", GO_ON]
    assert [message.type for message in values["messages"]] == ["human", "ai"]


def test_a_stream_that_broke_after_its_first_words_is_gone_on_with() -> None:
    world = World(ScriptedModel(fails(BrokenOff("away"), after="It is "), says("7.")))
    assert world.ask("go")["messages"][-1].text == "It is 7."


@pytest.mark.parametrize(
    "nothing",
    [says(""), says("  \n"), fails(BrokenOff("away")), replace(malformed("look", '{"a'), error=BrokenOff("away"))],
    ids=["empty", "blank", "lost", "lost within a call"],
)
def test_a_reply_of_nothing_is_asked_again(nothing: Reply) -> None:
    world = World(ScriptedModel(nothing, says("Seven.")))
    values = world.ask("go")
    assert (values["messages"][-1].text, values["turn"].end) == ("Seven.", "answer")
    assert world.model.shown[0] == world.model.shown[1]


def test_a_reply_that_stays_empty_forces_the_end_and_says_so() -> None:
    world = World(ScriptedModel(delegates("a"), says(""), says("")), {"a": ran("7")})
    values = world.ask("go")
    assert values["turn"].end == "truncated"
    assert "empty reply" in values["turn"].missing
    assert "stdout: 7" in values["messages"][-1].text


def test_a_reply_that_stays_cut_is_no_success_and_says_so_itself() -> None:
    world = World(ScriptedModel(*[cuts("word ")] * 4))
    values = world.ask("go")
    assert values["turn"].end == "truncated"
    assert values["messages"][-1].text.startswith("word word word word")
    assert "incomplete: the model's reply reached its length limit" in values["messages"][-1].text


def test_what_was_said_is_kept_when_going_on_fails() -> None:
    world = World(ScriptedModel(cuts("The first half"), fails(Withheld("blocked"))))
    values = world.ask("go")
    assert values["turn"].end == "truncated"
    assert "The first half" in values["messages"][-1].text


def test_code_that_was_cut_is_not_run_and_the_model_is_told_why() -> None:
    cut = replace(malformed("delegate_code_results", '{"code": "a'), marks={"finish_reason": "length"})
    world = World(ScriptedModel(cut, delegates("a"), says("ok")), {"a": ran("1")})
    world.ask("go")
    assert "broke off before these arguments ended" in world.model.shown[1][-1].text
    assert world.backend.started == ["a"]


def test_too_long_a_context_shrinks_the_window_and_the_next_turns_go_on() -> None:
    def small(messages: list) -> Reply:
        shown = sum(len(message.text) for message in messages)
        return fails(TooLong("4k only")) if shown > 4_000 else says(f"short {len(messages)}")

    world = World(ScriptedModel.by(small), memory=Memory(window_chars=20_000))
    for number in range(12):
        values = world.ask(f"question {number} " + "why " * 150)
        assert values["turn"].end == "answer"
    assert "question 11" in world.model.shown[-1][-1].text


def test_what_stays_too_long_for_one_model_is_asked_of_the_next() -> None:
    world = World(ScriptedModel.by(lambda messages: fails(TooLong("too long"))))
    large = ScriptedModel.by(lambda messages: says("I read it all."))
    base = world.context().base_model
    world.models = {"base_model": replace(base, fallback=Model(large, "large"))}
    assert world.ask("long")["messages"][-1].text == "I read it all."


def test_a_blocked_question_does_not_travel_along_with_the_next_one() -> None:
    def picky(messages: list) -> Reply:
        return fails(Withheld("no")) if any("bomb" in message.text for message in messages) else says("fine")

    world = World(ScriptedModel.by(picky))
    assert world.ask("hello")["turn"].end == "answer"
    blocked = world.ask("how do I build a bomb?")
    assert (blocked["turn"].end, "did not let the question pass" in blocked["messages"][-1].text) == ("blocked", True)
    assert world.ask("and a cake?")["turn"].end == "answer"
    assert [m.text for m in world.model.shown[-1][1:]] == ["hello", "fine", "and a cake?"]
    assert [m.text for m in blocked["messages"] if isinstance(m, HumanMessage)][-1] == "how do I build a bomb?"


def test_a_question_that_is_blocked_because_of_earlier_turns_is_asked_without_them() -> None:
    def picky(messages: list) -> Reply:
        return fails(Withheld("no")) if len(messages) > 2 else says(f"fine {len(messages)}")

    world = World(ScriptedModel.by(picky))
    world.ask("one")
    assert world.ask("two")["messages"][-1].text == "fine 2"


@pytest.mark.parametrize(
    "broken", ['{"code": "print(1)', "not json", "[1]", "", '{"a": 1} trailing', "\ud800", "[" * 9_999]
)
def test_malformed_arguments_are_not_replayed_as_they_were(broken: str) -> None:
    world = World(ScriptedModel(malformed("look at", broken), says("ok"), says("still ok")), tools=())
    world.ask("go")
    world.ask("again")
    for shown in world.model.shown[1:]:
        for message in shown:
            if isinstance(message, AIMessage):
                assert message.invalid_tool_calls == []
                assert all(isinstance(call["args"], dict) for call in message.tool_calls)
                assert all(call["name"] == "look_at" for call in message.tool_calls)
                json.dumps([call["args"] for call in message.tool_calls])


def test_a_call_that_is_quoted_keeps_its_answer_and_loses_what_providers_kept_of_it() -> None:
    raw = AIMessage(
        "", additional_kwargs={"tool_calls": [{"function": {"arguments": "{"}}]},
        invalid_tool_calls=[{"name": None, "args": "{", "id": "c1", "error": "x", "type": "invalid_tool_call"}],
    )  # fmt: skip
    shown = presentable(raw)
    assert shown.tool_calls[0] | {"type": ""} == {"name": "unnamed", "args": {"malformed": "{"}, "id": "c1", "type": ""}
    assert shown.additional_kwargs == {}
    assert raw.invalid_tool_calls, "what is saved stays what was said"


def test_a_model_that_says_that_it_can_not_answer_is_believed() -> None:
    unable = Reply(text="I don't understand.", marks={"unanswered": True})
    values = World(ScriptedModel(unable)).ask("go")
    assert (values["turn"].end, values["messages"][-1].text) == ("unanswered", "I don't understand.")


def test_a_job_beside_other_calls_ends_the_turn_after_one_closing_reply() -> None:
    job = declare("start_job", lambda: "Job started. Run ID: 7", direct=True)
    genie = declare("query_genie", lambda query: "Rows: 12")
    reply = together(delegates("a"), calls(("query_genie", {"query": "x"}), ("start_job", {})))
    world = World(ScriptedModel(reply, says("12 rows, 5 lines; job 7 runs.")), {"a": ran("5")}, tools=(job, genie))
    values = world.ask("go")
    assert (values["turn"].end, values["messages"][-1].text) == ("job_started", "12 rows, 5 lines; job 7 runs.")
    assert "the turn ends with this reply" in world.model.shown[1][0].text
    assert {message.text for message in world.model.shown[1] if isinstance(message, ToolMessage)} >= {"Rows: 12"}


def test_a_closing_reply_that_calls_again_starts_nothing_and_ends_with_what_there_is() -> None:
    job = declare("start_job", lambda: "Job started. Run ID: 7", direct=True)
    reply = together(delegates("a"), calls(("start_job", {})))
    world = World(ScriptedModel(reply, delegates("b")), {"a": ran("5"), "b": ran("6")}, tools=(job,))
    values = world.ask("go")
    assert values["turn"].end == "job_started"
    assert "Run ID: 7" in values["messages"][-1].text
    assert "stdout: 5" in values["messages"][-1].text
    assert world.backend.started == ["a"]


def test_the_best_so_far_is_what_was_found_and_not_what_was_announced() -> None:
    script = [together(says("Let me look further."), delegates(code)) for code in "ab"]
    world = World(ScriptedModel(*script), {"a": ran("42 rows")}, limits=Limits(max_iterations=1))
    text = world.ask("go")["messages"][-1].text
    assert "42 rows" in text
    assert "Let me look further" not in text


def test_the_last_reply_is_announced_to_the_model() -> None:
    world = World(ScriptedModel(delegates("a"), says("1")), {"a": ran("1")}, limits=Limits(max_iterations=1))
    world.ask("go")
    assert "last reply" not in world.model.shown[0][0].text
    assert "This is your last reply in this turn" in world.model.shown[1][0].text


@pytest.mark.parametrize("wait", [lambda world: None, lambda world: world.cancelled.set()], ids=["time", "cancelled"])
def test_a_model_and_a_tool_that_keep_silent_are_waited_for_until_the_turn_is_over(wait: Callable) -> None:
    began = time.monotonic()
    for script, tools in (
        (ScriptedModel.by(lambda messages: "late", latency=5.0), ()),
        (ScriptedModel(calls(("slow", {})), says("x")), (declare("slow", lambda: time.sleep(5) or "late"),)),
    ):
        world = World(script, tools=tools)
        world.later(0.15, wait)
        values = world.ask("go", until=0.3)
        assert values["turn"].end in ("time", "cancelled")
        assert isinstance(values["messages"][-1], AIMessage)
    assert time.monotonic() - began < 3.0


def test_exit_loop_beside_other_calls_ends_at_once() -> None:
    world = World(ScriptedModel(together(says("Bye."), delegates("a"), exits())), {"a": ran("1")})
    values = world.ask("go")
    assert (values["turn"].end, values["messages"][-1].text) == ("exit_loop", "Bye.")
