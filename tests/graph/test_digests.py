"""How long outputs are read: by fresh models, chunk by chunk, with nothing left out in silence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.models.scripted import ScriptedModel, delegates, fails, says
from graph.budget import Digesting
from graph.digest import chunks, clip, preview
from graph.errors import ModelUnavailable
from graph.events import ChunkRead
from tests.graph.world import World, failed, ran

SMALL = Digesting(short_chars=500, chunk_chars=1_000, max_chunks=20)
LONG = "".join(f"line {number}: the quick brown fox\n" for number in range(300))


def reader(messages) -> str:
    """Counts the lines of a chunk; adds up the counts."""
    if messages[0].text.startswith("reduce"):
        return f"sum {sum(int(word) for word in messages[1].text.split() if word.isdigit())}"
    return f"lines= {messages[1].text.count('line ')}"


def test_a_short_output_goes_to_the_analyst_as_it_is_and_no_model_reads_it() -> None:
    world = World(ScriptedModel(delegates("a"), says("ok")), {"a": ran("42\n", output='{"n": 42}', stderr="careful")})
    world.ask("go")
    assert all(part in world.shown() for part in ("stdout:\n42", 'result:\n{"n": 42}', "stderr:\ncareful"))
    assert world.sub_model.shown == []


def test_a_long_output_is_read_by_fresh_models_with_the_instruction_and_then_reduced() -> None:
    sub = ScriptedModel.by(reader)
    model = ScriptedModel(delegates("a", instruction="Count the lines"), says("ok"))
    world = World(model, {"a": ran(LONG)}, sub_model=sub, digesting=SMALL)
    values = world.ask("go")
    reads = [shown for shown in sub.shown if shown[0].text.startswith("chunk")]
    assert "".join(sorted((shown[1].text for shown in reads), key=LONG.index)) == LONG
    assert all("Count the lines" in shown[0].text and len(shown) == 2 for shown in sub.shown)
    assert f"(All {len(reads)} parts of the output were read.)" in world.shown()
    assert "line 7:" not in world.shown()
    progress = [(e.done, e.total) for e in world.events if isinstance(e, ChunkRead)]
    assert progress == [(done, len(reads)) for done in range(len(reads) + 1)]
    assert values["delegations"].popitem()[1].stage == "processed"
    assert world.artifacts.digests


def test_a_chunk_that_no_model_could_read_is_named_with_the_reason() -> None:
    def stumbles(messages):
        return fails(ModelUnavailable("the reader is out")) if "line 0:" in messages[1].text else reader(messages)

    world = World(
        ScriptedModel(delegates("a"), says("ok")), {"a": ran(LONG)},
        sub_model=ScriptedModel.by(stumbles), digesting=SMALL,
    )  # fmt: skip
    world.ask("go")
    assert "Not read: part 1: the reader is out." in world.shown()


def test_when_no_chunk_could_be_read_the_analyst_is_told_so() -> None:
    sub = ScriptedModel.by(lambda messages: fails(ModelUnavailable("out")))
    world = World(ScriptedModel(delegates("a"), says("ok")), {"a": ran(LONG)}, sub_model=sub, digesting=SMALL)
    world.ask("go")
    assert "No part of the output could be read." in world.shown()


def test_an_output_beyond_the_most_chunks_gets_larger_chunks_so_that_all_of_it_is_read() -> None:
    sub = ScriptedModel.by(reader)
    sizes = Digesting(short_chars=100, chunk_chars=100, max_chunks=5)
    world = World(ScriptedModel(delegates("a"), says("ok")), {"a": ran(LONG)}, sub_model=sub, digesting=sizes)
    world.ask("go")
    reads = [shown[1].text for shown in sub.shown if shown[0].text.startswith("chunk")]
    assert len(reads) <= 7
    assert "".join(sorted(reads, key=LONG.index)) == LONG


def test_failed_code_with_a_long_output_shows_its_traceback_beside_the_digest() -> None:
    broken = ran(LONG, status="failed", error="KeyError: 'x'", error_trace="Traceback ... KeyError")
    sub = ScriptedModel.by(reader)
    world = World(ScriptedModel(delegates("a"), says("ok")), {"a": broken}, sub_model=sub, digesting=SMALL)
    world.ask("go")
    assert "error: KeyError: 'x'\nTraceback" in world.shown()
    assert "digest:" in world.shown()


def test_code_that_says_nothing_is_reported_as_such() -> None:
    world = World(ScriptedModel(delegates("a"), delegates("b"), says("ok")), {"a": ran(""), "b": failed("boom")})
    world.ask("go")
    assert "It printed nothing" in str(world.model.shown[1][-1].content)
    assert "error: boom" in world.shown()


def test_a_preview_keeps_25_lines_of_the_head_and_24_of_the_tail() -> None:
    text = "\n".join(str(number) for number in range(100))
    shown = preview(text, 25, 24)
    lines = shown.text.splitlines()
    assert shown.truncated
    assert (lines[24], lines[25], lines[26]) == ("24", "... (51 lines omitted) ...", "76")
    assert len(lines) == 50


@pytest.mark.parametrize("count", [0, 1, 49, 50])
def test_up_to_fifty_lines_are_shown_whole(count: int) -> None:
    text = "\n".join("x" for _ in range(count))
    assert preview(text, 25, 24).text == text
    assert not preview(text, 25, 24).truncated


def test_one_endless_line_is_cut_and_counts_as_truncated() -> None:
    shown = preview("x" * 5_000, 25, 24)
    assert shown.truncated
    assert len(shown.text) < 1_100


@given(st.lists(st.text(alphabet="ab\n", max_size=40)), st.integers(1, 30))
def test_chunks_lose_nothing_but_blank_ends_and_never_exceed_their_size(pieces: list[str], size: int) -> None:
    text = "".join(pieces)
    cut = list(chunks(pieces, size))
    assert all(len(chunk) <= size for chunk in cut)
    joined = "".join(cut)
    assert text.startswith(joined)
    assert not text[len(joined) :].strip()


@given(st.text(max_size=500), st.integers(10, 100))
def test_a_clipped_text_keeps_its_ends(text: str, most: int) -> None:
    short = clip(text, most)
    assert short == text or (short[:5] == text[:5] and short[-5:] == text[-5:])
