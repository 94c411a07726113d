"""What a person sees of a turn: from events to lines."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from rich.console import Console

from agent.terminal.displays import Display, JsonDisplay, LineDisplay, LiveDisplay
from agent.terminal.progress import Progress, Remark, Step, title_of, visible
from agent.terminal.rendering import SPINNER, format_seconds, now_going_on
from graph.events import StageReached, Token, TurnEnded, TurnStarted
from graph.types import DELEGATE, ConversationResult
from tests.terminal.stories import DONE, FAILED, LIMITED, ONE, STORY

CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def folder(artifact_id: str) -> str:
    return f"/home/{artifact_id}"


class Hands:
    """A clock that stands where it is put."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def play(display: Display, hands: Hands, story: Any = None) -> None:
    with display:
        for hands.now, event in story or STORY:
            display.show(event)


def on_terminal(story: Any = None, width: int = 100) -> str:
    hands, file = Hands(), io.StringIO()
    console = Console(file=file, force_terminal=True, width=width, height=30, color_system=None, highlight=False)
    play(LiveDisplay(console, folder, hands), hands, story)
    return CODES.sub("", file.getvalue())


def beside_a_pipe(story: Any = None) -> tuple[str, list[str]]:
    hands, out, beside = Hands(), io.StringIO(), io.StringIO()
    play(LineDisplay(out, beside, folder, hands), hands, story)
    return out.getvalue(), beside.getvalue().splitlines()


def frame(until: float, width: int = 100, height: int = 30) -> list[str]:
    """The lines that move, at a moment of the story."""
    progress, file = Progress(), io.StringIO()
    for now, event in STORY:
        if now <= until:
            progress.take(event, now)
    Console(file=file, width=width).print(now_going_on(progress, until, height))
    return [line.strip(f" {SPINNER}") for line in file.getvalue().splitlines()]


def ended(result: ConversationResult) -> list[tuple[float, Any]]:
    return [(0.0, TurnStarted("t-1", "r-1")), (1.0, TurnEnded(result))]


def test_before_the_model_says_anything_one_sees_that_it_thinks_and_for_how_long() -> None:
    assert frame(0.4) == ["thinking 0.4s"]


def test_several_delegations_move_at_the_same_time_each_with_its_stage_and_time() -> None:
    assert frame(1.7) == [
        "delegated › executed › processed  0.7s  Find the twins",
        "delegated › executed › processed  0.7s  count = 2",
        "query_genie  0.7s  How many vendors?",
    ]


def test_reading_a_long_output_shows_how_many_chunks_are_read() -> None:
    assert frame(4.5) == ["delegated › executed › processed  3.5s  ━━━━╌╌╌╌╌╌╌╌╌╌╌╌ 3/12  Find the twins"]


def test_an_answer_is_laid_out_as_markdown_while_it_is_written() -> None:
    assert "Beacon is" in "\n".join(frame(7.0))


def test_a_long_answer_shows_its_end_and_many_steps_fit_the_screen() -> None:
    progress, file = Progress(), io.StringIO()
    progress.take(Token("\n\n".join(f"line {number}" for number in range(200))), 0.0)
    for number in range(40):
        progress.steps[str(number)] = Step(str(number), "tool", "", 0.0)
    Console(file=file, width=80).print(now_going_on(progress, 1.0, 12))
    lines = [line.strip() for line in file.getvalue().splitlines() if line.strip()]
    assert len(lines) <= 12
    assert "and 32 more" in lines
    assert lines[-1] == "line 199"


def test_what_is_settled_is_written_down_in_the_order_in_which_it_ended() -> None:
    lines = [line.strip() for line in on_terminal().splitlines()]
    settled = [line for line in lines if line.startswith(("✓", "✗", "rejected", "KeyError", "I look"))]
    assert settled == [
        "I look at both tables.",
        "✗ delegate_code_results  0.1s  DROP",
        "rejected: SAFETY_BLOCK: DROP destroys data",
        "✓ query_genie  1.0s  How many vendors?",
        "✗ art_000000000002  2.6s  count = 2",
        "KeyError: 'nam[31me'",
        "✓ art_000000000001  5.5s  read in 12 chunks  Find the twins",
    ]


def test_the_end_has_answer_artifacts_tokens_money_and_time() -> None:
    shown = on_terminal()
    assert "Beacon is there twice." in shown
    assert f"{ONE}  /home/{ONE}" in shown
    last = shown.strip().splitlines()[-1].strip()
    assert last == "8.0s · 3 model calls · 1,200 tokens in, 34 out · $0.0123 · 3 delegations · thread t-1"


