"""What may go, and what stays because something is rebuilt from it or waits for an answer."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointers import Retention, Saver
from checkpointers.retention import Fact, kept, survivors
from tests.checkpointers.conftest import Opener
from tests.checkpointers.contract import _asking_graph, _delta_graph
from tests.checkpointers.making import Line, chat, config, snapshot


@st.composite
def histories(draw: st.DrawFn) -> list[Fact]:
    """Trees of checkpoints; a delta channel is stored at some of them."""
    facts: list[Fact] = []
    for i in range(draw(st.integers(1, 14))):
        parent = draw(st.sampled_from(facts)).id if facts and draw(st.integers(0, 9)) else None
        stored = draw(st.sampled_from([frozenset(), frozenset({"delta"}), frozenset({"plain"})]))
        facts.append(
            Fact(
                "",
                f"{i:03}",
                parent,
                stored=stored,
                versioned=frozenset({"delta", "plain"}),
                delta=draw(st.sampled_from([frozenset(), frozenset({"delta"})])),
                interrupted=draw(st.integers(0, 5)) == 0,
            )
        )
    return facts


@given(histories(), st.integers(1, 4))
def test_what_stays_can_be_rebuilt(facts: list[Fact], keep_last: int):
    stays = kept(facts, keep_last)[""]
    by_id = {fact.id: fact for fact in facts}
    newest = sorted(by_id, reverse=True)[:keep_last]
    assert set(newest) <= stays
    parents = {fact.parent for fact in facts}
    waiting = {fact.id for fact in facts if fact.interrupted and fact.id not in parents}
    assert waiting <= stays
    if any(fact.delta for fact in facts):
        for head in {*newest, *waiting}:
            fact = by_id[head]
            while "delta" not in fact.stored and fact.parent:
                assert fact.parent in stays
                fact = by_id[fact.parent]
    else:
        assert stays == {*newest, *waiting}


@given(histories(), st.data())
def test_deleting_runs_never_cuts_a_delta_channel(facts: list[Fact], data: st.DataObject):
    doomed = data.draw(st.sets(st.sampled_from([fact.id for fact in facts])))
    stays = survivors(facts, doomed)[""]
    assert {fact.id for fact in facts} - doomed <= stays


def test_keep_last_is_kept_while_writing(open_store: Opener):
    with open_store(retention=Retention(keep_last=3)) as saver:
        graph = chat(saver)
        for i in range(30):
            graph.invoke({"messages": [("user", f"{i}")]}, config("t"))
        assert 3 <= len(list(saver.list(config("t")))) <= 3 + 16
        assert len(graph.get_state(config("t")).values["messages"]) == 60


def test_prune_keeps_the_newest_states_whole(saver: Saver):
    line = Line(saver)
    for i in range(10):
        line.put({"list": [{"i": j, "text": "x" * 50} for j in range(i)], "big": {"text": str(i) * 500}})
    before = snapshot(saver, "t")
    bytes_before = next(iter(saver.threads())).bytes
    saver.prune(["t"], keep_last=4)
    after = snapshot(saver, "t")
    assert [a[0] for a in after] == [b[0] for b in before[:4]]
    assert [a[3] for a in after] == [b[3] for b in before[:4]]
    assert after[-1][1] is None, "the oldest one lost its parent"
    assert next(iter(saver.threads())).bytes < bytes_before * 0.7


def test_prune_again_and_again_never_breaks_a_delta_channel(saver: Saver):
    graph = _delta_graph(saver)
    expected: list[str] = []
    for i in range(8):
        expected = graph.invoke({"log": [f"in{i}"], "other": 0}, config("t"))["log"]
        saver.prune(["t"])
        assert graph.get_state(config("t")).values["log"] == expected
    assert len(expected) == 16


def test_an_old_branch_that_waits_for_an_answer_stays(saver: Saver):
    graph = _asking_graph(saver)
    graph.invoke({"answers": ["open"]}, config("t"))
    waiting = graph.get_state(config("t")).config
    graph.update_state(config("t", checkpoint_id=_first(saver)), {"answers": ["other branch"]})
    saver.prune(["t"])
    assert saver.get_tuple(waiting) is not None


def _first(saver: Saver) -> str:
    return [found.checkpoint["id"] for found in saver.list(config("t"))][-1]


def test_finished_subgraph_calls_go_with_the_root_they_began_from(saver: Saver):
    graph = _asking_graph(saver)
    from langgraph.types import Command

    for _ in range(4):
        graph.invoke({"answers": ["q"]}, config("t"))
        graph.invoke(Command(resume="yes"), config("t"))
    assert next(iter(saver.threads())).namespaces == 5
    saver.prune(["t"])
    assert next(iter(saver.threads())).namespaces <= 2


def test_threads_that_nobody_touched_go_when_the_store_is_opened(open_store: Opener):
    with open_store() as saver:
        chat(saver).invoke({"messages": [("user", "hi")]}, config("t"))
    with open_store(retention=Retention(ttl=timedelta(hours=1))) as saver:
        assert [t.thread_id for t in saver.threads()] == ["t"]
    with open_store(retention=Retention(ttl=timedelta(0))) as saver:
        assert list(saver.threads()) == []
        assert saver.get_tuple(config("t")) is None


def test_mistakes_are_named(saver: Saver):
    with pytest.raises(TypeError, match="sequence of thread ids"):
        saver.prune("t")
    with pytest.raises(ValueError, match="keep_latest"):
        saver.prune(["t"], strategy="oldest")
    with pytest.raises(ValueError, match="at least 1"):
        saver.prune(["t"], keep_last=0)


def test_vacuum_gives_space_back(open_embedded: Opener, tmp_path):
    with open_embedded() as saver:
        for number in range(20):
            line = Line(saver, f"t{number}")
            for i in range(20):
                line.put({"list": [{"text": f"{number} {i} {j} " * 20} for j in range(i)], "big": {"t": f"{i}" * 3000}})
        saver.prune([f"t{i}" for i in range(20)], strategy="delete")
        Line(saver, "left").put({"x": ["y" * 500]})
        saver.vacuum()
        assert [t.thread_id for t in saver.threads()] == ["left"]
        assert saver.get_tuple(config("left")).checkpoint["channel_values"] == {"x": ["y" * 500]}
    size = sum(path.stat().st_size for path in tmp_path.iterdir() if path.is_file())
    assert size < 3_000_000
