"""The command line as people and scripts use it: real processes, their output and exit codes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agent.terminal.command_line import main
from tests.terminal.processes import ROOT, command, run

QUESTION = "How many vendors are there per silo?"
THREAD = re.compile(r"thread ([0-9a-f-]{36})")


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """One line on standard error, nothing on standard output, exit code 2."""
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    (line,) = done.stderr.splitlines()
    assert "Traceback" not in line
    return line


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """The same without a process of its own, which takes seconds: for what asks no model."""

    def run_here(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        code = main(["--env-file", os.devnull, *arguments])
        captured = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, captured.out, captured.err)

    for name in os.environ:
        if name.startswith(("RLM_", "ADK_", "OPENAI_")):
            monkeypatch.delenv(name)
    return run_here


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which one question was asked, and the thread's id."""
    folder = tmp_path_factory.mktemp("asked")
    done = run(folder, "--json", QUESTION)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)["thread_id"]


def test_help_names_options_and_commands_and_is_quick(tmp_path: Path) -> None:
    began = time.perf_counter()
    done = run(tmp_path, "--help")
    print(f"--help took {time.perf_counter() - began:.2f} s")
    assert done.returncode == 0
    for word in ("--thread", "--data", "--json", "serve", "threads", "artifacts", "config", "Exit codes"):
        assert word in done.stdout


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from agent.terminal.command_line import main; main(['--help'])\n"
        "print(*(n for n in ('rich','pydantic','langgraph','langchain_core','prompt_toolkit','yaml','duckdb','mlflow')"
        " if n in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.split() == []


def test_a_question_is_answered_on_standard_output_with_the_stages_beside_it(tmp_path: Path) -> None:
    done = run(tmp_path, QUESTION)
    assert done.returncode == 0
    assert "north" in done.stdout
    assert "art_" not in done.stdout
    assert re.search(r"✓ art_[0-9a-f]{12} +[\d.]+s", done.stderr)
    assert THREAD.search(done.stderr)
    assert "\x1b" not in done.stdout + done.stderr


def test_a_question_comes_through_a_pipe_with_or_without_a_dash(asked: tuple[Path, str]) -> None:
    for arguments in (["-"], []):
        done = run(asked[0], "--quiet", *arguments, given=QUESTION)
        assert (done.returncode, done.stderr) == (0, "")
        assert "north" in done.stdout


def test_json_is_one_object_and_json_events_end_with_it(asked: tuple[Path, str]) -> None:
    done = run(asked[0], QUESTION, "--json")
    found = json.loads(done.stdout)
    assert (found["status"], found["end"], found["delegation_count"]) == ("success", "answer", 1)
    assert (Path(found["artifacts"][0]["folder"]) / "notebook.ipynb").exists()
    lines = [json.loads(line) for line in run(asked[0], "--json-events", QUESTION).stdout.splitlines()]
    assert lines[0]["event"] == "turn_started"
    assert next(line["stage"] for line in lines if line["event"] == "stage_reached") == "delegated"
    assert lines[-1]["event"] == "turn_ended"
    assert set(found) < set(lines[-1])


def test_a_thread_goes_on_by_the_start_of_its_id_and_its_turns_are_told(
    asked: tuple[Path, str], here: Callable[..., Any]
) -> None:
    folder, _ = asked
    thread_id = json.loads(run(folder, QUESTION, "--json").stdout)["thread_id"]
    again = run(folder, "--thread", thread_id[:13], "How many invoices are there per silo?", "--json")
    assert json.loads(again.stdout)["thread_id"] == thread_id
    rows = {row["thread"]: row for row in json.loads(here(folder, "threads", "list", "--json").stdout)}
    assert (rows[thread_id]["turns"], rows[thread_id]["first question"]) == (2, QUESTION)
    shown = here(folder, "threads", "show", thread_id).stdout
    assert f"1  {QUESTION}" in shown
    assert "2  How many invoices" in shown
    shown = here(folder, "threads", "show", thread_id, "--json").stdout
    assert [row["turn"] for row in json.loads(shown)] == [1, 2]


