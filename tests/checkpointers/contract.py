"""What we ask of a saver beyond langgraph-checkpoint-conformance; also run on the official ones, for comparison.

Each check takes an open saver with nothing in it.
"""

from __future__ import annotations

import gc
import math
import operator
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from tests.checkpointers.making import Line, chat, checkpoint, config

Saver = BaseCheckpointSaver[Any]


def used_while_listing(saver: Saver) -> None:
    line = Line(saver)
    for i in range(5):
        line.put({"x": [i]})
    for found in saver.list(config("t")):
        assert saver.get_tuple(found.config) is not None
        saver.put_writes(found.config, [("x", 1)], "task")
    line.put({"x": ["after"]})


def abandoned_iterators(saver: Saver) -> None:
    line = Line(saver)
    for i in range(5):
        line.put({"x": [i]})
    left = [saver.list(config("t")) for _ in range(3)]
    for iterator in left:
        next(iter(iterator))
    line.put({"x": ["after"]})
    assert _value(saver, "t", "x") == ["after"]
    del left
    gc.collect()


def nul_characters(saver: Saver) -> None:
    text = "a\0b"
    line = Line(saver)
    line.put({"text": text, "list": [text], "messages": [HumanMessage(text)]}, note=text, deep={"inside": [text]})
    saver.put_writes(line.at, [("text", text)], "task")
    found = saver.get_tuple(config("t"))
    assert found is not None
    assert found.checkpoint["channel_values"]["text"] == text
    assert found.checkpoint["channel_values"]["list"] == [text]
    assert found.checkpoint["channel_values"]["messages"][0].content == text
    assert found.pending_writes == [("task", "text", text)]


def not_a_number(saver: Saver) -> None:
    line = Line(saver)
    line.put({"nan": math.nan, "inf": -math.inf, "list": [math.nan], "whole": 1e16}, score=math.nan)
    values = saver.get_tuple(config("t")).checkpoint["channel_values"]  # type: ignore[union-attr]
    assert math.isnan(values["nan"])
    assert values["inf"] == -math.inf
    assert math.isnan(values["list"][0])
    assert type(values["whole"]) is float


def lone_surrogates(saver: Saver) -> None:
    Line(saver).put({"text": ["ok", "\ud800"]}, note="\ud800")
    assert _value(saver, "t", "text")[0] == "ok"


def integer_thread_ids(saver: Saver) -> None:
    line = Line(saver, 7)
    line.put({"x": [1]})
    assert saver.get_tuple(config(7)) is not None
    assert saver.get_tuple(config("7")) is not None
    assert len(list(saver.list(config(7)))) == 1
    saver.delete_thread(7)  # type: ignore[arg-type]
    assert saver.get_tuple(config(7)) is None


def odd_filter_keys(saver: Saver) -> None:
    line = Line(saver)
    line.put({"x": [1]}, **{"a:b": 1, "c.d": "2", "e f": None, "quote'\"": True, "list": [1, 2]})
    line.put({"x": [2]}, other=1)
    wanted: list[dict[str, Any]] = [
        {"a:b": 1},
        {"c.d": "2"},
        {"e f": None, "a:b": 1},
        {"quote'\"": True},
        {"list": [1, 2]},
    ]
    for filter_ in wanted:
        found = list(saver.list(config("t"), filter=filter_))
        assert len(found) == 1, filter_


def hostile_names(saver: Saver) -> None:
    for name in ("'; DROP TABLE checkpoints; --", "a/../b", "100%_", "emoji 🦆", "back\\slash", "x" * 300, '"quoted"'):
        line = Line(saver, name)
        line.put({name: [name]})
        saver.put_writes(line.at, [(name, name)], name, name)
        found = saver.get_tuple(config(name))
        assert found is not None
        assert found.checkpoint["channel_values"] == {name: [name]}
        assert found.pending_writes == [(name, name, name)]
        assert len(list(saver.list(config(name)))) == 1


