"""The ledger: what may be spent is reserved before it is, by however many calls at once."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage

from agent.models.scripted import Reply, ScriptedModel, calls, delegates, says
from graph.asking import ask, ask_reader
from graph.budget import Digesting, Ledger, Limits
from graph.context import Model
from graph.errors import BudgetExceeded, Cancelled
from graph.events import ModelCalled
from graph.types import ModelRole, Usage
from tests.graph.world import World, declare, ran


def model(most: int | None = 500, name: str = "m") -> Model:
    return Model(ScriptedModel(), name, 1.0, 2.0, max_output_tokens=most)


def tokens(usage: Usage) -> int:
    return usage.input_tokens + usage.output_tokens


def crowd(ledger: Ledger, asked: Model, calls: int, cost: tuple[int, int], role: ModelRole = "base") -> tuple[int, int]:
    """How many of so many calls at once were made, and how many refused."""
    refused = []

    def call(_: int) -> None:
        try:
            with ledger.reserve(asked, role, cost[0]) as settle:
                time.sleep(random.random() / 500)
                settle(asked.price(*cost))
        except BudgetExceeded as error:
            refused.append(error)

    with ThreadPoolExecutor(calls) as pool:
        list(pool.map(call, range(calls)))
    return calls - len(refused), len(refused)


@settings(max_examples=25, deadline=None)
@given(
    limit=st.integers(1_000, 30_000),
    given_in=st.integers(1, 2_000),
    written=st.integers(0, 500),
    at_once=st.integers(2, 32),
)
def test_calls_at_once_do_not_overrun_the_tokens(limit: int, given_in: int, written: int, at_once: int) -> None:
    ledger = Ledger(Limits(max_tokens=limit))
    made, _ = crowd(ledger, model(), at_once, (given_in, written))
    assert tokens(ledger.spent) <= limit
    assert ledger.spent.calls == made
    least = limit - given_in - 500
    assert made == at_once or tokens(ledger.spent) > least, "what fits is not refused"


def test_thirty_two_readers_do_not_overrun_a_budget_whose_replies_nobody_bounds() -> None:
    ledger = Ledger(Limits(max_tokens=30_000))
    crowd(ledger, model(most=None), 32, (1_000, 1_200))
    assert 20_000 < tokens(ledger.spent) <= 30_000


def test_calls_at_once_do_not_overrun_the_money() -> None:
    ledger = Ledger(Limits(max_tokens=None, max_cost_usd=0.01))
    made, refused = crowd(ledger, model(), 32, (1_000, 500))
    assert (made, refused) == (5, 27)
    assert ledger.spent.cost_usd <= 0.01


def test_a_call_waits_for_what_others_hold_and_give_back() -> None:
    ledger, first = Ledger(Limits(max_tokens=1_000)), threading.Event()
    made = []

    def short() -> None:
        with ledger.reserve(model(800), "base", 100) as settle:
            first.set()
            time.sleep(0.2)
            settle(Usage(100, 10, calls=1))
        made.append("first")

    worker = threading.Thread(target=short)
    worker.start()
    first.wait()
    with ledger.reserve(model(800), "base", 50):
        made.append("second")
    worker.join()
    assert made == ["first", "second"]


def test_waiting_for_others_ends_when_it_is_told_to() -> None:
    ledger = Ledger(Limits(max_tokens=1_000))

    def cancelled() -> None:
        raise Cancelled("enough")

    with ledger.reserve(model(800), "base", 100):
        with pytest.raises(Cancelled), ledger.reserve(model(800), "base", 100, cancelled):
            pass
        with pytest.raises(BudgetExceeded), ledger.reserve(model(800), "base", 500):
            pass


def test_readers_leave_enough_for_merging_and_for_the_answer() -> None:
    ledger, base, sub = Ledger(Limits(max_tokens=60_000)), model(1_000, "base"), model(300, "sub")
    with ledger.reserve(base, "base", 3_000) as settle:
        settle(Usage(3_000, 200, calls=1))
    read, _ = crowd(ledger, sub, 32, (2_000, 300), role="sub")
    assert read > 15
    with ledger.reserve(sub, "reduce", 4_000) as settle:
        settle(Usage(4_000, 300, calls=1))
    with ledger.reserve(base, "base", 3_000 + 2_000):
        pass


def test_a_call_that_costs_more_than_its_text_is_reserved_with_what_it_really_took_the_next_time() -> None:
    ledger = Ledger(Limits(max_tokens=10_000))
    for _ in range(2):
        with ledger.reserve(model(500), "base", 100) as settle:
            settle(Usage(3_100, 500, calls=1))
    with pytest.raises(BudgetExceeded), ledger.reserve(model(500), "base", 100):
        pass


def test_what_broke_off_midway_is_paid_for() -> None:
    class Breaks(Exception): ...

    world = World(ScriptedModel(Reply(text="word " * 100, error=Breaks("away"))))
    ctx = world.context()
    with pytest.raises(Breaks):
        ask(ctx, ctx.base_model, "base", [HumanMessage("go")])
    assert ctx.ledger.spent.output_tokens > 100


def test_a_tool_that_asks_a_model_does_so_by_the_turns_ledger() -> None:
    genie = declare("query_genie", lambda query: ask_reader(f"SQL for {query}"))
    reader = ScriptedModel(says("SELECT 1", usage=(900, 100)))
    world = World(ScriptedModel(calls(("query_genie", {"query": "one"})), says("1")), sub_model=reader, tools=(genie,))
    usage = world.ask("go")["turn"].usage
    assert usage.calls == 3
    assert usage.input_tokens >= 900
    assert [event.role for event in world.events if isinstance(event, ModelCalled)] == ["base", "sub", "base"]


def test_readers_that_would_spend_everything_leave_the_analyst_its_answer() -> None:
    reader = ScriptedModel.by(lambda messages: says("a long note " * 20, usage=(2_000, 300)))
    script = ScriptedModel(
        delegates("long", instruction="Count"), says("What was read says 7.", usage=(3_000, 50)),
    )  # fmt: skip
    world = World(
        script, {"long": ran("a line of output\n" * 20_000)}, sub_model=reader,
        limits=Limits(max_tokens=60_000), digesting=Digesting(leaf_tokens=2_000),
    )  # fmt: skip
    values = world.ask("How many?")
    assert values["turn"].end == "answer"
    assert values["messages"][-1].text == "What was read says 7."
    assert "limits.max_tokens" in world.shown()
    assert tokens(values["turn"].usage) <= 60_000
