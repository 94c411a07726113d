"""Pruning, deleting, copying and branching while others write: nothing is lost, nothing can't be read.

A sample; the thousands of rounds are in the benchmark.
"""

from __future__ import annotations

import operator
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import END, START, StateGraph

from benchmarks.checkpointers.races import RACES, round_of
from checkpointers import CorruptRow, Retention, Saver, open_checkpointer
from tests.checkpointers.conftest import Opener
from tests.checkpointers.making import Line, chat, config

_numbers = count()


@pytest.mark.parametrize("race", RACES)
def test_races(saver: Saver, race: str):
    for number in range(3):
        assert round_of(saver, race, number) == (0, 0)


def test_namespaces_that_prune_each_other_keep_their_newest(open_store: Opener):
    """Each put may prune the whole thread: what another namespace saves meanwhile stays."""
    with open_store(retention=Retention(keep_last=1)) as saver:

        def run(ns: str) -> tuple[str, list[Any]]:
            line = Line(saver, at=config("t", ns))
            state: list[Any] = []
            for i in range(40):
                state = [*state, f"{ns} {i} " * 8]
                line.put({"list": state})
            return ns, state

        with ThreadPoolExecutor(4) as pool:
            done = list(pool.map(run, ["", "a", "b", "c"]))
        for ns, state in done:
            assert saver.get_tuple(config("t", ns)).checkpoint["channel_values"]["list"] == state


_PRUNER = """
import sys
from checkpointers import open_checkpointer
with open_checkpointer(sys.argv[1], **{sys.argv[2]: sys.argv[3]}) as saver:
    print("open", flush=True)
    for line in sys.stdin:
        exec(line)
        print("done", flush=True)
"""


class _Elsewhere:
    """Another process with the same store; does what it is told, one line at a time."""

    def __init__(self, kind: str, option: str, where: str) -> None:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": Path.cwd()}
        self._process = subprocess.Popen([sys.executable, "-c", _PRUNER, kind, option, where], **pipes)
        assert self._process.stdout.readline() == "open\n"

    def __enter__(self) -> Callable[[str], None]:
        return self.do

    def do(self, line: str) -> None:
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


