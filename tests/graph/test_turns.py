"""How a turn goes: what the analyst is shown, which nodes run, how it ends."""

from __future__ import annotations

import threading

import pytest
from langchain_core.messages import AIMessage, ToolMessage

from agent.models.scripted import ScriptedModel, calls, delegates, exits, malformed, says, together
from graph.budget import Limits
from graph.errors import BackendUnavailable
from graph.events import CallAnswered, Token
from tests.graph.world import World, declare, failed, ran


def test_a_small_question_gets_a_plain_answer_without_any_code() -> None:
    world = World(ScriptedModel(says("Hello.")))
    values = world.ask("hi")
    assert values["messages"][-1].text == "Hello."
    assert values["turn"].end == "answer"
    assert world.path() == ["analyst"]


def test_a_delegation_goes_through_its_three_stages_and_its_output_reaches_the_analyst() -> None:
    world = World(ScriptedModel(delegates("six"), says("It is 42.")), {"six": ran("42\n")})
    values = world.ask("six times seven?")
    assert world.path() == ["analyst", "delegation", "analyst"]
    assert world.stages() == [
        ("delegated", "pending"),
        ("executed", "executing"),
        ("executed", "completed"),
        ("processed", "consumed"),
    ]
    assert "stdout:\n42" in world.shown()
    (artifact_id,) = values["delegations"]
    assert world.records.statuses[artifact_id] == ["pending", "executing", "completed", "consumed"]
    assert values["turn"].artifact_ids == (artifact_id,)


def test_all_calls_of_a_reply_run_at_the_same_time() -> None:
    barrier = threading.Barrier(3, timeout=5)

    def meets() -> object:
        barrier.wait()
        return ran("met")

    tool = declare("query_genie", lambda query: str(barrier.wait() >= 0))
    reply = together(delegates("a"), delegates("b"), calls(("query_genie", {"query": "x"})))
    world = World(ScriptedModel(reply, says("done")), {"a": meets, "b": meets}, tools=(tool,))
    values = world.ask("go")
    assert sorted(world.path()) == ["analyst", "analyst", "delegation", "delegation", "tools"]
    assert sum(isinstance(message, ToolMessage) for message in values["messages"]) == 3
    assert [d.iteration for d in values["delegations"].values()] == [1, 2]


def test_a_rejected_delegation_goes_back_with_its_reason() -> None:
    world = World(ScriptedModel(delegates("DROP TABLE x"), says("sorry")))
    world.ask("drop it")
    assert world.path() == ["analyst", "delegation", "analyst"]
    assert world.stages() == [("delegated", "failed")]
    assert "SAFETY_BLOCK" in world.shown()
    assert "write elsewhere" in world.shown()
    assert world.backend.started == []


def test_failed_code_comes_back_with_its_traceback_and_is_repaired() -> None:
    runs = {"bad": failed("NameError: x", 'File "code.py", line 1\nNameError: x'), "good": ran("ok")}
    world = World(ScriptedModel(delegates("bad"), delegates("good"), says("ok")), runs)
    values = world.ask("go")
    assert "NameError: x" in str(world.model.shown[1][-1].content)
    assert world.backend.started == ["bad", "good"]
    assert values["turn"].delegations == 2


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (malformed("delegate_code_results", "{not json"), "malformed"),
        (calls(("delegate", {"code": "x"})), "There is no tool 'delegate'"),
        (calls(("delegate_code_results", {})), "`code` is missing"),
        (calls(("delegate_code_results", {"code": ""})), "EMPTY_CODE"),
        (calls(("add", {"a": "x"})), "validation error"),
    ],
)
def test_a_call_that_makes_no_sense_is_answered_so_that_the_model_can_correct_itself(reply, reason) -> None:
    tool = declare("add", lambda a: str(a))
    tool.handle_validation_error = True
    tool.args_schema.model_fields["a"].annotation = int
    tool.args_schema.model_rebuild(force=True)
    world = World(ScriptedModel(reply, says("I see.")), tools=(tool,))
    values = world.ask("go")
    assert reason.lower() in world.shown().lower()
    assert_every_call_is_answered(values["messages"])


def test_malformed_calls_beside_good_ones_do_not_hold_those_up() -> None:
    reply = together(delegates("a"), malformed("delegate_code_results", "oops"))
    world = World(ScriptedModel(reply, says("done")), {"a": ran("fine")})
    values = world.ask("go")
    assert world.backend.started == ["a"]
    assert_every_call_is_answered(values["messages"])


def test_after_three_repairs_the_turn_ends_and_says_why() -> None:
    world = World(ScriptedModel(*[malformed("delegate_code_results", "{")] * 4))
    values = world.ask("go")
    assert values["turn"].end == "repairs"
    assert "malformed" in values["messages"][-1].text


def test_a_tool_that_breaks_answers_with_its_error() -> None:
    def breaks(query: str) -> str:
        raise ConnectionError("the space is away")

    world = World(ScriptedModel(calls(("genie", {"query": "x"})), says("hm")), tools=(declare("genie", breaks),))
    world.ask("go")
    assert "ConnectionError: the space is away" in world.shown()
    assert [e.ok for e in world.events if isinstance(e, CallAnswered)] == [False]