def stale_parent(saver: Saver) -> None:
    """Two branches from one checkpoint, and a parent that isn't there: each keeps its own values."""
    line = Line(saver)
    line.put({"messages": ["a", "b"], "kept": {"k": list(range(50))}})
    other = line.branch()
    mine = line.put({"messages": ["a", "b", "mine"]})
    theirs = other.put({"messages": ["a", "b", "theirs"]})
    mine = line.put({"messages": ["a", "b", "mine", "again"]})
    values = [saver.get_tuple(at).checkpoint["channel_values"] for at in (mine, theirs)]  # type: ignore[union-attr]
    assert [v["messages"] for v in values] == [["a", "b", "mine", "again"], ["a", "b", "theirs"]]
    assert all(v["kept"] == {"k": list(range(50))} for v in values)
    lost = Line(saver, at=config("t2", checkpoint_id="00000000-0000-6000-8000-000000000000"))
    lost.put({"messages": ["alone"]})
    assert _value(saver, "t2", "messages") == ["alone"]


def changed_lists(saver: Saver) -> None:
    """Windows, removals, edits, insertions, reordering, emptying."""
    line = Line(saver)
    state = [f"message {i} " * 8 for i in range(12)]
    steps = [
        state,
        state[3:],
        [*state[3:], "new " * 20],
        [*state[4:], "new " * 20, "newer " * 20],
        state[:2] + state[5:],
        [*state[:5], "edited " * 20, *state[6:]],
        list(reversed(state)),
        state[:11],
        [*state[:11], "other end " * 10],
        state * 2,
        [],
        state,
    ]
    saved = [line.put({"list": list(step)}) for step in steps]
    for at, step in zip(saved, steps, strict=True):
        assert saver.get_tuple(at).checkpoint["channel_values"]["list"] == step  # type: ignore[union-attr]


def mutation_in_place(saver: Saver) -> None:
    """What a node changed inside a message or a dict that was saved before must be saved again."""
    message = AIMessage("first", additional_kwargs={"n": 1}, id="1")
    tool = ToolMessage("out", tool_call_id="c", artifact={"rows": [1]}, id="2")
    plain: dict[str, Any] = {"flag": 1, "deep": [{"x": 1}]}
    state: list[Any] = [message, tool, plain, HumanMessage("last", id="3")]
    line = Line(saver)
    line.put({"state": state})
    changes: list[Callable[[], None]] = [
        lambda: setattr(message, "content", "second"),
        lambda: message.additional_kwargs.update(n=True),
        lambda: message.additional_kwargs.update(n=1.0),
        lambda: tool.artifact["rows"].append(2),
        lambda: setattr(tool, "extra_field", "x"),
        lambda: plain.update(flag=True),
        lambda: plain["deep"][0].update(x=2),
        lambda: state.append("more"),
    ]
    for change in changes:
        change()
        line.put({"state": list(state)})
        found = _value(saver, "t", "state")
        assert [repr(f) for f in found] == [repr(s) for s in state]
        assert found[0].additional_kwargs == message.additional_kwargs
        assert type(found[0].additional_kwargs["n"]) is type(message.additional_kwargs["n"])
        assert type(found[2]["flag"]) is type(plain["flag"])


def unchanged_channels(saver: Saver) -> None:
    """A channel that isn't among the new versions keeps its value."""
    line = Line(saver)
    line.put({"big": {"data": "x" * 5000}, "small": 1, "list": [{"i": i} for i in range(40)]})
    for i in range(3):
        line.put({"small": i})
    found = saver.get_tuple(config("t")).checkpoint["channel_values"]  # type: ignore[union-attr]
    assert found["big"] == {"data": "x" * 5000}
    assert found["list"] == [{"i": i} for i in range(40)]
    assert found["small"] == 2


def many_kinds_of_values(saver: Saver) -> None:
    values: dict[str, Any] = {
        "none": None,
        "bytes": b"\x00\xff",
        "empty": b"",
        "keys": {1: "int", "s": 2.5, None: [True]},
        "set": {1, 2},
        "nested": [[1, [2]], {"a": [3]}],
        "long": "x" * 1_000_000,
        "texts": ["", "é", "🦆"],
        "mixed": [None, 1, 1.5, b"b", "s", {"d": []}, [1]],
    }
    Line(saver).put(values)
    found = saver.get_tuple(config("t")).checkpoint["channel_values"]  # type: ignore[union-attr]
    assert found == values