def test_a_thread_is_copied_rewound_moved_pruned_and_deleted(asked: tuple[Path, str], here: Callable[..., Any]) -> None:
    folder, thread_id = asked
    copy = here(folder, "threads", "fork", thread_id, "my-copy")
    assert copy.stdout.strip() == "my-copy"
    run(folder, "--thread", "my-copy", "How many invoices are there per silo?")
    assert here(folder, "threads", "rewind", "my-copy", "1").returncode == 0
    assert len(json.loads(here(folder, "threads", "show", "my-copy", "--json").stdout)) == 1
    after = run(folder, "--thread", "my-copy", "--json", "How many invoices are there per silo?")
    assert json.loads(after.stdout)["end"] == "answer"
    assert len(json.loads(here(folder, "threads", "show", "my-copy", "--json").stdout)) == 2
    assert "can't go back to turn 9" in refused(here(folder, "threads", "rewind", "my-copy", "9"))
    assert here(folder, "threads", "export", "my-copy", "copy.thread").returncode == 0
    assert "Nothing was deleted" in refused(here(folder, "threads", "delete", "my-copy"))
    assert here(folder, "threads", "delete", "my-copy", "--yes").returncode == 0
    assert "There is no thread my-copy" in refused(here(folder, "threads", "show", "my-copy"))
    assert here(folder, "threads", "import", "copy.thread").stdout.strip() == "my-copy"
    assert "exists" in refused(here(folder, "threads", "import", "copy.thread"))
    assert here(folder, "threads", "prune", "my-copy").returncode == 0
    assert len(json.loads(here(folder, "threads", "show", "my-copy", "--json").stdout)) == 2
    assert here(folder, "threads", "vacuum").returncode == 0
    assert "my-copy" in here(folder, "threads", "sizes").stdout


def test_artifacts_are_found_by_the_start_of_their_id(asked: tuple[Path, str], here: Callable[..., Any]) -> None:
    folder, thread_id = asked
    (row,) = json.loads(here(folder, "artifacts", "list", "--thread", thread_id, "--json").stdout)
    assert (row["status"], row["thread"]) == ("success", thread_id)
    shown = here(folder, "artifacts", "show", row["artifact"][4:11]).stdout
    assert "execute_sql" in shown
    assert "north" in shown
    path = here(folder, "artifacts", "open", row["artifact"]).stdout.strip()
    assert Path(path).name == "notebook.ipynb"
    assert Path(path).exists()


def test_ones_own_data_stands_instead_of_the_sample(tmp_path: Path) -> None:
    (tmp_path / "fruit.csv").write_text("kind,weight\napple,3\npear,4\napple,5\n", encoding="utf-8")
    done = run(tmp_path, "--data", "fruit.csv", "--quiet", "Sum of weight by kind")
    assert done.returncode == 0
    assert "apple" in done.stdout
    assert "8" in done.stdout


BAD = [
    (["--config", "none.yaml", "q is this"], "none.yaml: there is no such file; check --config"),
    (["--env-file", "none.env", "q is this"], "none.env: there is no such file; check --env-file"),
    (["--config", "bad.yaml", "q is this"], "bad.yaml line 2: there is no setting limits.max_iteration; did you mean"),
    (["--set", "limits.max_iterations", "q is this"], "write it as KEY=VALUE"),
    (["--set", "limit.max=3", "q is this"], "--set limit.max: there is no such setting"),
    (["--set", "serve.port=x", "serve"], "--set serve.port: serve.port must be a port"),
    (["--data", "none.csv", "q is this"], "none.csv"),
    (["--data", "broken.csv", "q is this"], "broken.csv"),
    (["--text", "none.txt", "q is this"], "none.txt"),
    (["--thread", "nobody", "q is this"], "There is no thread nobody"),
    (["--model", "gpt", "q is this"], "base_model.name is 'gpt'; write provider:model"),
    (["--model", "openai:gpt-5", "q is this"], "OPENAI_API_KEY"),
    (["--set", "checkpointer.kind=postgres", "q is this"], "checkpointer.dsn_env"),
    (["--set", "home=bad.yaml/x", "q is this"], "home"),
    (["--bogus", "q is this"], "No such option: --bogus"),
    (["q is this", "--bogus"], "No such option: --bogus"),
    (["--thread"], "requires an argument"),
    (["thread", "list"], "There is no command 'thread'; did you mean threads?"),
    (["thread", "rewind", "3f2a", "2", "now"], "There is no command 'thread'; did you mean threads?"),
    (["doctr"], "There is no command 'doctr'; did you mean doctor?"),
    (["-c", "q is this"], "There is no thread to go on with"),
    (["threads", "prune"], "pass --yes for all of them"),
    (["replay", "nobody"], "There is no thread nobody"),
    (["export", "nobody", "it.ipynb"], "There is no thread nobody"),
    (["backup", "nowhere/it.tgz"], "There is no home folder"),
    (["restore", "none.tgz"], "none.tgz: No such file"),
    (["restore", "bad.yaml"], "bad.yaml is no backup of a home"),
    (["serve", "--port", "99999"], "serve.port must be a port"),
    (["logs", "--most", "0"], "most"),
    (["threads", "lst"], "No such command 'lst'"),
    (["threads", "rewind", "x", "none"], "turns"),
    (["threads", "cancel", "nobody"], "There is no thread nobody"),
    (["threads", "import", "none.thread"], "none.thread"),
    (["threads", "import", "bad.yaml"], "bad.yaml"),
    (["artifacts", "show", "nothing"], "no artifact"),
    ([], "There is no question"),
    (["  "], "There is no question"),
]


