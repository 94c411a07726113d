"""Homes that earlier commits left: this one opens every thread of them and goes on with it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import nbformat
import pytest

from agent.config import Settings
from agent.core import Agent, Request, open_agent
from agent.models.scripted import ScriptedModel, calls, delegates, says
from agent.terminal.command_line import main

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
NAMES = sorted(path.stem for path in HERE.glob("*.json"))
KINDS = ("sqlite", "duckdb")
TOLD: dict[str, dict[str, Any]] = {name: json.loads((HERE / f"{name}.json").read_text()) for name in NAMES}
THREADS = sorted({thread.rpartition("-")[0] for told in TOLD.values() for thread in told})
ENDED = [thread for thread in THREADS if thread not in ("unread", "cutoff", "late")]

Opener = Callable[..., Agent]
Command = Callable[..., Any]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def folder(name: str, tmp_path: Path) -> Path:
    """The home in another place than where it was made, with the file that it was about beside it."""
    with tarfile.open(HERE / f"{name}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / name


@pytest.fixture
def opened(folder: Path, kind: str) -> Iterator[Opener]:
    with ExitStack() as stack:

        def opens(*script: Any, sub_model: ScriptedModel | None = None, **settings: Any) -> Agent:
            given = {
                "home": folder / "home",
                "data": {"sample": False, "paths": [folder / "visits.csv"]},
                "checkpointer": {"kind": kind},
                "jobs_folder": ROOT / "notebooks" / "jobs",
                "tracing": {"enabled": False},
                **settings,
            }
            model = script[0] if isinstance(script[0], ScriptedModel) else ScriptedModel(*script)
            reader = sub_model or ScriptedModel.by(read_part)
            return stack.enter_context(open_agent(Settings.model_validate(given), base_model=model, sub_model=reader))

        yield opens


def read_part(messages: Any) -> str:
    count = messages[-1].text.count("ward south")
    return json.dumps({"note": "", "figures": [{"name": "lines of the south", "value": count}]})


@pytest.fixture
def command(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line in this process, with the old home; what it says as JSON, or as text."""
    for variable in os.environ:
        if variable.startswith(("RLM_", "ADK_", "OPENAI_")):
            monkeypatch.delenv(variable)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    def run(*arguments: str, text: bool = False) -> Any:
        assert main([*arguments, *place(kind), *([] if text else ["--json"])]) == 0, capsys.readouterr()
        said = capsys.readouterr().out
        return said if text else json.loads(said)

    return run


def place(kind: str) -> list[str]:
    return [
        "--env-file",
        os.devnull,
        "--data",
        "visits.csv",
        "--set",
        "home=home",
        "--set",
        f"checkpointer.kind={kind}",
    ]


def shown(model: ScriptedModel, call: int = 0) -> str:
    """All that one call of the model saw."""
    return "\n".join(message.text for message in model.shown[call])


def test_every_thread_is_listed_and_tells_what_was_said(name: str, kind: str, command: Command) -> None:
    told = {thread: story for thread, story in TOLD[name].items() if story["kind"] == kind}
    listed = {row["thread"]: row for row in command("threads", "list", "--most", "100")}
    assert {thread: row["turns"] for thread, row in listed.items()} == {
        thread: len(story["said"]) for thread, story in told.items()
    }
    for thread, story in told.items():
        turns = command("threads", "show", thread)
        assert [[turn["question"], turn["answer"]] for turn in turns] == story["said"], thread


def test_every_artifact_is_listed_shown_and_opened(name: str, command: Command, folder: Path) -> None:
    listed = {row["artifact"]: row for row in command("artifacts", "list", "--most", "1000")}
    for thread, story in TOLD[name].items():
        for artifact in story["artifacts"]:
            assert listed[artifact]["thread"] == thread
    assert {row["status"] for row in listed.values()} == {"success", "failed", "running"}
    for artifact, row in listed.items():
        found = command("artifacts", "show", artifact)
        assert (found["status"], found["thread_id"]) == (row["status"], row["thread"])
        assert found["code"].strip()
        assert Path(found["folder"]).is_relative_to(folder)
        assert artifact in command("artifacts", "show", artifact, text=True)
        notebook = Path(command("artifacts", "open", artifact, text=True).strip())
        nbformat.validate(nbformat.read(notebook, as_version=4))


