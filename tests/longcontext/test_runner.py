"""The command: what it measures, prints and writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.core import Request, open_agent
from agent.models.scripted import ScriptedModel, delegates, says
from benchmarks.longcontext.__main__ import main, parsed, tokens
from benchmarks.longcontext.corpus import write
from benchmarks.longcontext.goals import verdicts
from benchmarks.longcontext.measure import (
    AGENT,
    NAMES,
    ONE_CALL,
    Measured,
    by_one_call,
    by_the_agent,
    missing_names,
    of_ideal,
)
from benchmarks.longcontext.plot import draw
from benchmarks.longcontext.setting import Setting
from benchmarks.longcontext.table import page, row, size
from benchmarks.longcontext.tasks import TASKS
from tests.models.server import ChatServer, serving, status, text

MEASURED = [
    Measured("counting", tokens, wrong, way, 1 - wrong, not wrong, 40, tokens, 900, 2.5, 0.93)
    for tokens in (8_000, 1_000_000)
    for wrong in (0.0, 0.1)
    for way in (AGENT, ONE_CALL)
]


def test_one_command_prints_a_table_and_writes_a_page_and_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "own.log"
    log.write_text("Dec 10 07:00:00 h sshd[1]: Failed password for root from 10.0.0.1 port 22 ssh2\n")
    sizes = ("--sizes", "1k", "3k", "--window", "2k", "--latency", "0")
    main(["--tasks", "counting", "joins", *sizes, "--log", str(log), "--into", str(tmp_path)])
    said = capsys.readouterr().out
    written = (tmp_path / "longcontext.md").read_text()
    for shown in (said, written):
        for word in ("counting", "joins", "real logs", "exact", "does not fit", "10%"):
            assert word in shown
    assert "python -m benchmarks.longcontext --tasks counting joins" in written
    assert (tmp_path / "longcontext.png").read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.glob("text*"))


def test_the_agent_is_left_out_by_name_while_generated_code_lacks_what_its_analyst_needs() -> None:
    assert set(missing_names()) <= set(NAMES)


@pytest.mark.parametrize(
    ("text", "count"), [("8k", 8_000), ("131K", 131_000), ("0.5M", 500_000), ("10m", 10_000_000), ("4096", 4096)]
)
def test_sizes_are_written_as_one_says_them(text: str, count: int) -> None:
    assert tokens(text) == count


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--sizes", "many"], "many is no size: write 8000, 8k or 10M"),
        (["--sizes", "10"], "10 is too small"),
        (["--wrong", "10"], "10 is no share"),
        (["--wrong", "often"], "invalid rate value"),
        (["--tasks", "guessing"], "choose from needle, needles, counting"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(arguments)
    assert reason in capsys.readouterr().err.replace("'", "")


def test_the_share_of_ideal_speed_is_told_where_there_are_calls_enough() -> None:
    assert of_ideal(80, 2.5, Setting(latency=0.2, parallel=8)) == pytest.approx(0.8)
    assert of_ideal(81, 2.5, Setting(latency=0.2, parallel=8)) == pytest.approx(0.88)
    assert of_ideal(8, 1.0, Setting(latency=0.2, parallel=8)) is None
    assert of_ideal(80, 2.5, Setting(latency=0.0)) is None
    assert of_ideal(80, 2.5, Setting(latency=0.2, model="openai:any")) is None


def test_a_row_tells_what_was_measured_and_what_was_not() -> None:
    assert row(MEASURED[0]) == ("counting", "8k", "0%", AGENT, "exact", "40", "8,000", "900", "2.5", "93%")
    assert row(MEASURED[3])[3:5] == (ONE_CALL, "90.0%")
    missing = Measured("pairs", 10_000_000, 0.0, ONE_CALL, note="does not fit")
    assert row(missing) == ("pairs", "10M", "0%", ONE_CALL, "does not fit", "", "", "", "", "")
    assert page(MEASURED, ["fast: met"], "x").count("\n| counting |") == len(MEASURED)


@pytest.mark.parametrize(("count", "text"), [(8_000, "8k"), (131_072, "131k"), (999_600, "1M"), (10_000_000, "10M")])
def test_sizes_are_read_at_a_glance(count: int, text: str) -> None:
    assert size(count) == text


def test_the_picture_takes_any_number_of_tasks(tmp_path: Path) -> None:
    for many in (MEASURED, [*MEASURED, *(Measured(name, 8_000, 0.0, ONE_CALL) for name in TASKS)]):
        draw(many, tmp_path / "picture.png")
        assert (tmp_path / "picture.png").stat().st_size > 5_000


def test_a_configured_model_is_taken_with_what_the_configuration_says_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLM_SUB_MODEL__BASE_URL", "http://127.0.0.1:9/v1")
    settings = Setting(model="openai:any", parallel=3).settings(Path("home"), Path("text"))
    assert (settings.sub_model.name, settings.sub_model.base_url) == ("openai:any", "http://127.0.0.1:9/v1")
    assert settings.limits.max_tokens is None
    assert settings.data.text == Path("text")
    assert settings.digesting.parallel_reads == 3
    assert Setting().settings(Path("home"), None).sub_model is None


def test_goals_are_met_missed_or_not_measured() -> None:
    assert verdicts(MEASURED) == [
        "exact at every size with a reader that is never wrong: met by 2",
        "counts are off by no more than the reader is: not measured",
        "the analyst is shown at most 12,000 tokens in all: met by 4",
        "at least 90% of ideal parallel speed: met by 4",
    ]
    worse = [
        replace(MEASURED[0], exact=False, shown=12_001, of_ideal=0.5),
        replace(MEASURED[2], misread=0.1),
        replace(MEASURED[2], misread=0.09, size=9_000),
    ]
    assert verdicts(worse) == [
        "exact at every size with a reader that is never wrong: missed by 1 of 1: counting at 8,000",
        "counts are off by no more than the reader is: missed by 1 of 2: counting at 9,000",
        "the analyst is shown at most 12,000 tokens in all: missed by 1 of 3: counting at 8,000",
        "at least 90% of ideal parallel speed: missed by 1 of 3: counting at 8,000",
    ]
    assert verdicts([one for one in MEASURED if one.way == ONE_CALL])[0].endswith("not measured")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    """A chat server that the environment names for both models."""
    with serving() as chat:
        for section in ("BASE_MODEL", "SUB_MODEL"):
            monkeypatch.setenv(f"RLM_{section}__BASE_URL", f"{chat.url}/v1")
            monkeypatch.setenv(f"RLM_{section}__RETRIES", "0")
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        yield chat


def test_any_model_is_asked_in_one_call_and_its_answer_is_found_in_its_words(
    server: ChatServer, tmp_path: Path
) -> None:
    task = TASKS["needle"]
    corpus = write(task, 2_000, 1, tmp_path / "text")
    setting = Setting(model="openai:any")
    server.will(text(f'It is ```json "{corpus.answer}" ```'))
    measured = by_one_call(task, corpus, setting)
    assert (measured.exact, measured.calls, measured.shown) == (True, 1, 11)
    assert corpus.path.read_text().strip() in server.asked[0]["messages"][-1]["content"]
    server.will(status(400, "context_length_exceeded"))
    measured = by_one_call(task, corpus, setting)
    assert (measured.exact, measured.calls) == (False, 0)
    assert "any" in measured.note


def test_any_analyst_is_asked_about_the_text_and_never_shown_it(server: ChatServer, tmp_path: Path) -> None:
    task = TASKS["counting"]
    corpus = write(task, 4_000, 1, tmp_path / "text")
    server.will(text('All of one kind: {"person": 3}'))
    measured = by_the_agent(task, corpus, Setting(analyst="openai:any"))
    assert (measured.way, measured.exact, measured.calls, measured.shown) == (AGENT, False, 1, 11)
    shown = str(server.asked[0]["messages"])
    assert task.question.split("?")[0] in shown
    beyond_the_preview = corpus.path.read_text().splitlines()[10:]
    assert not [line for line in beyond_the_preview if line in shown]


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_the_guards_let_the_analysts_code_run(task, tmp_path: Path) -> None:
    corpus = write(task, 1_000, 1, tmp_path / "text")
    setting = Setting()
    model = ScriptedModel(delegates(task.code), says("That is it."))
    with open_agent(setting.settings(tmp_path, corpus.path), base_model=model, sub_model=setting.reader(task)) as agent:
        agent.ask(Request(task.question))
    assert "art_" in model.shown[1][-1].text
    assert "error_code" not in model.shown[1][-1].text