def test_exit_loop_ends_the_turn_with_the_words_said_before_it() -> None:
    world = World(ScriptedModel(together(says("All is well."), exits())))
    values = world.ask("go")
    assert values["turn"].end == "exit_loop"
    assert values["messages"][-1].text == "All is well."


def test_a_started_job_ends_the_turn_and_the_next_turn_may_poll_it() -> None:
    start = declare("start_job", lambda: "Job started. Run ID: 7", direct=True)
    poll = declare("poll_job", lambda: "SUCCESS")
    world = World(ScriptedModel(calls(("start_job", {})), calls(("poll_job", {})), says("done")), tools=(start, poll))
    first = world.ask("start it")
    assert (first["turn"].end, first["messages"][-1].text) == ("job_started", "Job started. Run ID: 7")
    second = world.ask("and now?")
    assert second["messages"][-1].text == "done"
    assert world.shown() == "SUCCESS"


def test_the_last_round_may_still_answer_and_a_further_call_ends_the_turn_with_the_best_so_far() -> None:
    limits = Limits(max_iterations=1)
    world = World(ScriptedModel(delegates("a"), says("It is one.")), {"a": ran("1")}, limits=limits)
    assert world.ask("go")["turn"].end == "answer"
    world = World(ScriptedModel(delegates("a"), delegates("b")), {"a": ran("1")}, limits=limits)
    values = world.ask("go")
    assert values["turn"].end == "max_iterations"
    assert "limits.max_iterations" in values["turn"].missing
    assert "stdout: 1" in values["messages"][-1].text
    assert_every_call_is_answered(values["messages"])


def test_the_same_code_with_the_same_outcome_again_is_stagnation() -> None:
    world = World(ScriptedModel(*[delegates("a")] * 5), {"a": ran("1")})
    values = world.ask("go")
    assert values["turn"].end == "stagnation"
    assert len(world.backend.started) == 2


def test_equal_code_in_one_reply_is_not_stagnation_and_runs_twice() -> None:
    world = World(ScriptedModel(together(delegates("a"), delegates("a")), says("x")), {"a": ran("1")})
    assert world.ask("go")["turn"].end == "answer"
    assert world.backend.started == ["a", "a"]


def test_a_spent_budget_ends_the_turn_before_the_next_call() -> None:
    limits = Limits(max_tokens=500)
    model = ScriptedModel(says("x", usage=(100, 100)), delegates("a"))
    world = World(model, limits=limits)
    world.ask("one")
    model = ScriptedModel(together(delegates("a")), says("never"))
    world = World(model, {"a": ran("word " * 200)}, limits=Limits(max_tokens=40))
    values = world.ask("go")
    assert values["turn"].end == "budget"
    assert "limits.max_tokens" in values["messages"][-1].text


def test_a_turn_past_its_time_gives_the_best_so_far() -> None:
    world = World(ScriptedModel(delegates("a"), says("late")), {"a": ran("1")})
    values = world.ask("go", until=0.0)
    assert values["turn"].end == "time"


def test_more_delegations_than_a_turn_may_have_are_refused_with_the_limit() -> None:
    reply = together(*[delegates(code) for code in "abc"])
    runs = {code: ran(code) for code in "abc"}
    world = World(ScriptedModel(reply, says("ok")), runs, limits=Limits(max_delegations=2))
    values = world.ask("go")
    assert sorted(world.backend.started) == ["a", "b"], "those within the limit run"
    assert "at most 2" in world.shown()
    assert_every_call_is_answered(values["messages"])


def test_the_answer_is_streamed_word_by_word() -> None:
    world = World(ScriptedModel(says("one two three")))
    world.ask("go")
    assert "".join(e.text for e in world.events if isinstance(e, Token)) == "one two three"


def test_an_unreachable_backend_is_tried_again() -> None:
    world = World(ScriptedModel(delegates("a"), says("ok")), {"a": ran("1")})
    world.backend.unreachable = 1
    assert world.ask("go")["turn"].end == "answer"


def test_a_backend_that_stays_away_stops_the_turn_and_a_resume_finishes_it_without_running_anything_twice() -> None:
    world = World(ScriptedModel(together(delegates("a"), delegates("b")), says("ok")), {"a": ran("1"), "b": ran("2")})
    world.backend.unreachable = 6
    with pytest.raises(BackendUnavailable):
        world.ask("go")
    world.backend.unreachable = 0
    values = world.resume()
    assert values["turn"].end == "answer"
    assert sorted(world.backend.started) == ["a", "b"]
    assert_every_call_is_answered(values["messages"])


def test_what_failed_is_no_partial_answer() -> None:
    world = World(ScriptedModel(*[delegates("bad")] * 3), {"bad": failed("NameError: x")})
    values = world.ask("go")
    assert values["turn"].end == "stagnation"
    assert "NameError" not in values["messages"][-1].text
    assert "no partial answer yet" in values["messages"][-1].text


def assert_every_call_is_answered(messages: list) -> None:
    asked = [
        call["id"] for m in messages if isinstance(m, AIMessage) for call in [*m.tool_calls, *m.invalid_tool_calls]
    ]
    told = [message.tool_call_id for message in messages if isinstance(message, ToolMessage)]
    assert sorted(asked) == sorted(told)
