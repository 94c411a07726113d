"""Lists as runs of segments: whatever is done to a list, what was saved comes back, and little is written."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule
from langchain_core.messages import AIMessage, HumanMessage

from checkpointers import open_checkpointer
from checkpointers.records import Run
from checkpointers.segments import MAX_RUNS, cut, digest, plan
from tests.checkpointers.making import Line, config

letters = st.lists(st.sampled_from("abcdefgh"), max_size=14)


class Shelf:
    """Where segments would lie: lineage → elements."""

    def __init__(self) -> None:
        self.lineages: dict[int, list[str]] = {}
        self.written = 0

    def store(self, old: list[str], runs: tuple[Run, ...], new: list[str]) -> tuple[Run, ...]:
        made = plan(_hashes(old), runs, _hashes(new), lineage=len(self.lineages) + 1)
        lineage = self.lineages.setdefault(made.lineage, [])
        if made.fresh:
            assert len(lineage) == made.start, "a segment begins where its lineage ends"
            lineage += [new[i] for i in made.fresh]
        self.written += len(made.fresh)
        return made.runs

    def read(self, runs: tuple[Run, ...]) -> list[str]:
        return [element for run in runs for element in self.lineages[run.lineage][run.start : run.stop]]


def _hashes(elements: list[str]) -> list[bytes]:
    return [digest(e.encode()) for e in elements]


@given(st.lists(letters, min_size=1, max_size=8))
def test_each_list_is_rebuilt_from_its_runs(versions: list[list[str]]):
    shelf, old, runs = Shelf(), [], ()
    for new in versions:
        if runs and any(run.stop != len(shelf.lineages[run.lineage]) for run in runs[-1:]):
            old, runs = [], ()  # its last lineage went on elsewhere: the store answers so, see the saver's tests
        runs = shelf.store(old, runs, new)
        assert shelf.read(runs) == new
        assert len(runs) <= max(MAX_RUNS * 2, len(new))
        old = new


@given(letters, letters)
def test_appending_writes_only_what_is_new(start: list[str], more: list[str]):
    shelf = Shelf()
    runs = shelf.store([], (), start)
    shelf.written = 0
    runs = shelf.store(start, runs, start + more)
    assert shelf.written == len(more)
    assert len(runs) <= 1


def test_a_sliding_window_writes_one_element_a_step():
    shelf, window, runs = Shelf(), [f"m{i}" for i in range(20)], ()
    runs = shelf.store([], (), window)
    shelf.written = 0
    for i in range(20, 120):
        slid = [*window[1:], f"m{i}"]
        runs = shelf.store(window, runs, slid)
        window = slid
        assert shelf.read(runs) == window
    assert shelf.written == 100
    assert len(runs) == 1


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=6),
    st.integers(0, 30),
    st.integers(0, 30),
)
def test_cutting_runs_is_slicing(parts: list[tuple[int, int]], start: int, stop: int):
    runs = [Run(i, low, low + length) for i, (low, length) in enumerate(parts)]
    elements = [(run.lineage, at) for run in runs for at in range(run.start, run.stop)]
    chosen = cut(runs, start, stop)
    assert [(run.lineage, at) for run in chosen for at in range(run.start, run.stop)] == elements[start:stop]


def _element(draw: st.DrawFn) -> Any:
    text = draw(st.sampled_from(["a" * 40, "b" * 40, "c", "", "é\0"]))
    kind = draw(st.integers(0, 4))
    if kind == 0:
        return HumanMessage(
            text, id=draw(st.sampled_from("123")), additional_kwargs=draw(st.sampled_from([{}, {"n": 1}]))
        )
    if kind == 1:
        return AIMessage(text, id=draw(st.sampled_from("123")))
    return [{"text": text, "n": [draw(st.sampled_from([1, True, 1.0, None]))]}, text, draw(st.integers(-1, 1))][
        kind - 2
    ]


elements = st.composite(_element)()


class SaverMachine(RuleBasedStateMachine):
    """Random edits, branches, restarts, prunes and vacuums against a plain dict of what was saved."""

    kind = "sqlite"
    lines: Bundle[Line] = Bundle("lines")

    @initialize(target=lines)
    def opened(self) -> Line:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "state"
        self.saver = open_checkpointer(self.kind, path=self.path, durability="normal")
        self.saved: dict[str, list[Any]] = {}
        line = Line(self.saver)
        line.put({"list": [], "fixed": {"k": "v" * 100}})
        return line

    def save(self, line: Line, value: list[Any]) -> None:
        line.saver = self.saver
        at = line.put({"list": value})
        self.saved[at["configurable"]["checkpoint_id"]] = [self._frozen(e) for e in value]

    @staticmethod
    def _frozen(element: Any) -> str:
        return repr(element)

    @rule(line=lines, more=st.lists(elements, max_size=4))
    def appends(self, line: Line, more: list[Any]) -> None:
        self.save(line, [*line.values["list"], *more])

    @rule(line=lines, start=st.integers(0, 6), stop=st.integers(0, 12), new=st.lists(elements, max_size=2))
    def cuts_and_inserts(self, line: Line, start: int, stop: int, new: list[Any]) -> None:
        old = line.values["list"]
        self.save(line, [*old[:start], *new, *old[stop:]])

    @rule(line=lines, index=st.integers(0, 10))
    def mutates(self, line: Line, index: int) -> None:
        """In place: only lists saved from now on may show it."""
        old = line.values["list"]
        if index < len(old) and isinstance(old[index], HumanMessage):
            old[index].additional_kwargs["n"] = True
        elif index < len(old) and isinstance(old[index], dict):
            old[index]["n"].append(index)
        self.save(line, list(old))

    @rule(target=lines, line=lines)
    def branches(self, line: Line) -> Line:
        return line.branch()

    @rule()
    def reopens(self) -> None:
        self.saver.close()
        self.saver = open_checkpointer(self.kind, path=self.path, durability="normal")

    @rule()
    def vacuums(self) -> None:
        self.saver.vacuum()

    @rule(keep=st.integers(1, 5))
    def prunes(self, keep: int) -> None:
        self.saver.prune(["t"], keep_last=keep)
        left = {found.checkpoint["id"] for found in self.saver.list(config("t"))}
        assert len(left) == min(keep, len(self.saved) + 1) or len(left) <= keep
        self.saved = {i: value for i, value in self.saved.items() if i in left}

    @rule()
    def everything_is_there(self) -> None:
        for checkpoint_id, value in self.saved.items():
            found = self.saver.get_tuple(config("t", checkpoint_id=checkpoint_id))
            assert found is not None
            assert [self._frozen(e) for e in found.checkpoint["channel_values"]["list"]] == value
            assert found.checkpoint["channel_values"]["fixed"] == {"k": "v" * 100}

    def teardown(self) -> None:
        if hasattr(self, "saver"):
            self.everything_is_there()
            self.saver.close()
            self.folder.cleanup()


class DuckMachine(SaverMachine):
    kind = "duckdb"


_CALM = settings(
    max_examples=25, stateful_step_count=18, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


@pytest.mark.parametrize("machine", [SaverMachine, DuckMachine], ids=["sqlite", "duckdb"])
def test_any_history_of_edits_comes_back(machine: type[SaverMachine]):
    case = machine.TestCase
    case.settings = _CALM if machine is SaverMachine else settings(_CALM, max_examples=6)
    case().runTest()