@pytest.mark.parametrize("width", [20, 40, 200])
def test_any_width_will_do(width: int) -> None:
    assert "twice" in on_terminal(width=width)


def test_beside_a_pipe_only_the_answer_is_on_standard_output() -> None:
    out, beside = beside_a_pipe()
    assert out == "**Beacon** is there twice.\n"
    assert beside[0].strip() == "I look at both tables."
    assert beside[-1].startswith("8.0s · ")
    assert not any("\x1b" in line for line in beside)


def test_a_failed_turn_is_one_line_on_standard_error_and_nothing_else() -> None:
    assert beside_a_pipe(ended(FAILED)) == ("", ["m can't be reached; check base_model.base_url"])


def test_a_limit_that_ended_the_turn_is_named_with_its_setting() -> None:
    out, beside = beside_a_pipe(ended(LIMITED))
    assert out == "So far: two.\n"
    assert beside[0] == "The iteration limit (limits.max_iterations) was reached before the analyst had finished."


def test_a_delegation_of_an_earlier_turn_is_shown_though_nobody_called_it_now() -> None:
    late = StageReached("old", ONE, 1, "processed", "consumed", None, "run-1")
    _, beside = beside_a_pipe([(0.0, TurnStarted("t-1", "r-1", resumed=True)), (1.0, late), *ended(DONE)[1:]])
    assert beside[0].strip() == f"✓ {ONE}  0.0s  {ONE} goes on"


def test_json_is_one_object_with_the_results_fields_and_where_the_artifacts_are() -> None:
    out = io.StringIO()
    play(JsonDisplay(out, folder), Hands())
    (line,) = out.getvalue().splitlines()
    found = json.loads(line)
    assert set(found) == {
        "response_text", "status", "fatal_error_msg", "delegation_count", "end", "thread_id", "request_id",
        "missing", "usage", "seconds", "artifacts", "coverage", "items", "parsed",
        "refusal",
    }  # fmt: skip
    assert found["artifacts"][0] == {"artifact_id": ONE, "folder": f"/home/{ONE}", "figures": 0}
    assert found["usage"] == {"input_tokens": 1200, "output_tokens": 34, "cost_usd": 0.0123, "calls": 3}


def test_json_events_is_a_line_for_each_event_by_name() -> None:
    out = io.StringIO()
    play(JsonDisplay(out, folder, events=True), Hands())
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert len(lines) == len(STORY)
    assert [line["event"] for line in lines[:2]] == ["turn_started", "token"]
    assert {line["event"] for line in lines} == {
        "turn_started", "token", "model_called", "call_started", "stage_reached", "call_answered", "chunk_read",
        "turn_ended",
    }  # fmt: skip
    assert lines[-1]["response_text"] == DONE.response_text


TITLES = [
    (DELEGATE, {"code": "'''What  is\nit?'''\nprint(1)"}, "What is it?"),
    (DELEGATE, {"code": "# comment\nimport os\nx = 1"}, "x = 1"),
    (DELEGATE, {"code": "import os"}, "import os"),
    (DELEGATE, {"code": "'''open"}, "'''open"),
    (DELEGATE, {}, ""),
    (DELEGATE, {"code": "a" * 300}, "a" * 99 + "…"),
    ("metadata_keyword_search", {"keyword": "vendor", "operator": "LIKE"}, "vendor"),
    ("exit_loop", {}, ""),
]


@pytest.mark.parametrize(("name", "arguments", "title"), TITLES)
def test_a_call_is_titled_by_what_it_is_about(name: str, arguments: dict[str, Any], title: str) -> None:
    assert title_of(name, arguments) == title


def test_what_models_and_data_say_can_not_command_the_terminal() -> None:
    assert visible("a\x1b]0;owned\x07b\x9b31mc\u202ed\ne\tf") == "a]0;ownedb31mcd\ne\tf"


def test_said_before_a_call_is_a_remark_and_what_is_said_last_is_the_answer() -> None:
    progress = Progress()
    settled = [one for now, event in STORY for one in progress.take(event, now)]
    assert settled[0] == Remark("I look at both tables.")
    assert progress.text == "**Beacon** is there twice."


@pytest.mark.parametrize(("seconds", "said"), [(0, "0.0s"), (59.94, "59.9s"), (60, "1m00s"), (3599, "59m59s")])
def test_times_are_told_in_minutes_and_seconds(seconds: float, said: str) -> None:
    assert format_seconds(seconds) == said
