"""Lists as ropes over rows: whatever is done to a list, what was saved comes back, and little is written."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule
from langchain_core.messages import AIMessage, HumanMessage

from checkpointers import open_checkpointer, ropes
from checkpointers.encoding import Codec, RawList, strict_serializer
from checkpointers.lists import ListWriter, StoredList
from checkpointers.ropes import Entry
from tests.checkpointers.making import Line, config

letters = st.lists(st.sampled_from("abcdefgh"), max_size=14)


class Shelf:
    """Where rows would be kept: their number and items."""

    def __init__(self) -> None:
        self.rows: dict[int, list[Any]] = {}
        self.written = 0

    def store(self, elements: list[str], known: StoredList | None) -> StoredList:
        items: list[Any] = []
        writer = ListWriter(Codec(strict_serializer()), items, lambda rope: ropes.spans(rope, self.load), watch=False)
        stored = writer.stored(RawList([e.encode() for e in elements]), known)
        assert stored is not None
        number = len(self.rows) + 1
        self.rows[number] = items
        self.written += sum(isinstance(item, bytes) for item in items)
        return stored.settled(number)

    def load(self, rows: Any) -> dict[int, list[Any]]:
        return {row: self.rows[row] for row in rows}

    def read(self, stored: StoredList) -> list[str]:
        return [element.decode() for element in ropes.elements(stored.rope, self.load)]


@given(st.lists(letters, min_size=1, max_size=8))
def test_each_list_is_rebuilt_from_its_rope(versions: list[list[str]]):
    shelf, known = Shelf(), None
    kept = []
    for new in versions:
        known = shelf.store(new, known)
        kept.append((known, new))
    for stored, elements in kept:
        assert shelf.read(stored) == elements, "what was stored before is as it was"


@given(letters, letters)
def test_appending_writes_only_what_is_new(start: list[str], more: list[str]):
    shelf = Shelf()
    known = shelf.store(start, None)
    shelf.written = 0
    shelf.store(start + more, known)
    assert shelf.written == len(more)


def test_a_long_list_takes_few_entries():
    shelf, known, state = Shelf(), None, []
    for i in range(1000):
        state = [*state, f"m{i}"]
        known = shelf.store(state, known)
        assert len(known.rope) <= (ropes.FANOUT - 1) * 4
    assert shelf.written == 1000
    assert shelf.read(known) == state


def test_a_sliding_window_writes_one_element_a_step():
    shelf, window = Shelf(), [f"m{i}" for i in range(20)]
    known = shelf.store(window, None)
    shelf.written = 0
    for i in range(20, 120):
        window = [*window[1:], f"m{i}"]
        known = shelf.store(window, known)
        assert shelf.read(known) == window
    assert shelf.written == 100
    assert len(known.rope) <= ropes.FANOUT * 2


@given(st.lists(letters, min_size=1, max_size=8))
def test_what_is_touched_is_what_is_read(versions: list[list[str]]):
    """A list can be read from the rows and items that it is said to need, and no others."""
    shelf, known = Shelf(), None
    for new in versions:
        known = shelf.store(new, known)
    assert known is not None
    needed: dict[int, set[int]] = {}
    for row, items in ropes.touched(known.rope, shelf.load, set()):
        needed.setdefault(int(row), set()).update(items)
    shelf.rows = {
        row: [item if i in needed.get(row, ()) else None for i, item in enumerate(items)]
        for row, items in shelf.rows.items()
    }
    assert shelf.read(known) == versions[-1]


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=6),
    st.integers(0, 30),
    st.integers(0, 30),
)
def test_cutting_spans_is_slicing(parts: list[tuple[int, int]], start: int, stop: int):
    spans = [Entry(i, low, length, 0) for i, (low, length) in enumerate(parts)]
    elements = [(span.row, span.item + at) for span in spans for at in range(span.size)]
    chosen = ropes.cut(spans, start, stop)
    assert [(span.row, span.item + at) for span in chosen for at in range(span.size)] == elements[start:stop]


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
