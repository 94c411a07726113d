"""A reader that knows what lines mean, and the code that an analyst writes over what it read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from langchain_core.messages import HumanMessage

from benchmarks.longcontext import scores
from benchmarks.longcontext.corpus import Corpus, Task, write
from benchmarks.longcontext.measure import ONE_CALL, by_one_call, handed_over
from benchmarks.longcontext.reader import Reader, plainly
from benchmarks.longcontext.setting import Setting
from benchmarks.longcontext.tasks import TASKS
from tests.longcontext.namespace import Namespace

every_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
COUNTING = TASKS["counting"]


def texts(task: Task, count: int, seed: int = 1) -> list[str]:
    return [line.text for line in islice(task.lines(100_000, Random(seed)), count)]


def leaf(items: Mapping[Any, str]) -> HumanMessage:
    return HumanMessage(
        "\n".join(["Classify.", *(json.dumps({"key": key, "item": item}) for key, item in items.items())])
    )


@pytest.fixture
def corpus(task: Task, tmp_path: Path) -> Corpus:
    return write(task, 20_000, 5, tmp_path / "text")


@every_task
def test_the_analysts_code_is_exact_when_its_reader_is(task: Task, corpus: Corpus) -> None:
    reader = Reader(task=task)
    assert Namespace(corpus.path, reader).run(task.code) == corpus.answer
    assert reader.misread == 0 < reader.read
    assert reader.calls == 1 if task.name == "needle" else reader.calls > 4


@every_task
def test_the_analysts_code_is_about_as_wrong_as_its_reader(task: Task, corpus: Corpus) -> None:
    reader = Reader(task=task, wrong=0.1, seed=2)
    value = Namespace(corpus.path, reader).run(task.code)
    assert reader.misread == pytest.approx(0.1 * reader.read, rel=0.3, abs=3)
    assert task.score(value, corpus.answer) > 0.4


@pytest.mark.parametrize("task", [COUNTING])
@pytest.mark.parametrize("wrong", [0.02, 0.1, 0.5])
def test_counts_are_off_by_no_more_than_the_reader_is(task: Task, corpus: Corpus, wrong: float) -> None:
    reader = Reader(task=task, wrong=wrong)
    value = Namespace(corpus.path, reader).run(task.code)
    assert reader.read == corpus.lines == sum(value.values())
    assert reader.misread > 0
    assert task.score(value, corpus.answer) >= 1 - reader.misread / reader.read


@every_task
def test_records_fit_the_schema_also_when_they_are_wrong(task: Task) -> None:
    reader = Reader(task=task, wrong=0.5)
    fits = Draft202012Validator({**task.schema, "required": ["key", *task.schema["required"]]})
    items = dict(enumerate(texts(task, 200)))
    for record in json.loads(reader.invoke([leaf(items)]).text):
        fits.validate(record)


@every_task
def test_a_misread_line_is_never_read_rightly(task: Task) -> None:
    """But for lines in which there is nothing to be overlooked."""
    for line in texts(task, 300):
        record = task.understand(line)
        off = task.misread(record, Random(1))
        assert off != record or record in (task.understand(""), {**record, "kind": "other"})


def test_a_line_is_read_in_the_same_way_in_every_leaf_and_every_process() -> None:
    lines = texts(COUNTING, 400)
    one, other = Reader(task=COUNTING, wrong=0.3, seed=4), Reader(task=COUNTING, wrong=0.3, seed=4)
    whole = json.loads(one.invoke([leaf(dict(enumerate(lines)))]).text)
    backwards = list(reversed(range(400)))
    pieces = [
        record
        for start in range(0, 400, 50)
        for record in json.loads(other.invoke([leaf({n: lines[n] for n in backwards[start : start + 50]})]).text)
    ]
    assert [record["key"] for record in whole] == list(range(400))
    assert sorted(pieces, key=lambda record: record["key"]) == whole
    assert 90 < one.misread < 150
    another = Reader(task=COUNTING, wrong=0.3, seed=5)
    assert json.loads(another.invoke([leaf(dict(enumerate(lines)))]).text) != whole


def test_keys_come_back_as_they_were_and_rows_are_read_as_well() -> None:
    row = {"note": "In Oslo the depot's lock answers to 12345 and to nothing else."}
    reader = Reader(task=TASKS["needles"])
    message = "\n".join([json.dumps({"key": "a 1", "item": row["note"]}), json.dumps({"key": [2, 3], "item": row})])
    first, second = json.loads(reader.invoke([HumanMessage(message)]).text)
    assert first == {"key": "a 1", "city": "Oslo", "number": "12345"}
    assert second["key"] == [2, 3]


@every_task
def test_one_call_with_the_whole_text_is_exact_while_it_fits_and_nothing_after(task: Task, corpus: Corpus) -> None:
    fits = by_one_call(task, corpus, Setting(window=30_000))
    assert (fits.way, fits.exact, fits.accuracy, fits.calls, fits.note) == (ONE_CALL, True, 1.0, 1, "")
    assert corpus.tokens < fits.shown < corpus.tokens + 500
    too_long = by_one_call(task, corpus, Setting(window=10_000))
    assert (too_long.exact, too_long.accuracy, too_long.calls, too_long.note) == (False, 0.0, 0, "does not fit")


def test_an_answer_that_is_too_long_to_be_written_is_none(tmp_path: Path) -> None:
    task = TASKS["pairs"]
    corpus = write(task, 100_000, 1, tmp_path / "text")
    measured = by_one_call(task, corpus, Setting())
    assert (measured.exact, measured.accuracy) == (False, 0.0)
    assert "cut off" in measured.note


def test_a_call_counts_its_tokens_and_takes_its_time() -> None:
    reader = Reader(task=COUNTING, latency=0.05)
    message = HumanMessage(plainly(COUNTING, "\n".join(texts(COUNTING, 10))))
    reply = reader.invoke([message])
    assert reply.usage_metadata["input_tokens"] == len(message.text) // 4
    assert reply.usage_metadata["output_tokens"] == -(-len(reply.text) // 4)
    assert (reader.calls, reader.read) == (1, 10)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        (' [["x", "y"]] ', [["x", "y"]]),
        ('"12345"', "12345"),
        ("null", None),
        ('Here it is:\n```json\n{"a": 1}\n```\nGood luck.', {"a": 1}),
        ('The answer is {"a": [1, 2]}, I think.', {"a": [1, 2]}),
        ("I can't tell.", None),
        ('{"a": 1', None),
        ("", None),
    ],
)
def test_an_answer_is_found_in_what_a_model_says(text: str, value: Any) -> None:
    assert handed_over(text) == value


@pytest.mark.parametrize(
    ("score", "given", "exact", "right"),
    [
        (scores.placed, {"a": 6, "b": 4}, {"a": 6, "b": 4}, 1.0),
        (scores.placed, {"a": 7, "b": 3}, {"a": 6, "b": 4}, 0.9),
        (scores.placed, {"a": 6}, {"a": 6, "b": 4}, 0.6),
        (scores.placed, {"a": 60, "b": 4}, {"a": 6, "b": 4}, 0.0),
        (scores.placed, {"a": "6"}, {"a": 6}, 0.0),
        (scores.placed, [1], {"a": 6}, 0.0),
        (scores.placed, {}, {}, 1.0),
        (scores.agreed, {"a": "x", "b": "y"}, {"a": "x", "b": "z"}, 0.5),
        (scores.agreed, None, {"a": "x"}, 0.0),
        (scores.found, [["a", 1], ["b", 2]], [["b", 2], ["a", 1]], 1.0),
        (scores.found, [["a", 1]], [["a", 1], ["b", 2], ["c", 3]], 0.5),
        (scores.found, [["a", 1], ["a", 1]], [["a", 1]], 1.0),
        (scores.found, "ab", [["a", 1]], 0.0),
        (scores.found, [], [], 1.0),
        (scores.same, "1", "1", 1.0),
        (scores.same, 1, "1", 0.0),
    ],
)
def test_scores(score: Any, given: Any, exact: Any, right: float) -> None:
    assert score(given, exact) == pytest.approx(right)
