"""The rounds: a fault, then the thread is gone on with until it ends, and what became of it is counted."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.config import Settings
from agent.core import Agent, Request, open_agent
from agent.models.scripted import Reply, ScriptedModel, calls, says
from benchmarks.faults.answers import ways
from benchmarks.faults.child import is_valid
from graph.types import ConversationResult

LONGEST = 90.0
"""Seconds that a step may take before it counts as hung."""
NOTEBOOK = "# Databricks notebook source\nprint('report')\n"


@dataclass
class Count:
    """What went wrong in so many rounds. `known` are the first words for it."""

    rounds: int = 0
    wrong: int = 0
    duplicate: int = 0
    hung: int = 0
    known: list[str] = field(default_factory=list)

    def tell(self, what: str) -> None:
        self.wrong += 1
        self.known.append(what)


@dataclass
class Place:
    """Where one round happens: one thread, two homes, one set of marks."""

    root: Path
    checkpointer: Mapping[str, Any]
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def marks(self) -> Path:
        return self.root / "marks"

    def given(self, home: str = "home", **more: Any) -> dict[str, Any]:
        return {
            "home": str(self.root / home),
            "checkpointer": dict(self.checkpointer),
            "marks": str(self.marks),
            "jobs_folder": str(self.root / "jobs"),
            "thread": f"t-{self.root.name}",
            "request": "r",
            "question": "go",
            "seconds": 0.3,
            "job": False,
            **more,
        }

    def start(self, given: Mapping[str, Any]) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "benchmarks.faults.child", json.dumps(given)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, text=True, env={**os.environ, **self.environment}, **pipes)

    def run(self, given: Mapping[str, Any]) -> dict[str, Any] | None:
        """What the turn came to; None when it hangs."""
        process = self.start(given)
        try:
            out, _ = process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return None
        lines = [line for line in out.splitlines() if line.startswith("{")]
        return json.loads(lines[-1]) if lines else {"end": "died", "valid": False, "text": "", "error": "no answer"}

    def duplicates(self) -> int:
        """How often a delegation or a job ran again."""
        again = sum(max(0, len(path.read_bytes()) - 1) for path in self.marks.glob("run*"))
        jobs = len(list(self.root.glob("*/jobs/*/job.json")))
        return again + max(0, jobs - 1)


@contextmanager
def place(kind: str, dsn: str | None = None) -> Iterator[Place]:
    root = Path(tempfile.mkdtemp(prefix="faults-"))
    (root / "marks").mkdir()
    (root / "jobs").mkdir()
    (root / "jobs" / "report.py").write_text(NOTEBOOK)
    chosen: dict[str, Any] = {"kind": kind}
    if dsn is None:
        chosen["path"] = str(root / f"threads.{kind}")
    else:
        chosen["dsn_env"] = "FAULTS_DSN"
    try:
        yield Place(root, chosen, {"FAULTS_DSN": dsn or ""})
    finally:
        shutil.rmtree(root, ignore_errors=True)


def kill_rounds(kind: str, rounds: int, dsn: str | None, second: str, gone: bool = False) -> Count:
    """kill -9 at a random moment, sometimes once more when it is gone on with; then the turn ends, in home `second`."""
    count = Count()
    for _ in range(rounds):
        with place(kind, dsn) as where:
            count.rounds += 1
            for _ in range(random.choice((1, 1, 2))):
                kill_one(where, where.given(job=True))
            if gone:
                lose_something(where.root / "home")
            settle(where, count, where.given(second, job=True))
    return count


def kill_one(where: Place, given: dict[str, Any]) -> None:
    process = where.start(given)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(random.uniform(0.0, 1.6))
    process.send_signal(signal.SIGKILL)
    process.communicate()


def lose_something(home: Path) -> None:
    chosen = random.choice(("artifacts", "records.sqlite*", "scopes.sqlite*", "artifacts/*/result.json", "*"))
    for path in home.glob(chosen):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def settle(where: Place, count: Count, given: dict[str, Any]) -> None:
    """Ask again until the turn has ended, then once more; count what is not as it must be."""
    told = where.run(given)
    if told is None:
        count.hung += 1
        return
    if not told["valid"] or told["end"] not in ("answer", "job_started", "run_running"):
        count.tell(f"{told['end']}: {told['error']}")
    following = where.run({**given, "question": "and?", "request": "r2"})
    if following is None:
        count.hung += 1
    elif following["text"] != "noted" or not following["valid"]:
        count.tell(f"next: {following['end']}: {following['error']}")
    count.duplicate += where.duplicates()


def full_disk_rounds(rounds: int) -> Count:
    """No file can grow beyond a random size while a turn begins; with room again, the same process ends it."""
    count = Count()
    for _ in range(rounds):
        with place("sqlite") as where:
            count.rounds += 1
            settle(where, count, where.given(file_bytes=int(2 ** random.uniform(0, 16))))
    return count


def late_rounds(rounds: int) -> Count:
    """A run outlives its request; its program is closed or killed; the next turn looks at the run."""
    count = Count()
    for _ in range(rounds):
        with place("sqlite") as where:
            count.rounds += 1
            given = where.given(seconds=random.uniform(0.2, 3.0), limits={"request_deadline": 0.6}, wait=True)
            process = where.start(given)
            assert process.stdout is not None
            process.stdout.readline()
            process.stdout.readline()
            if random.random() < 0.5:
                process.send_signal(signal.SIGKILL)
            process.communicate()
            settle(where, count, {**given, "wait": False, "question": "and?", "request": "r1"})
    return count


def fork_rounds(rounds: int) -> Count:
    """Five requests at once on one thread whose store forks: each pays once, and each thread is whole."""
    count = Count()
    for _ in range(rounds):
        with place("sqlite") as where:
            count.rounds += 1
            with open_here(where, paying(), {"on_busy": "fork"}) as agent:
                results: list[ConversationResult] = []
                workers = [
                    threading.Thread(target=ask, args=(agent, f"pay {number}", results), daemon=True)
                    for number in range(5)
                ]
                for worker in workers:
                    worker.start()
                    time.sleep(random.uniform(0, 0.05))
                for worker in workers:
                    worker.join(LONGEST)
                count.hung += sum(worker.is_alive() for worker in workers)
                for result in results:
                    if result.end != "answer" or not is_valid(agent.messages(result.thread_id)):
                        count.tell(f"{result.end}: {result.fatal_error_msg}")
            paid = (where.marks / "paid").read_text().split()
            count.duplicate += len(paid) - len(set(paid))
            count.wrong += 5 - len(set(paid))
    return count


def ask(agent: Agent, question: str, results: list[ConversationResult]) -> None:
    results.append(agent.ask(Request(question, thread_id="t")))


def paying() -> ScriptedModel:
    def reply(messages: Any) -> Reply:
        question = [one.text for one in messages if one.type == "human"][-1]
        return says("paid") if messages[-1].type == "tool" else calls(("pay", {"what": question}))

    return ScriptedModel.by(reply)


def open_here(where: Place, model: ScriptedModel, checkpointer: Mapping[str, Any]) -> Agent:
    from langchain_core.tools import tool

    @tool
    def pay(what: str) -> str:
        """Pay."""
        with (where.marks / "paid").open("a") as file:
            file.write(f"{what.replace(' ', '_')}\n")
        time.sleep(random.uniform(0, 0.1))
        return "paid"

    settings = Settings.model_validate(
        {
            "home": where.root / "home",
            "data": {"sample": False},
            "tracing": {"enabled": False},
            "checkpointer": {**where.checkpointer, **checkpointer},
        }
    )
    return open_agent(settings, base_model=model, sub_model=model, tools=[pay])


def broken_answer_rounds(repeats: int) -> Count:
    """Each way in which an answer can break, in the first reply of a turn: the turn ends, and the thread goes on."""
    count = Count()
    script: list[Reply] = []

    def reply(messages: Any) -> Reply:
        return script.pop(0) if script else says("2, it is whole.")

    with place("sqlite") as where, open_here(where, ScriptedModel.by(reply), {}) as agent:
        for number in range(repeats):
            for name, first in ways():
                count.rounds += 1
                check_answer(agent, count, f"{number} {name}", first, script)
    return count


def check_answer(agent: Agent, count: Count, name: str, first: Reply, script: list[Reply]) -> None:
    script[:] = [first]
    thread = f"t {abs(hash(name))}"
    results: list[ConversationResult] = []
    for question in ("go", "and?"):
        worker = threading.Thread(
            target=lambda asked=question: results.append(agent.ask(Request(asked, thread_id=thread))), daemon=True
        )
        worker.start()
        worker.join(LONGEST)
        if worker.is_alive():
            count.hung += 1
            return
        script.clear()
    broke, after = results
    if broke.end == "answer" and broke.response_text.strip() in ("", "The value is 4"):
        count.tell(f"{name}: a broken reply is an answer")
    if broke.status == "fatal_error" and first.error is None:
        count.tell(f"{name}: {broke.fatal_error_msg}")
    if after.end != "answer" or not is_valid(agent.messages(thread)):
        count.tell(f"{name}, next turn: {after.end} {after.fatal_error_msg}")