@pytest.fixture(params=["sqlite", "postgres", "postgres segments"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Callable[[], Saver], _Elsewhere]:
    """A store that two processes have."""
    kind, _, segments = request.param.partition(" ")
    if kind == "sqlite":
        path = str(tmp_path / "state")
        return lambda: open_checkpointer(kind, path=path), _Elsewhere(kind, "path", path)
    server = request.getfixturevalue("postgres")
    name = f"shared_{next(_numbers)}"
    server.execute(f"CREATE DATABASE {name}", database="postgres")
    dsn = server.dsn(database=name)
    return lambda: open_checkpointer(kind, conninfo=dsn, segments=bool(segments)), _Elsewhere(kind, "conninfo", dsn)


def test_pruned_by_another_process_while_a_run_writes(shared: Any):
    opened, elsewhere = shared
    with opened() as saver, elsewhere as do:
        stop = threading.Event()

        def prune() -> None:
            while not stop.is_set():
                do("saver.prune(['t'], keep_last=2)")

        pruning = threading.Thread(target=prune)
        pruning.start()
        line, state = Line(saver), []
        for i in range(80):
            state = [*state, AIMessage(f"message {i} " * 20, id=f"{i}")]
            line.put({"messages": state, "big": {"n": "x" * 500}} if i % 7 == 0 else {"messages": state})
        stop.set()
        pruning.join()
        with opened() as fresh:
            for seen in (saver, fresh):
                values = seen.get_tuple(config("t")).checkpoint["channel_values"]
                assert values == {"messages": state, "big": {"n": "x" * 500}}
                assert all(found.checkpoint["channel_values"]["big"] for found in seen.list(config("t")))


def test_a_thread_deleted_by_another_process_goes_on_whole(shared: Any):
    """The next step doesn't point at what is gone."""
    opened, elsewhere = shared
    with opened() as saver, elsewhere as do:
        line = Line(saver)
        state = [AIMessage(f"message {i} " * 20, id=f"{i}") for i in range(10)]
        line.put({"messages": state, "big": {"n": "x" * 500}})
        do("saver.delete_thread('t')")
        assert saver.get_tuple(config("t")) is None
        line.put({"messages": [*state, "after"]})
        with opened() as fresh:
            values = fresh.get_tuple(config("t")).checkpoint["channel_values"]
            assert values == {"messages": [*state, "after"], "big": {"n": "x" * 500}}
        line.put({"messages": [*state, "after", "that"]})
        assert len(saver.get_tuple(config("t")).checkpoint["channel_values"]["messages"]) == 12


def test_a_leased_run_whose_thread_is_deleted_goes_on(shared: Any):
    opened, elsewhere = shared
    with opened() as saver, elsewhere as do, saver.lease("t"):
        graph = chat(saver)
        graph.invoke({"messages": [("user", "hi")]}, config("t"))
        do("saver.delete_thread('t')")
        line = Line(saver)
        line.put({"list": ["x" * 100]})
        assert saver.get_tuple(config("t")).checkpoint["channel_values"]["list"] == ["x" * 100]


def test_a_thread_in_use_is_not_pruned_by_others(shared: Any):
    opened, elsewhere = shared
    with opened() as saver, elsewhere as do:
        line = Line(saver)
        for i in range(5):
            line.put({"x": [i]})
        with saver.lease("t"):
            do("assert saver.prune(['t', 'other']) == ['t']")
            assert len(list(saver.list(config("t")))) == 5
            assert saver.prune(["t"], keep_last=2) == [], "who holds it may"
        do("assert saver.prune(['t']) == []")
        assert len(list(saver.list(config("t")))) == 1


def test_copies_that_go_on_read_their_own_messages(open_store: Opener):
    """Both branches go on from one list, also after a restart."""
    with open_store() as saver:
        line = Line(saver, "a")
        line.put({"list": [f"shared {i} " * 5 for i in range(5)]})
        line.put({"list": [*line.values["list"], "shared too " * 5]})
        saver.copy_thread("a", "b")
    with open_store() as saver:
        lines = {name: Line(saver, at=saver.get_tuple(config(name)).config) for name in ("a", "b")}
        for name, mine in lines.items():
            mine.values, mine.versions = dict(line.values), dict(line.versions)
            for i in range(3):
                mine.put({"list": [*mine.values["list"], f"only {name} {i} " * 5]})
    with open_store() as saver:
        for name, mine in lines.items():
            assert saver.get_tuple(config(name)).checkpoint["channel_values"]["list"] == mine.values["list"]
        saver.prune(["a"])
        saver.delete_thread("a")
        values = saver.get_tuple(config("b")).checkpoint["channel_values"]
        assert values["list"] == lines["b"].values["list"]


class _State(TypedDict):
    messages: Annotated[list[Any], operator.add]
    steps: int


def test_a_change_in_place_while_the_step_before_is_being_saved(saver: Saver):
    """LangGraph's default durability hands the state to a saver while the next node changes it."""

    def node(state: _State) -> dict[str, Any]:
        for message in state["messages"][-2:]:
            message.content += f" {state['steps']}"
            message.additional_kwargs["n"] = state["steps"]
        return {"messages": [AIMessage("new " * 60, id=f"{state['steps']}")], "steps": state["steps"] + 1}

    builder = StateGraph(_State).add_node("node", node).add_edge(START, "node")
    builder.add_conditional_edges("node", lambda state: END if state["steps"] >= 30 else "node", ["node", END])
    graph = builder.compile(checkpointer=saver)
    for number in range(4):
        run = {**config(f"t{number}"), "recursion_limit": 50}
        final = graph.invoke({"messages": [], "steps": 0}, run, durability="async")
        found = saver.get_tuple(config(f"t{number}")).checkpoint["channel_values"]["messages"]
        assert [(m.content, m.additional_kwargs) for m in found] == [
            (m.content, m.additional_kwargs) for m in final["messages"]
        ]


def test_whatever_changes_while_a_step_is_being_saved_is_in_the_next(open_embedded: Opener):
    """Each message once, while the list is looked at and packed."""
    state = [AIMessage(f"message {i} " * 10, id=f"{i}") for i in range(400)]

    def change(number: int) -> None:
        for message in state:
            message.content = f"changed {number} " * 3

    with open_embedded(durability="normal") as saver, ThreadPoolExecutor(1) as pool:
        for number in range(30):
            line = Line(saver, f"{number}")
            changed = pool.submit(change, number)
            line.put({"messages": list(state)})
            changed.result()
            line.put({"messages": list(state)})
            assert saver.get_tuple(line.at).checkpoint["channel_values"]["messages"] == state


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a": "x", "b": "y"}, {"b": "y", "a": "x"}),
        ({1: "x"}, {True: "x"}),
        ({1: "x"}, {1.0: "x"}),
        ({"row": {"a": 1, "b": 2}}, {"row": {"b": 2, "a": 1}}),
        ([1, 0], [True, False]),
        ([], {}),
        ("", None),
    ],
)
def test_order_and_kinds_of_keys_are_noticed(saver: Saver, before: Any, after: Any):
    bare, inside = Line(saver, "bare"), Line(saver, "inside")
    for value in (before, after):
        bare.put({"list": [value, "x" * 70]})
        inside.put({"list": [AIMessage("x" * 70, additional_kwargs={"kept": value})]})
    assert repr(saver.get_tuple(config("bare")).checkpoint["channel_values"]["list"][0]) == repr(after)
    found = saver.get_tuple(config("inside")).checkpoint["channel_values"]["list"][0]
    assert repr(found.additional_kwargs["kept"]) == repr(after)


def test_a_corrupt_thread_is_told_by_name_when_it_is_pruned(tmp_path: Path):
    import sqlite3

    with open_checkpointer("sqlite", path=tmp_path / "a") as saver:
        line = Line(saver, "damaged")
        line.put({"list": ["x" * 90]})
        line.put({"list": ["x" * 90, "y" * 90]})
    with sqlite3.connect(tmp_path / "a") as db:
        db.execute("UPDATE saver_rows SET data=substr(data, 1, 20) WHERE number=(SELECT min(number) FROM saver_rows)")
    db.close()
    with open_checkpointer("sqlite", path=tmp_path / "a") as saver:
        with pytest.raises(CorruptRow, match="of thread 'damaged'"):
            saver.prune(["damaged"])