@pytest.mark.parametrize("thread", ENDED)
def test_a_thread_goes_on_and_knows_what_was_said(name: str, kind: str, thread: str, opened: Opener) -> None:
    thread_id = f"{thread}-{kind}"
    question, answer = TOLD[name][thread_id]["said"][-1]
    model = ScriptedModel(delegates("print('and now ' + str(6 * 7))"), says("Going on."))
    result = opened(model).ask(Request("And now?", thread_id=thread_id))
    assert (result.status, result.end, result.response_text) == ("success", "answer", "Going on."), result
    assert question in shown(model)
    assert answer in shown(model)
    assert "and now 42" in model.shown[1][-1].text


@pytest.mark.parametrize("thread", ENDED)
def test_an_old_request_gets_its_old_answer_and_asks_no_model(
    name: str, kind: str, thread: str, opened: Opener
) -> None:
    thread_id = f"{thread}-{kind}"
    story = TOLD[name][thread_id]
    number = len(story["said"])
    question, answer = story["said"][-1]
    result = opened(ScriptedModel()).ask(Request(question, thread_id=thread_id, request_id=f"{thread_id}-{number}"))
    assert (result.response_text, result.end) == (answer, story["end"])


def test_what_delegations_brought_is_still_shown_to_the_model(kind: str, opened: Opener) -> None:
    model = ScriptedModel(says("Yes."))
    opened(model).ask(Request("Go on", thread_id=f"several-{kind}"))
    seen = shown(model)
    for part in (
        "Quote the number",
        '{"product": 42',
        "134 lines are of the south",
        "ZeroDivisionError",
        "north      27",
    ):
        assert part in seen or any(part in str(getattr(m, "tool_calls", "")) for m in model.shown[0]), part
    for code in ("SAFETY_BLOCK", "SYNTAX_ERROR"):
        assert f'"error_code": "{code}"' in seen


@pytest.mark.parametrize("same", [True, False], ids=["the same request", "another question"])
def test_a_turn_killed_before_its_output_was_read_is_resumed_and_runs_nothing_twice(
    kind: str, same: bool, opened: Opener, command: Command
) -> None:
    thread = f"unread-{kind}"

    def runs() -> dict[str, str]:
        listed = command("artifacts", "list", "--thread", thread)
        return {
            row["artifact"]: command("artifacts", "show", row["artifact"])["result"]["start_time"] for row in listed
        }

    before = runs()
    assert len(before) == 2
    model = ScriptedModel(says("Read at last."), says("And more."))
    agent = opened(model)
    request = Request("Go.", thread, f"{thread}-2") if same else Request("Well?", thread)
    result = agent.ask(request)
    assert (result.status, result.response_text) == ("success", "Read at last." if same else "And more."), result
    assert "- lines of the south: 134 (" in shown(model)
    assert "quick" in shown(model)
    agent.close()
    assert runs() == before


def test_a_turn_killed_in_mid_run_is_resumed_and_says_what_was_cut_off(kind: str, opened: Opener) -> None:
    model = ScriptedModel(says("Picked up."))
    thread = f"cutoff-{kind}"
    result = opened(model).ask(Request("Go.", thread_id=thread, request_id=f"{thread}-2"))
    assert (result.status, result.response_text) == ("success", "Picked up."), result
    answers = [message.text for message in model.shown[0] if message.type == "tool"]
    assert any("quick is done" in answer for answer in answers)
    assert any("interrupted" in answer for answer in answers)


