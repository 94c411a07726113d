"""The command: what it measures, prints and writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.longcontext.__main__ import main, parsed, tokens
from benchmarks.longcontext.measure import AGENT, NAMES, ONE_CALL, Measured, missing_names, of_ideal
from benchmarks.longcontext.plot import draw
from benchmarks.longcontext.setting import Setting
from benchmarks.longcontext.table import page, row, size
from benchmarks.longcontext.tasks import TASKS

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
    for text in (said, written):
        for word in ("counting", "joins", "real logs", "exact", "does not fit", "10%"):
            assert word in text
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
    assert page(MEASURED, "x").count("\n| counting |") == len(MEASURED)


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
