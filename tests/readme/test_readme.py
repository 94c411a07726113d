"""Every command and every line of Python in the README, run as it stands there."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import signal
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from agent.config import Settings
from agent.core import Request, open_agent
from tests.terminal.processes import ROOT, clean, command, run

pytestmark = pytest.mark.slow

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.S)
COMMANDS = [
    re.split(r"\s{2,}", line)[0].removeprefix("$ ")
    for language, block in BLOCKS
    if not language
    for line in block.splitlines()
    if re.match(r"(\$ )?(python main\.py|cat )", line)
]
SNIPPETS = [block for language, block in BLOCKS if language == "python"]
THREAD = "3f2a0000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the README's reader has: files, a log, and a thread."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "sales").mkdir()
    (folder / "sales" / "sales.csv").write_text("region,price\neast,3\nwest,5\neast,4\n", encoding="utf-8")
    lines = [f"Jan 1 sshd: Failed password for root from 10.0.0.{n % 3 + 1} port {n}" for n in range(1, 9)]
    (folder / "server.log").write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = Settings.model_validate({"home": folder / ".rlm", "tracing": {"enabled": False}})
    with open_agent(settings) as agent:
        agent.ask(Request("How many invoices are there by silo?", THREAD))
    return folder


def artifact_in(folder: Path) -> str:
    return next(path.parent.name for path in (folder / ".rlm" / "artifacts").glob("art_*/meta.json"))


def words_of(line: str, folder: Path) -> list[str]:
    """Its arguments, with an artifact that is there."""
    return [artifact_in(folder) if word == "art_0123456789ab" else word for word in shlex.split(line)[2:]]


PIPED = [line for line in COMMANDS if line.startswith("cat ")]
LIVE = [line for line in COMMANDS if line == "python main.py" or line.startswith("python main.py serve")]
PLAIN = [line for line in COMMANDS if line not in PIPED + LIVE]

SAYS = {
    "Top 5 vendors": "vendor",
    "Average price": "east",
    "--text": "10.0.0.",
    "last year": "silo",
    "tables": "invoices",
    "threads list": THREAD,
    "artifacts show": "success",
    "replay": "1 of 1 steps the same",
    "export": "1 turns",
    "backup": "files of",
    "doctor": "system",
    "deploy --dry-run": "YOUR_CATALOG",
    "logs": "turn on thread",
}


def test_the_readme_names_every_command_that_there_is() -> None:
    from agent.terminal.command_line import app

    named = {one.name or one.callback.__name__ for one in app.registered_commands if not one.hidden and one.callback}
    groups = {one.name for one in app.registered_groups}
    assert {name for name in named | groups if not re.search(rf"\b{name}\b", README)} == set()
    assert len(COMMANDS) > 12


@pytest.mark.parametrize("line", sorted(PLAIN, key=lambda line: "last year" in line))
def test_a_command_does_what_it_says(line: str, folder: Path) -> None:
    done = run(folder, *words_of(line, folder))
    assert done.returncode == 0, done.stderr
    expected = next((says for name, says in SAYS.items() if name in line), "")
    assert expected in done.stdout + done.stderr, done.stdout + done.stderr


@pytest.mark.parametrize("line", PIPED)
def test_what_is_piped_is_the_text(line: str, folder: Path) -> None:
    before, behind = line.split(" | ")
    text = (folder / before.removeprefix("cat ")).read_text(encoding="utf-8")
    done = run(folder, *shlex.split(behind)[2:], given=text)
    assert done.returncode == 0, done.stderr
    assert "10.0.0." in done.stdout


def test_the_chat_opens_answers_and_leaves(folder: Path) -> None:
    near, far = pty.openpty()
    termios.tcsetwinsize(far, (40, 120))
    with subprocess.Popen(
        command(), cwd=folder, env={**clean(), "TERM": "xterm"}, stdin=far, stdout=far, stderr=far, close_fds=True
    ) as process:
        os.close(far)
        try:
            seen = read_until(near, "Ctrl-D leaves")
            os.write(near, b"How many vendors are there by silo?\r")
            seen += read_until(near, "tokens in")
            read_until(near, "\x1b[?2004h")  # the next prompt is there: what is typed before it is the terminal's
            os.write(near, b"\x04")
            read_until(near, None)
            assert process.wait(30) == 0
        finally:
            process.kill()
            os.close(near)
    assert "360" in seen


def read_until(descriptor: int, words: str | None) -> str:
    """What the terminal shows, up to `words`, or to its end."""
    seen, until = "", time.monotonic() + 60
    while words is None or words not in seen:
        assert time.monotonic() < until, seen
        if not select.select([descriptor], [], [], 1.0)[0]:
            continue
        try:
            seen += os.read(descriptor, 1 << 16).decode(errors="replace")
        except OSError:  # the other end is closed
            assert words is None, seen
            break
    return seen


@pytest.fixture
def served(folder: Path) -> Iterator[str]:
    """The README's server, on a port that is free, and how it leaves."""
    (line,) = [line for line in LIVE if line.endswith(("8000", "serve"))]
    words = ["0" if word == "8000" else word for word in shlex.split(line)[2:]]
    with subprocess.Popen(command(*words), cwd=folder, env=clean(), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        url = next(line.split()[-1] for line in process.stderr if "Serving at" in line)
        yield url
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait(30) == 0, rest
        assert "leaked" not in rest


def test_the_python_that_asks_the_server_runs(served: str) -> None:
    (asking,) = [block for block in SNIPPETS if "openai.OpenAI" in block]
    names: dict[str, Any] = {"openai": openai}
    exec(asking.replace("http://127.0.0.1:8000", served), names)
    with names["client"] as client:
        again = client.responses.create(
            model="agent", input="And by silo?", extra_body={"custom_inputs": {"thread_id": "t1"}}
        )
    assert again.status == "completed"


def test_the_python_that_asks_the_agent_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    (asking,) = [block for block in SNIPPETS if "open_agent" in block]
    exec(asking, {})
    assert "TurnEnded" in capsys.readouterr().out


def test_the_files_it_speaks_of_are_there() -> None:
    for name in re.findall(r"\]\(([\w./-]+)\)", README):
        assert (ROOT / name).exists(), name