def writes_before_their_checkpoint(saver: Saver) -> None:
    made = checkpoint({"x": [1]})
    at = config("t", checkpoint_id=made["id"])
    saver.put_writes(at, [("x", 2)], "task")
    saver.put(config("t"), made, {"source": "loop", "step": 0}, {"x": 1})
    found = saver.get_tuple(config("t"))
    assert found is not None
    assert found.pending_writes == [("task", "x", 2)]


def order_of_writes(saver: Saver) -> None:
    line = Line(saver)
    line.put({"x": [0]})
    for task, path in (("1", "c"), ("2", "b"), ("3", "a"), ("0", "a")):
        saver.put_writes(line.at, [("x", f"{path}{task}.{i}") for i in range(12)], task, path)
    found = saver.get_tuple(config("t"))
    assert found is not None
    assert found.pending_writes is not None
    expected = [
        f"{path}{task}.{i}" for task, path in (("0", "a"), ("3", "a"), ("2", "b"), ("1", "c")) for i in range(12)
    ]
    assert [w[2] for w in found.pending_writes] == expected


def repeated_writes(saver: Saver) -> None:
    """The first of two equal writes counts; errors and interrupts are replaced."""
    line = Line(saver)
    line.put({"x": [0]})
    saver.put_writes(line.at, [("x", "first"), (ERROR, "first")], "task")
    saver.put_writes(line.at, [("x", "second"), (ERROR, "second")], "task")
    saver.put_writes(line.at, [(INTERRUPT, "asked")], "task")
    saver.put_writes(line.at, [(INTERRUPT, "asked again")], "task")
    found = saver.get_tuple(config("t"))
    assert found is not None
    writes = {channel: value for _, channel, value in found.pending_writes or ()}
    assert writes == {"x": "first", ERROR: "second", INTERRUPT: "asked again"}


class _Log(TypedDict):
    log: Annotated[list[str], DeltaChannel(lambda state, more: [*state, *(x for m in more for x in m)])]
    other: int


def _delta_graph(saver: Saver) -> Any:
    def node(state: _Log) -> dict[str, Any]:
        return {"log": [f"n{len(state['log'])}"], "other": len(state["log"])}

    return (
        StateGraph(_Log)
        .add_node("node", node)
        .add_edge(START, "node")
        .add_edge("node", END)
        .compile(checkpointer=saver)
    )


def delta_history(saver: Saver) -> None:
    graph = _delta_graph(saver)
    for i in range(6):
        graph.invoke({"log": [f"in{i}"], "other": 0}, config("t"))
    expected = graph.get_state(config("t")).values["log"]
    assert len(expected) == 12
    fork = list(graph.get_state_history(config("t")))[6].config
    graph.update_state(fork, {"log": ["forked"]})
    assert graph.get_state(config("t")).values["log"][-1] == "forked"


def delta_after_pruning(saver: Saver) -> None:
    graph = _delta_graph(saver)
    for i in range(6):
        graph.invoke({"log": [f"in{i}"], "other": 0}, config("t"))
    before = graph.get_state(config("t")).values
    saver.prune(["t"], strategy="keep_latest")
    assert graph.get_state(config("t")).values == before
    after = graph.invoke({"log": ["more"], "other": 0}, config("t"))
    assert after["log"][:12] == before["log"]


class _Asked(TypedDict):
    answers: Annotated[list[str], operator.add]


def _asking_graph(saver: Saver) -> Any:
    def ask(state: _Asked) -> dict[str, Any]:
        return {"answers": [interrupt("sure?")]}

    inner = StateGraph(_Asked).add_node("ask", ask).add_edge(START, "ask").add_edge("ask", END).compile()
    outer = StateGraph(_Asked).add_node("inner", inner).add_edge(START, "inner").add_edge("inner", END)
    return outer.compile(checkpointer=saver)


def interrupt_after_pruning(saver: Saver) -> None:
    graph = _asking_graph(saver)
    for _ in range(3):
        graph.invoke({"answers": ["q"]}, config("t"))
        graph.invoke(Command(resume="yes"), config("t"))
    graph.invoke({"answers": ["open"]}, config("t"))
    saver.prune(["t"], strategy="keep_latest")
    state = graph.get_state(config("t"), subgraphs=True)
    assert state.interrupts
    done = graph.invoke(Command(resume="finally"), config("t"))
    assert done["answers"][-2:] == ["open", "finally"] or done["answers"][-1] == "finally"
    assert not graph.get_state(config("t")).next