def test_a_run_that_outlived_its_request_is_looked_at_in_the_next_turn(name: str, kind: str, opened: Opener) -> None:
    model = ScriptedModel(says("4711."))
    thread = f"late-{kind}"
    assert TOLD[name][thread]["end"] == "run_running"
    result = opened(model).ask(Request("And?", thread_id=thread))
    assert result.response_text == "4711."
    assert "the late figure is 4711" in model.shown[0][-1].text


def test_state_is_kept_for_the_thread_its_person_and_the_app(kind: str, opened: Opener) -> None:
    model = ScriptedModel.by(lambda messages: "ok")
    agent = opened(model)
    agent.ask(Request("1", thread_id=f"scoped-{kind}", user_id="ada.l@x.org"))
    agent.ask(Request("2", user_id="ada.l@x.org"))
    agent.ask(Request("3", user_id="ada"))
    words = ("calm", "grey", "teal", "Ada", "slow")
    seen = [{word for word in words if word in messages[0].text} for messages in model.shown]
    assert seen == [{"teal", "Ada", "slow"}, {"Ada", "slow"}, {"slow"}]


def test_a_job_and_a_conversation_with_genie_are_found_again(name: str, kind: str, opened: Opener) -> None:
    thread = f"tools-{kind}"
    (run_id,) = [word.strip(".") for word in TOLD[name][thread]["said"][-1][1].split() if word.strip(".").isdigit()]
    asked: list[str] = []

    def genie(messages: Any) -> str:
        asked.append(messages[0].text)
        return "```sql\nSELECT count(*) AS days FROM visits\n```"

    model = ScriptedModel(
        calls(("poll_databricks_job", {"run_id": run_id}), ("query_genie", {"query": "And of how many days?"})),
        says("It is done."),
    )
    result = opened(model, sub_model=ScriptedModel.by(genie)).ask(Request("Is it done?", thread_id=thread))
    assert result.response_text == "It is done."
    polled, counted = (message.text for message in model.shown[1][-2:])
    assert json.loads(json.loads(polled)["result"])["tables"][0]["table"] == "files.data.visits"
    assert "| 4 |" in counted
    assert "How many visits in all?" in asked[0]


def test_a_long_thread_is_carried_by_its_capsule(name: str, kind: str, opened: Opener) -> None:
    model = ScriptedModel(says("ok"))
    thread = f"long-{kind}"
    opened(model, memory={"window_chars": 600, "capsule_entries": 5}).ask(Request("Next?", thread_id=thread))
    instructions, *messages = model.shown[0]
    earlier = TOLD[name][thread]["said"][-4][0]
    assert f"Asked: {earlier}" in instructions.text
    assert all(earlier not in message.text for message in messages)
    assert TOLD[name][thread]["artifacts"][0] in instructions.text


def test_a_thread_is_copied_rewound_and_moved(name: str, kind: str, command: Command, tmp_path: Path) -> None:
    thread, file = f"several-{kind}", tmp_path / "moved"
    said = TOLD[name][thread]["said"]
    command("threads", "fork", thread, "copy", text=True)
    command("threads", "rewind", "copy", "1", text=True)
    assert [turn["question"] for turn in command("threads", "show", "copy")] == [said[0][0]]
    command("threads", "export", thread, str(file), text=True)
    command("threads", "import", str(file), "--as", "moved", text=True)
    assert [turn["answer"] for turn in command("threads", "show", "moved")] == [answer for _, answer in said]


def test_a_person_goes_on_at_the_command_line(kind: str, folder: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RLM_", "ADK_", "OPENAI_"))}
    done = subprocess.run(
        [sys.executable, str(ROOT / "main.py"), *place(kind), "--thread", "unread", "--json", "Total visits by ward"],
        cwd=folder, env=clean, input="", capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["thread_id"] == f"unread-{kind}"
    assert "27" in said["response_text"]
