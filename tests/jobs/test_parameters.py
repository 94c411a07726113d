"""Which prompt is asked, and what parameters come from where."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.jobs import ingestor, orchestrator
from agent.jobs.entry import run
from agent.jobs.parameters import complete, load, read_command
from agent.jobs.prompt import find_prompt, read_prompt_file
from graph.errors import InvalidRequest

FILES = {
    "/Volumes/c/s/v/own.txt": b"\xef\xbb\xbffrom the file\n",
    "/Volumes/silo_dev_rs/task/task_txt/task.txt": b"the usual",
}


@pytest.mark.parametrize(
    ("literal", "file", "asked"),
    [
        ("said", "/Volumes/c/s/v/own.txt", "said"),
        ("", "/Volumes/c/s/v/own.txt", "from the file"),
        ("", "", "the usual"),
    ],
)
def test_the_literal_prompt_wins_over_the_file_and_that_over_the_usual_one(literal: str, file: str, asked: str) -> None:
    assert find_prompt(literal, file, "silo_dev_rs", FILES.__getitem__) == asked


@pytest.mark.parametrize(
    ("content", "said"), [(b" \n", "is empty"), (b"\xff\xfe\x00", "is no text in UTF-8")], ids=["empty", "not UTF-8"]
)
def test_a_file_that_is_no_prompt_is_named(content: bytes, said: str) -> None:
    with pytest.raises(InvalidRequest, match=f"/f.txt {said}"):
        find_prompt("", "/f.txt", None, lambda path: content)


def test_without_any_prompt_the_parameters_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="set ADK_PROMPT or ADK_PROMPT_FILE, or ADK_DELTA_CATALOG"):
        find_prompt("", "", None, FILES.__getitem__)
    with pytest.raises(InvalidRequest, match=r"No such file or directory.*check ADK_PROMPT_FILE"):
        read_prompt_file(str(tmp_path / "nothing.txt"))


def test_flags_win_over_variables_and_those_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADK_SESSION_ID", "from the environment")
    monkeypatch.setenv("ADK_USER_ID", "ann")
    given = read_command("rlm-orchestrator", orchestrator.PARAMETERS, ["--prompt", "Count.", "--session-id", "said"])
    values = complete(orchestrator.PARAMETERS, given)
    assert (values["ADK_PROMPT"], values["ADK_SESSION_ID"], values["ADK_USER_ID"]) == ("Count.", "said", "ann")
    monkeypatch.undo()
    values = complete(orchestrator.PARAMETERS, read_command("rlm-orchestrator", orchestrator.PARAMETERS, []))
    assert (values["ADK_SESSION_ID"], values["ADK_USER_ID"]) == ("session_001", "job_user")
    assert read_command("rlm-ingestor", ingestor.PARAMETERS, ["--dry-run"])["ADK_DRY_RUN"] == "true"


def test_parameters_stand_above_the_file_of_settings(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("limits: {max_iterations: 3}\ndata: {catalog: main, schema: sales}\n")
    settings = load(
        {"CONFIG": str(file), "ADK_MAX_ITERATIONS": "7", "ADK_DELTA_SCHEMA": "", "ADK_EXECUTOR_JOB_ID": "12"}
    )
    assert (settings.limits.max_iterations, settings.data.schema_name, settings.execution.job_id) == (7, "sales", "12")


def test_what_there_is_not_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no parameter ADK_PROMT; there are ADK_PROMPT,"):
        complete(orchestrator.PARAMETERS, {"ADK_PROMT": "x"})
    with pytest.raises(InvalidRequest, match=r"CONFIG names .*nothing.yaml"):
        load({"CONFIG": str(tmp_path / "nothing.yaml")})


@pytest.mark.parametrize("missing", ["ADK_TASK_TABLE", "ADK_ASSIGNEE", "ADK_ORCHESTRATOR_JOB_ID"])
def test_the_ingestor_names_what_it_can_not_do_without(missing: str) -> None:
    given = {"ADK_TASK_TABLE": "c.s.t", "ADK_ASSIGNEE": "a", "ADK_ORCHESTRATOR_JOB_ID": "1", missing: ""}
    with pytest.raises(InvalidRequest, match=f"{missing} is not set"):
        ingestor.run_ingestor(given)


def test_a_command_asks_the_offline_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same code in mode local, where nothing has to be configured."""
    monkeypatch.setenv("RLM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RLM_TRACING__ENABLED", "false")
    monkeypatch.setattr(
        "sys.argv", ["rlm-orchestrator", "--prompt", "How many vendors are there?", "--session-id", "t1"]
    )
    run("rlm-orchestrator", orchestrator.PARAMETERS, orchestrator.run_orchestrator)
    out = capsys.readouterr().out
    assert '"status": "success"' in out
    assert '"thread_id": "t1"' in out
    monkeypatch.setattr("sys.argv", ["rlm-orchestrator", "--prompt-file", str(tmp_path / "nothing")])
    with pytest.raises(SystemExit) as left:
        run("rlm-orchestrator", orchestrator.PARAMETERS, orchestrator.run_orchestrator)
    assert left.value.code == 2
    assert "ADK_PROMPT_FILE" in capsys.readouterr().err
