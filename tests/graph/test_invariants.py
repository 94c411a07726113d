"""Whatever the model does, in whatever order: what must hold at the end of every turn."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from agent.models.scripted import Reply, ScriptedModel, calls, delegates, exits, malformed, says, together
from graph.budget import Limits
from graph.events import StageReached
from tests.graph.world import World, declare, failed, ran

RUNS = {"good": ran("1"), "bad": failed("ValueError: x"), "long": ran("line\n" * 400), "slow": lambda: None}

steps = st.sampled_from(
    [
        delegates("good"),
        delegates("bad"),
        delegates("long", instruction="Count"),
        delegates("slow"),
        delegates("DROP TABLE x"),
        calls(("delegate_code_results", {"code": "'''unclosed"})),
        malformed("delegate_code_results", "{"),
        calls(("nothing_like_it", {})),
        calls(("look", {"word": "x"})),
        calls(("look", {"wrong": "x"})),
        calls(("breaks", {})),
        calls(("start_job", {})),
        exits(),
    ]
)
replies = st.one_of(st.just(says("done")), st.lists(steps, min_size=1, max_size=3).map(lambda some: together(*some)))
ORDER = ["pending", "executing", "completed", "failed", "consumed"]


def breaks() -> str:
    raise RuntimeError("broken")


def world(script: list[Reply]) -> World:
    tools = (
        declare("look", lambda word: f"{word} found"),
        declare("breaks", breaks),
        declare("start_job", lambda: "Run ID: 1", direct=True),
    )
    return World(ScriptedModel(*script, *[says("over")] * 8), RUNS, tools=tools, limits=Limits(max_iterations=4))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(replies, max_size=5), min_size=1, max_size=3))
def test_every_turn_ends_with_a_valid_history_and_nothing_runs_twice(turns: list[list[Reply]]) -> None:
    thread = world([reply for script in turns for reply in script])
    for number in range(len(turns)):
        values = thread.ask(f"question {number}", deadline=0.02)
        assert values["turn"].end is not None
        assert not thread.graph.get_state(thread.config).next
        assert_valid(values["messages"])
    assert_stages_in_order(thread)
    assert len(thread.backend.by_token) == len(thread.backend.started)
    for steps in thread.records.statuses.values():
        assert steps == sorted(steps, key=ORDER.index)
        assert len(steps) == len(set(steps))


def assert_valid(messages: list) -> None:
    """What chat providers ask for: the answers to a reply's calls follow it, each once, before anything else."""
    waiting: list[str] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            assert message.tool_call_id in waiting
            waiting.remove(message.tool_call_id)
            continue
        assert waiting == []
        if isinstance(message, AIMessage):
            waiting = [call["id"] for call in [*message.tool_calls, *message.invalid_tool_calls]]
    assert waiting == []
    assert isinstance(messages[-1], AIMessage)
    assert isinstance(messages[0], HumanMessage)


def assert_stages_in_order(thread: World) -> None:
    order = ["delegated", "executed", "processed"]
    by_artifact: dict[str, list[str]] = {}
    for event in thread.events:
        if isinstance(event, StageReached):
            by_artifact.setdefault(event.artifact_id, []).append(event.stage)
    for stages in by_artifact.values():
        assert stages == sorted(stages, key=order.index)
        assert stages.count("processed") <= 1
        assert stages.count("delegated") <= 1
