"""How outputs are read: short ones as they are, long ones by fresh models, with nothing left out in silence."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.models.scripted import ScriptedModel, delegates, fails, says
from graph.budget import Digesting
from graph.errors import ModelUnavailable
from graph.events import ChunkRead
from graph.reading.digest import sample
from graph.reading.leaves import BODY, count_tokens, cut, find_header, parts_of
from graph.reading.notes import Coverage, Note, add_up, spans
from graph.reading.report import clip, result_lines
from graph.types import ExecutionResult
from tests.graph.world import World, failed, ran

SMALL = Digesting(short_chars=500, leaf_tokens=400)
LONG = "".join(f"line {number}: the quick brown fox\n" for number in range(300))


def body(message) -> str:
    return message.text.partition(BODY)[2]


def record(note: str, **figures: float) -> str:
    return json.dumps({"note": note, "figures": [{"name": name, "value": value} for name, value in figures.items()]})


def counts(messages) -> str:
    """Never wrong: how many lines there are in the part, and the first of them as a note."""
    if messages[0].text.startswith("reduce"):
        return "many lines"
    text = body(messages[1])
    return record(text[:20].strip(), lines=text.count("line "))


def read(
    run: ExecutionResult, reader=counts, digesting: Digesting = SMALL, instruction: str | None = None, **given
) -> World:
    sub = reader if isinstance(reader, ScriptedModel) else ScriptedModel.by(reader)
    model = ScriptedModel(delegates("a", instruction=instruction), says("ok"))
    world = World(model, {"a": run}, sub_model=sub, digesting=digesting, **given)
    world.ask("go")
    return world


def leaves_of(world: World) -> list[str]:
    return [shown[1].text for shown in world.sub_model.shown if shown[0].text.startswith("chunk")]


def test_a_short_output_goes_to_the_analyst_as_it_is_and_no_model_reads_it():
    world = read(ran("42\n", output='{"n": 42}', stderr="careful"))
    assert all(part in world.shown() for part in ("stdout:\n42", 'result:\n{"n": 42}', "stderr:\ncareful"))
    assert world.sub_model.shown == []


@pytest.mark.parametrize("text", ["\n".join("ab" for _ in range(150)), "x" * 499, "a | b\n" + "1 | 2\n" * 80])
def test_short_is_a_matter_of_characters_alone(text: str):
    world = read(ran(text))
    assert text.rstrip() in world.shown()
    assert world.sub_model.shown == []


def test_a_long_output_is_read_whole_by_fresh_models_and_code_adds_up_what_they_counted():
    world = read(ran(LONG), instruction="Count the lines")
    leaves = leaves_of(world)
    assert "".join(sorted((leaf.partition(BODY)[2] for leaf in leaves), key=LONG.index)) == LONG
    assert all("Count the lines" in shown[0].text and len(shown) == 2 for shown in world.sub_model.shown)
    assert f"- lines: 300 (the sum of {len(leaves)} parts)" in world.shown()
    assert f"(All {len(leaves)} parts were read.)" in world.shown()
    progress = [(event.done, event.total) for event in world.events if isinstance(event, ChunkRead)]
    assert progress == [(done, len(leaves)) for done in range(len(leaves) + 1)]


def test_notes_are_records_beside_the_artifact_with_their_parts_and_lines():
    world = read(ran(LONG))
    (notes,) = world.artifacts.notes.values()
    assert [note["part"] for note in notes] == list(range(1, len(notes) + 1))
    assert (notes[0]["lines"], notes[0]["source"]) == ("lines 1–37", "stdout")
    assert notes[1]["lines"].startswith("lines 38–")
    assert sum(figure["value"] for note in notes for figure in note["figures"]) == 300


def test_notes_that_fit_are_not_touched_by_another_model_and_keep_their_labels():
    world = read(ran(LONG), digesting=Digesting(short_chars=2_000, leaf_tokens=400))
    assert "[part 2, lines 38–" in world.shown()
    assert not any(shown[0].text.startswith("reduce") for shown in world.sub_model.shown)


def test_prose_that_does_not_fit_is_merged_whole_notes_at_a_time_with_the_parts_it_stands_for():
    def verbose(messages):
        if messages[0].text.startswith("reduce"):
            return "merged " + " ".join(re.findall(r"note \d+", messages[1].text))
        number = body(messages[1]).split()[1].rstrip(":")
        return record(f"note {number} " + "x" * 300)

    world = read(ran(LONG), verbose)
    merges = [shown[1].text for shown in world.sub_model.shown if shown[0].text.startswith("reduce")]
    assert len(merges) > 1
    assert all(text.startswith("[part") and text.rstrip().endswith("x") for text in merges)
    assert re.search(r"\[parts 1–\d+\] merged note 0 note 37", world.shown())


def test_a_merger_that_drops_things_does_not_touch_the_figures():
    def forgetful(messages):
        if messages[0].text.startswith("reduce"):
            return messages[1].text[: len(messages[1].text) // 3]
        return record("x" * 200, lines=body(messages[1]).count("line "))

    assert "- lines: 300 (" in read(ran(LONG), forgetful).shown()


def test_notes_that_no_model_can_merge_are_given_as_far_as_they_fit_and_the_rest_is_named():
    def stubborn(messages):
        if messages[0].text.startswith("reduce"):
            return fails(ModelUnavailable("out"))
        return record("y" * 200)

    shown = read(ran(LONG), stubborn).shown()
    assert "[part 1, lines 1–37 of stdout]" in shown
    assert re.search(r"\(The notes on parts \d+–9 did not fit here: the artifact's notes have them all.\)", shown)
    assert "(All 9 parts were read.)" in shown


def test_a_long_result_is_read_like_what_was_printed_and_a_short_line_of_stdout_stays():
    rows = [{"id": number, "label": f"row {number}"} for number in range(723)]

    def reader(messages):
        return record("", rows=body(messages[1]).count('"label"'))

    world = read(ran("723 rows were found\n", output=json.dumps(rows)), reader)
    assert "stdout:\n723 rows were found" in world.shown()
    assert "- rows: 723 (" in world.shown()
    assert "result:" not in world.shown()
    assert leaves_of(world)[0].startswith("Lines 1–")


def test_a_part_that_no_model_could_read_is_named_with_the_reason_and_the_person_is_told_how_much_was_read():
    def stumbles(messages):
        return fails(ModelUnavailable("the reader is out")) if "line 0:" in messages[1].text else counts(messages)

    world = read(ran(LONG), stumbles)
    assert "8 of 9 parts were read. Not read: part 1: the reader is out." in world.shown()
    state = world.graph.get_state(world.config).values
    assert state["turn"].coverage.endswith("8 of 9 parts were read")
    assert [event.missed for event in world.events if isinstance(event, ChunkRead)][-1] == 1


def test_when_no_part_could_be_read_the_analyst_is_told_so():
    world = read(ran(LONG), lambda messages: fails(ModelUnavailable("out")))
    assert "No part of the output could be read." in world.shown()


def test_a_reader_that_answers_in_another_form_is_asked_once_more_with_the_reason():
    def stubborn(messages):
        if "did not fit" in messages[1].text:
            assert "there is none" in messages[1].text
            return counts(messages)
        return "I read it all."

    world = read(ran(LONG), stubborn)
    assert "- lines: 300 (" in world.shown()
    assert len(leaves_of(world)) == 18


def test_of_an_output_beyond_the_most_leaves_an_even_sample_is_read_and_the_share_is_said():
    world = read(ran(LONG), digesting=Digesting(short_chars=100, leaf_tokens=100, max_leaves=5))
    assert len(leaves_of(world)) == 5
    assert re.search(r"\(5 of 43 parts were read, an even sample of \d+% being asked for.\)", world.shown())
    (notes,) = world.artifacts.notes.values()
    assert notes[0]["lines"].startswith("lines 1–")
    assert notes[-1]["lines"].endswith("–300")


class Kept(dict):
    def find(self, keys: Sequence[str]) -> Mapping[str, Mapping]:
        return {key: self[key] for key in keys if key in self}

    def keep(self, found: Mapping[str, Mapping]) -> None:
        self.update(found)


def test_what_was_read_before_a_kill_is_not_read_again():
    kept, reads = Kept(), []

    def dies(messages):
        reads.append(messages[1].text)
        return fails(KeyboardInterrupt()) if len(reads) == 6 else counts(messages)

    one_by_one = Digesting(short_chars=500, leaf_tokens=400, parallel_reads=1)
    with pytest.raises(KeyboardInterrupt):
        read(ran(LONG), dies, one_by_one, recall=kept)
    assert len(kept) >= 5
    before = len(kept)
    world = read(ran(LONG), counts, one_by_one, recall=kept)
    assert len(leaves_of(world)) <= 9 - before
    assert "- lines: 300 (" in world.shown()


def test_failed_code_with_a_long_output_shows_its_traceback_beside_the_digest():
    world = read(ran(LONG, status="failed", error="KeyError: 'x'", error_trace="Traceback ... KeyError"))
    assert "error: KeyError: 'x'\nTraceback" in world.shown()
    assert "digest:" in world.shown()


def test_code_that_says_nothing_is_reported_as_such():
    world = World(ScriptedModel(delegates("a"), delegates("b"), says("ok")), {"a": ran(""), "b": failed("boom")})
    world.ask("go")
    assert "It printed nothing" in str(world.model.shown[1][-1].content)
    assert "error: boom" in world.shown()


def test_a_tables_header_goes_with_each_part():
    table = "id  silo      amount\n" + "".join(f"{n}   north     {n * 10}\n" for n in range(200))
    parts = list(parts_of("stdout", [table], 200, count_tokens))
    assert [part.header for part in parts] == ["", *["id  silo      amount\n"] * (len(parts) - 1)]
    assert "".join(part.text for part in parts) == table
    assert all(count_tokens(part.header + part.text) <= 210 for part in parts)


@pytest.mark.parametrize(
    ("lines", "header"),
    [
        (["name,total\n", "a,1\n", "b,2\n"], "name,total\n"),
        (["| name | total |\n", "|---|---|\n", "| a | 1 |\n"], "| name | total |\n|---|---|\n"),
        (["a b c\n", "d e f\n", "g h i\n"], ""),
        (["Dec 10, 2024\n", "Dec 11, 2024\n", "Dec 12, 2024\n"], ""),
        (["a,b\n", "1,2\n"], ""),
    ],
)
def test_a_header_names_columns_over_values(lines: list[str], header: str):
    assert find_header(lines) == header


@given(st.lists(st.text(alphabet="ab ä\n", max_size=40)), st.integers(5, 60))
def test_parts_lose_nothing_and_are_small(pieces: list[str], most: int):
    text = "".join(pieces)
    parts = list(parts_of("stdout", pieces, most, count_tokens))
    joined = "".join(part.text for part in parts)
    assert text.startswith(joined)
    assert not text[len(joined) :].strip()
    assert all(count_tokens(part.text) <= most for part in parts)
    lines = [part.first for part in parts]
    assert lines == sorted(lines)


@given(st.text(max_size=300), st.integers(1, 40))
def test_slices_of_a_text_make_it_up_and_are_small(text: str, most: int):
    slices = list(cut(text, most, count_tokens))
    assert "".join(slices) == text
    assert all(count_tokens(one) <= most or len(one) == 1 for one in slices)


@given(st.text(max_size=500), st.integers(10, 100))
def test_a_clipped_text_keeps_its_ends(text: str, most: int):
    short = clip(text, most)
    assert short == text or (short[:5] == text[:5] and short[-5:] == text[-5:])


@given(st.integers(0, 500), st.integers(1, 50))
def test_a_sample_is_even_and_as_large_as_may_be(whole: int, most: int):
    chosen = sorted(sample(whole, most))
    assert len(chosen) == min(whole, most)
    gaps = {after - before for before, after in pairwise(chosen)}
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_figures_of_one_name_are_added_whatever_its_case_and_tenths_stay_tenths():
    notes = [
        Note(1, "stdout", "line 1", "", ({"name": "Errors", "value": 0.1}, {"name": "users", "value": 2})),
        Note(2, "stdout", "line 2", "", ({"name": "errors ", "value": 0.2},)),
    ]
    assert [(one.name, one.value, one.parts) for one in add_up(notes)] == [("Errors", 0.3, 2), ("users", 2, 1)]


def test_coverage_says_what_was_read_and_why_the_rest_was_not():
    assert str(Coverage(1, 1, 1)) == "it was read whole"
    assert (
        Coverage(2, 4, 4, reasons={"the budget": [3, 4]}).told
        == "2 of 4 parts were read. Not read: parts 3–4: the budget"
    )
    assert spans([1, 2, 3, 7, 9, 10]) == "1–3, 7, 9–10"


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        ('[{"a": 1}, {"a": 2}]', ['[{"a": 1}, {"a": 2}]']),
        (json.dumps({"n": 2, "rows": [{"a": "x" * 200}, {"a": "y" * 200}]}), ["n: 2", "rows: 2 elements"]),
        (json.dumps("one\ntwo"), ["one", "two"]),
        ("no json", ['"no json"']),
    ],
)
def test_a_result_is_read_by_lines(output: str, lines: list[str]):
    assert [line.rstrip() for line in result_lines(output)][: len(lines)] == lines