@pytest.mark.parametrize(("arguments", "says"), BAD, ids=lambda value: str(value)[:40])
def test_bad_input_gets_one_line_that_says_what_to_change(
    arguments: list[str], says: str, tmp_path: Path, here: Callable[..., Any]
) -> None:
    (tmp_path / "bad.yaml").write_text("limits:\n  max_iteration: 3\n", encoding="utf-8")
    (tmp_path / "broken.csv").write_bytes(b"\x00\x01\xff\xfe,\n")
    assert says in refused(here(tmp_path, *arguments))


@pytest.mark.parametrize(("arguments", "says"), [BAD[2], BAD[6], BAD[9], BAD[10]], ids=lambda value: str(value)[:40])
def test_it_is_the_same_in_a_process_of_its_own(arguments: list[str], says: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("limits:\n  max_iteration: 3\n", encoding="utf-8")
    assert says in refused(run(tmp_path, *arguments))


def test_a_bad_variable_is_named(tmp_path: Path) -> None:
    assert "did you mean RLM_LIMITS__MAX_ITERATIONS?" in refused(run(tmp_path, "config", RLM_LIMITS__MAX_ITERATION="3"))


class Endless(BaseHTTPRequestHandler):
    """A model's server that goes on saying a word, five times a second."""

    asked = threading.Event()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        word = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        choice = {"index": 0, "delta": {"role": "assistant", "content": "word "}, "finish_reason": None}
        with contextlib.suppress(OSError):
            for _ in range(100):
                self.wfile.write(f"data: {json.dumps({**word, 'choices': [choice]})}\n\n".encode())
                self.wfile.flush()
                Endless.asked.set()
                time.sleep(0.2)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def endless_model() -> Iterator[str]:
    Endless.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    server.daemon_threads, server.block_on_close = True, False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_a_model_that_can_not_be_reached_is_named_with_the_setting_to_change(tmp_path: Path) -> None:
    nowhere = ["--set", "base_model.base_url=http://127.0.0.1:9/v1", "--set", "base_model.retries=0", "--model", "m"]
    assert "check the network and base_model.base_url" in refused(run(tmp_path, *nowhere, QUESTION))
    done = run(tmp_path, *nowhere, QUESTION, "--json")
    assert (done.returncode, json.loads(done.stdout)["status"]) == (2, "fatal_error")
    assert "base_model.base_url" in done.stderr


def test_ctrl_c_cancels_the_turn_says_so_and_exits_with_130(tmp_path: Path, endless_model: str) -> None:
    arguments = ["--set", f"base_model.base_url={endless_model}", "--model", "m", QUESTION]
    with subprocess.Popen(
        command(*arguments), cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        assert Endless.asked.wait(60)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Cancelling" in errors
    assert "Traceback" not in errors


def test_threads_cancel_reaches_a_turn_of_another_process(tmp_path: Path, endless_model: str) -> None:
    arguments = ["--json-events", "--set", f"base_model.base_url={endless_model}", "--model", "m", QUESTION]
    with subprocess.Popen(
        command(*arguments), cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        thread_id = json.loads(process.stdout.readline())["thread_id"]
        assert Endless.asked.wait(60)
        deadline = time.monotonic() + 20
        while run(tmp_path, "threads", "cancel", thread_id).returncode != 0 and time.monotonic() < deadline:
            time.sleep(0.2)
        out, _ = process.communicate(timeout=30)
    assert json.loads(out.splitlines()[-1])["end"] == "cancelled"
    assert process.returncode == 130


def test_config_shows_what_is_in_force_from_where_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "my.env").write_text("RLM_USER_ID=ann\nMY_KEY=sk-verysecret123\n", encoding="utf-8")
    (tmp_path / "my.yaml").write_text("app_name: mine\nbase_model: {api_key_env: MY_KEY}\n", encoding="utf-8")
    arguments = ["--config", "my.yaml", "--env-file", "my.env", "--set", "limits.max_iterations=3", "config"]
    variables = {"RLM_TRACING__URI": "postgresql://me:hunter22@host/db", "ADK_ORCHESTRATOR_JOB_ID": "scope"}
    done = run(tmp_path, *arguments, **variables)
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in done.stdout.splitlines()}
    assert rows["app_name"] == ["mine", "my.yaml line 1"]
    assert rows["user_id"] == ["ann", "RLM_USER_ID (.env)"]
    assert rows["limits.max_iterations"] == ["3", "--set limits.max_iterations"]
    assert rows["limits.max_repairs"] == ["3", "default"]
    assert rows["$MY_KEY"] == ["set", "base_model.api_key_env"]
    assert rows["ADK_ORCHESTRATOR_JOB_ID"][0] == "no effect"
    assert "hunter22" not in done.stdout
    assert "verysecret" not in done.stdout
    as_json = json.loads(run(tmp_path, *arguments, "--json", **variables).stdout)
    assert {"key": "app_name", "value": "mine", "from": "my.yaml line 1"} in as_json


def test_a_reader_that_leaves_early_is_no_error(asked: tuple[Path, str]) -> None:
    line = " ".join(f"'{part}'" for part in command("config")) + " | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], cwd=asked[0], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
