"""What the analyst carries: bounded, whatever the thread has seen."""

from __future__ import annotations

from agent.models.scripted import ScriptedModel, delegates, says
from graph.budget import Memory
from graph.capsule import fit_window, length
from graph.types import Capsule
from tests.graph.world import World, ran


def test_the_capsule_remembers_what_was_asked_tried_and_found() -> None:
    world = World(ScriptedModel(delegates("a", instruction="Count"), says("Seven."), says("Yes.")), {"a": ran("7")})
    values = world.ask("How many?")
    capsule = values["capsule"]
    (artifact_id,) = values["delegations"]
    assert capsule.intent == "How many?"
    assert capsule.artifact_ids == (artifact_id,)
    assert "Count" in capsule.tried[0]
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


def test_an_empty_thread_carries_nothing() -> None:
    assert fit_window([], 100) == []
    assert Capsule().tried == ()