def concurrent_writers(saver: Saver) -> None:
    def run(number: int) -> int:
        graph = chat(saver)
        for _ in range(5):
            graph.invoke({"messages": [("user", f"hi {number}")]}, config(f"t{number}"))
        return len(graph.get_state(config(f"t{number}")).values["messages"])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, range(8))) == [10] * 8


def concurrent_branches(saver: Saver) -> None:
    """Several writers on one thread: each checkpoint holds what its writer saved."""
    base = Line(saver)
    base.put({"list": [f"base {i} " * 5 for i in range(10)]})
    saved: list[tuple[Any, list[str]]] = []
    lock = threading.Lock()

    def run(number: int) -> None:
        line = base.branch()
        for i in range(10):
            value = [*line.values["list"], f"writer {number} step {i} " * 3]
            at = line.put({"list": value})
            with lock:
                saved.append((at, value))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(run, range(6)))
    for at, value in saved:
        assert saver.get_tuple(at).checkpoint["channel_values"]["list"] == value  # type: ignore[union-attr]


def copies_are_independent(saver: Saver) -> None:
    graph = chat(saver)
    for i in range(3):
        graph.invoke({"messages": [("user", f"{i}")]}, config("a"))
    saver.copy_thread("a", "b")
    graph.invoke({"messages": [("user", "only b")]}, config("b"))
    assert len(graph.get_state(config("a")).values["messages"]) == 6
    saver.delete_thread("a")
    assert saver.get_tuple(config("a")) is None
    assert len(graph.get_state(config("b")).values["messages"]) == 8
    assert len(list(graph.get_state_history(config("b")))) == 12


def deleting_runs_keeps_the_rest(saver: Saver) -> None:
    line = Line(saver)
    for i in range(6):
        line.put({"list": [{"i": j} for j in range(i + 5)]}, run_id=f"r{i % 2}")
    saver.delete_for_runs(["r0"])
    left = list(saver.list(config("t")))
    assert [t.metadata["run_id"] for t in left] == ["r1"] * 3  # type: ignore[typeddict-item]
    assert [len(t.checkpoint["channel_values"]["list"]) for t in left] == [10, 8, 6]


def paging(saver: Saver) -> None:
    line = Line(saver)
    ids = [line.put({"x": [i]}, odd=i % 2)["configurable"]["checkpoint_id"] for i in range(150)]
    assert [t.checkpoint["id"] for t in saver.list(config("t"))] == ids[::-1]
    assert [t.checkpoint["id"] for t in saver.list(config("t"), limit=70)] == ids[::-1][:70]
    assert len(list(saver.list(config("t"), filter={"odd": 1}))) == 75
    assert len(list(saver.list(config("t"), filter={"odd": 1}, limit=3))) == 3
    assert [t.checkpoint["id"] for t in saver.list(None, limit=2)] == ids[::-1][:2]
    before = config("t", checkpoint_id=ids[10])
    assert [t.checkpoint["id"] for t in saver.list(config("t"), before=before)] == ids[:10][::-1]
    assert list(saver.list(config("t"), limit=0)) == []


def _value(saver: Saver, thread_id: Any, channel: str) -> Any:
    found = saver.get_tuple(config(thread_id))
    assert found is not None
    return found.checkpoint["channel_values"][channel]


CHECKS: tuple[Callable[[Saver], None], ...] = (
    used_while_listing,
    abandoned_iterators,
    nul_characters,
    not_a_number,
    lone_surrogates,
    integer_thread_ids,
    odd_filter_keys,
    hostile_names,
    stale_parent,
    changed_lists,
    mutation_in_place,
    unchanged_channels,
    many_kinds_of_values,
    writes_before_their_checkpoint,
    order_of_writes,
    repeated_writes,
    delta_history,
    delta_after_pruning,
    interrupt_after_pruning,
    concurrent_writers,
    concurrent_branches,
    copies_are_independent,
    deleting_runs_keeps_the_rest,
    paging,
)
