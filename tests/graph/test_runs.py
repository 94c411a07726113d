"""Runs that outlive a request, requests that are cancelled, and threads that are picked up after a crash."""

from __future__ import annotations

import threading

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from agent.models.scripted import ScriptedModel, delegates, says, together
from graph.events import StageReached
from tests.graph.world import World, ran


class Slow:
    """A run that ends when it is told to."""

    def __init__(self, stdout: str = "done\n") -> None:
        self.over = threading.Event()
        self.stdout = stdout

    def __call__(self):
        return ran(self.stdout) if self.over.is_set() else None


def test_a_run_that_outlives_the_deadline_is_answered_and_the_turn_ends() -> None:
    slow = Slow()
    world = World(ScriptedModel(delegates("a")), {"a": slow})
    values = world.ask("go", deadline=0.05)
    assert values["turn"].end == "run_running"
    assert "is still running" in values["messages"][-1].text
    (answer,) = [m for m in values["messages"] if isinstance(m, ToolMessage)]
    assert answer.text.startswith("run run_")
    (delegation,) = values["delegations"].values()
    assert delegation.running


def test_the_next_turn_looks_at_the_run_first_and_its_digest_reaches_the_analyst_as_a_new_message() -> None:
    slow = Slow("42\n")
    world = World(ScriptedModel(delegates("a"), says("It was 42.")), {"a": slow})
    world.ask("go", deadline=0.05)
    slow.over.set()
    values = world.ask("well?", deadline=0.05)
    assert values["messages"][-1].text == "It was 42."
    late = world.model.shown[-1][-1]
    assert isinstance(late, HumanMessage)
    assert "stdout:\n42" in late.text
    assert world.backend.started == ["a"]
    assert world.stages()[-1] == ("processed", "consumed")
    kinds = [type(m) for m in values["messages"]]
    assert kinds == [HumanMessage, AIMessage, ToolMessage, AIMessage, HumanMessage, HumanMessage, AIMessage]


def test_a_run_that_still_runs_in_the_next_turn_is_looked_at_once_and_the_analyst_goes_on() -> None:
    world = World(ScriptedModel(delegates("a"), says("Patience.")), {"a": Slow()})
    world.ask("go", deadline=0.05)
    values = world.ask("well?", deadline=60)
    assert values["messages"][-1].text == "Patience."
    assert "is running" in world.shown()
    assert next(iter(values["delegations"].values())).running


def test_one_slow_run_does_not_hold_back_the_digest_of_a_quick_one() -> None:
    slow = Slow()
    world = World(ScriptedModel(together(delegates("a"), delegates("b")), says("both")), {"a": slow, "b": ran("2")})
    world.ask("go", deadline=0.05)
    slow.over.set()
    values = world.ask("and?")
    assert values["messages"][-1].text == "both"
    assert sorted(world.backend.started) == ["a", "b"]


def test_cancelling_reaches_the_running_code_and_leaves_a_valid_history() -> None:
    world = World(ScriptedModel(delegates("a"), says("fresh start")), {"a": Slow()})
    canceller = threading.Timer(0.1, world.cancelled.set)
    canceller.start()
    values = world.ask("go")
    assert values["turn"].end == "cancelled"
    assert len(world.backend.cancelled) == 1
    assert isinstance(values["messages"][2], ToolMessage)
    world.cancelled.clear()
    assert world.ask("again")["messages"][-1].text == "fresh start"


def test_cancelling_while_the_model_replies_ends_the_turn() -> None:
    world = World(ScriptedModel(says("a b c d")))
    world.cancelled.clear()

    def stop(event) -> None:
        world.cancelled.set()

    world.events = type("Listener", (list,), {"append": lambda self, event: stop(event)})()
    values = world.ask("go")
    assert values["turn"].end == "cancelled"


def test_every_stage_is_announced_with_its_run() -> None:
    world = World(ScriptedModel(delegates("a"), says("ok")), {"a": ran("1")})
    world.ask("go")
    runs = [e.run_id for e in world.events if isinstance(e, StageReached)]
    assert runs[0] is None
    assert all(runs[1:])
