"""What the analyst carries: bounded, whatever the thread has seen."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.models.scripted import ScriptedModel, delegates, says, together
from graph.budget import Limits, Memory
from graph.capsule import Told, fit_capsule, fold, take_in
from graph.types import Capsule
from graph.window import fit_window, length
from tests.graph.world import World, failed, ran


def test_the_capsule_remembers_what_was_asked_tried_and_found() -> None:
    world = World(ScriptedModel(delegates("a", instruction="Count"), says("Seven."), says("Yes.")), {"a": ran("7")})
    values = world.ask("How many?")
    capsule = values["capsule"]
    (artifact_id,) = values["delegations"]
    assert capsule.intent == "How many?"
    assert capsule.artifact_ids == (artifact_id,)
    assert capsule.tried == (f"{artifact_id} (Count) came to: stdout: 7",)
    assert "Answered: Seven." in capsule.findings[0]
    world.ask("Sure?")
    assert "Answered: Seven." in world.model.shown[-1][0].text


def test_what_the_model_sees_stays_bounded_however_long_the_thread() -> None:
    model = ScriptedModel.by(lambda messages: "word " * 200)
    world = World(model, memory=Memory(window_chars=5_000, capsule_entries=5))
    for number in range(30):
        world.ask(f"question {number} " + "why " * 100)
    sizes = [sum(len(message.text) for message in shown) for shown in model.shown]
    assert max(sizes) < 5_000 + 5_000
    assert sizes[-1] < sizes[-2] + 200


def test_a_turn_that_is_too_long_by_itself_has_its_older_results_shortened_and_every_call_keeps_its_answer() -> None:
    replies = [delegates(code) for code in "abcdef"]
    world = World(
        ScriptedModel(*replies, says("ok")), {code: ran(f"{code * 70}\n" * 40) for code in "abcdef"},
        memory=Memory(window_chars=8_000),
    )  # fmt: skip
    world.ask("go")
    shown = world.model.shown[-1][1:]
    assert length(shown) <= 8_000
    assert [m.type for m in shown].count("tool") == 6
    assert "shortened" in shown[2].text
    assert "shortened" not in shown[-1].text


def test_lists_keep_their_newest_entries_only() -> None:
    world = World(ScriptedModel.by(lambda messages: "ok"), memory=Memory(capsule_entries=3))
    for number in range(6):
        values = world.ask(f"q{number}")
    assert [finding[:8] for finding in values["capsule"].findings] == ["Asked: q", "Asked: q", "Asked: q"]
    assert "q5" in values["capsule"].findings[-1]


RULES = [
    "From now on give all amounts in thousands of euros.",
    "By an active vendor I mean one with an order in the last 90 days.",
    "My name is Ada.",
    "Our fiscal year starts in July.",
    "Always leave out cancelled orders.",
]


@pytest.mark.parametrize("rule", RULES)
def test_what_the_user_laid_down_is_carried_whole_however_many_turns_later(rule: str) -> None:
    world = World(ScriptedModel.by(lambda messages: "ok " * 300), memory=Memory(window_chars=3_000, capsule_entries=5))
    world.ask(f"How many orders are there? {rule}")
    for number in range(40):
        values = world.ask(f"And question {number}?")
    assert values["capsule"].constraints == (rule,)
    assert rule in world.model.shown[-1][0].text
    assert rule not in "".join(message.text for message in world.model.shown[-1][1:])


@settings(max_examples=80, deadline=None)
@given(st.lists(st.text("ab. !?\n", max_size=60), max_size=12), st.integers(40, 2_000))
def test_rules_stay_whole_and_within_their_share(words: list[str], window: int) -> None:
    capsule = Capsule()
    for number, said in enumerate(words):
        rule = f"Always use {number} {said.replace('.', '').replace('?', '').replace('!', '').split()}."
        capsule = fold(capsule, Told(f"{said}\n{rule}\nHow many?", "ok"), [], 3, window)
        assert sum(map(len, capsule.constraints)) <= window // 4
        assert len(capsule.constraints) == len(set(capsule.constraints))
        if len(rule) <= window // 4:
            assert capsule.constraints[-1] == rule
    assert sum(map(len, fit_capsule(capsule, 100).constraints)) <= 100


def test_a_model_keeps_what_the_words_of_leaving_turns_laid_down_and_is_asked_once_for_each() -> None:
    kept = (
        '```json\n{"constraints": ["Gross, not net."], "findings": ["North: 12"], "open_questions": [7], "x": 1}\n```'
    )
    reader = ScriptedModel.by(lambda messages: kept)
    world = World(
        ScriptedModel.by(lambda messages: "ok " * 200), sub_model=reader, memory=Memory(window_chars=2_000)
    )  # fmt: skip
    for number in range(12):
        values = world.ask(f"Gross figures please, number {number}?")
    assert values["capsule"].constraints == ("Gross, not net.",)
    assert "North: 12" in values["capsule"].findings
    told = [shown[-1].text for shown in reader.shown]
    assert all(sum(f"number {number}?" in text for text in told) <= 1 for number in range(12))
    assert "number 0?" in told[0]
    assert values["capsule"].folded == sum(text.count("human:") for text in told)


@pytest.mark.parametrize("reply", ["nothing", "{", "[]", '{"constraints": "no list"}', "{" * 5_000 + "}" * 5_000, ""])
def test_a_model_that_keeps_nothing_useful_does_no_harm(reply: str) -> None:
    before = Capsule(constraints=("Always net.",), findings=("a",))
    assert take_in(before, reply, 20, 8_000) == before


def test_what_was_tried_says_what_came_of_it() -> None:
    runs = {"a": ran("total 4711"), "bad": failed("KeyError: 'amount'", "Traceback\nKeyError: 'amount'")}
    script = ScriptedModel(
        delegates("a", instruction="Sum up"), delegates("bad"), delegates("DROP TABLE x"), says("4711")
    )
    first, second, third = World(script, runs).ask("go")["capsule"].tried
    assert "(Sum up) came to: stdout: total 4711" in first
    assert "failed: error: KeyError: 'amount'" in second
    assert "was refused: DROP TABLE destroys data" in third


def test_what_was_asked_and_not_finished_stays_open_until_it_is_asked_again() -> None:
    script = ScriptedModel(together(says("x"), delegates("a")), delegates("b"), says("1"), says("2"))
    world = World(script, {"a": ran("1")}, limits=Limits(max_iterations=1))
    assert "the iteration limit" in world.ask("How many?")["capsule"].open_questions[0]
    assert len(world.ask("What else?")["capsule"].open_questions) == 1
    assert world.ask("How many?")["capsule"].open_questions == ()


def test_the_capsule_says_what_the_thread_is_about() -> None:
    world = World(ScriptedModel(says("ok")))
    world.models = {"about": "sales.csv"}
    assert world.ask("go")["capsule"].data == "sales.csv"


def test_an_empty_thread_carries_nothing() -> None:
    assert fit_window([], 100) == []
    assert Capsule().tried == ()
