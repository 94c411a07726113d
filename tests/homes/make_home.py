"""Makes a home as a person has it after some days, for later commits to open: `python tests/homes/make_home.py NAME`.

It writes `NAME.tar.xz`, the home with the data it was about, and `NAME.json`, what the threads had said. It uses the
facade alone, and was run on the commit that README.md names.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from agent.scripted import ScriptedModel, calls, delegates, exits, says, together  # noqa: E402
from langchain_core.messages import BaseMessage  # noqa: E402

from agent.config import Settings  # noqa: E402
from agent.core import Agent, Request, open_agent  # noqa: E402

KINDS = ("sqlite", "duckdb")
LEFT_OUT = (".matplotlib", "log.txt")
VISITS = "day,ward,visits\n2026-11-01,north,12\n2026-11-01,south,7\n2026-11-02,north,15\n2026-11-02,south,\n"

SHORT = "print(6 * 7)\nresult = {'product': 42, 'why': 'six times seven'}"
LONG = 'for n in range(400):\n    print(f\'{n:04} ward {"north" if n % 3 else "south"} had {n % 17} visits\')'
FIGURE = """\
import matplotlib.pyplot as plt
visits = execute_sql("SELECT ward, sum(visits) AS visits FROM visits GROUP BY 1 ORDER BY 1", as_pandas=True).df
plt.figure(figsize=(2, 1.2), dpi=40)
plt.bar(visits["ward"], visits["visits"])
plt.show()
print(visits)"""
Story = list[tuple[str, str]]


def main(name: str) -> None:
    with tempfile.TemporaryDirectory(prefix="rlm-") as made:
        folder = Path(made)
        (folder / "visits.csv").write_text(VISITS)
        told: dict[str, Any] = {}
        for kind in KINDS:
            for tell in (several, ends, late, scoped, tools, long):
                told |= tell(folder, kind)
        for kind in KINDS:
            for killed in (killed_in_reading, killed_in_running):
                told |= in_a_process_that_dies(killed, folder, kind)
        here = Path(__file__).parent
        (here / f"{name}.json").write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")
        with tarfile.open(here / f"{name}.tar.xz", "w:xz", preset=9) as archive:
            archive.add(folder, arcname=name, filter=kept)


def kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """No caches, and nobody's name."""
    if any(part in LEFT_OUT for part in Path(entry.name).parts):
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


@contextmanager
def opened(folder: Path, kind: str, *script: Any, **settings: Any) -> Iterator[Agent]:
    given = {
        "home": folder / "home",
        "data": {"sample": False, "paths": [folder / "visits.csv"]},
        "checkpointer": {"kind": kind},
        "jobs_folder": ROOT / "notebooks" / "jobs",
        "tracing": {"enabled": False},
        **settings,
    }
    models = {"base_model": ScriptedModel(*script), "sub_model": ScriptedModel.by(read)}
    with open_agent(Settings.model_validate(given), **models) as agent:
        yield agent


def read(messages: Sequence[BaseMessage]) -> str:
    """What the sub-model says of a chunk, and Genie of a question."""
    if "SQL" in messages[0].text:
        return "```sql\nSELECT sum(visits) AS visits FROM visits\n```"
    return f"{messages[-1].text.count('ward south')} lines are of the south"


def asked(agent: Agent, thread: str, questions: Sequence[str], **more: Any) -> dict[str, Any]:
    """Ask one after the other; what was said, by thread."""
    said: Story = []
    artifacts: list[str] = []
    for number, question in enumerate(questions, 1):
        result = agent.ask(Request(question, thread_id=thread, request_id=f"{thread}-{number}", **more))
        said.append((question, result.response_text))
        artifacts += result.artifact_ids
    return {thread: {"kind": thread.rpartition("-")[2], "end": result.end, "said": said, "artifacts": artifacts}}


def several(folder: Path, kind: str) -> dict[str, Any]:
    """Turns with short and long output, a table, a figure, a failed run that is repaired, and rejections."""
    script = (
        together(
            delegates(SHORT, instruction="Quote the number"),
            delegates(LONG, instruction="Count the lines about the south", text="I look at both."),
        ),
        says("42, and many lines."),
        delegates("print(1 / 0)"),
        delegates(FIGURE),
        says("North has 27 visits."),
        together(
            delegates("execute_sql('DROP TABLE visits')"), delegates("import subprocess"), delegates("print('half")
        ),
        says("That is not allowed."),
    )
    with opened(folder, kind, *script) as agent:
        return asked(agent, f"several-{kind}", ["What is six times seven?", "Visits by ward?", "Drop the visits!"])


def ends(folder: Path, kind: str) -> dict[str, Any]:
    """Threads whose last turn ended by exit_loop, by a limit, and by a person."""
    told = {}
    with opened(folder, kind, delegates("print('left')"), exits()) as agent:
        told |= asked(agent, f"exit-{kind}", ["Do it and leave."])
    again = [delegates(f"print('round {n}')") for n in range(2)]
    with opened(folder, kind, *again, limits={"max_iterations": 1}) as agent:
        told |= asked(agent, f"limit-{kind}", ["Go on and on."])
    cancelled = threading.Event()

    def stop(messages: Sequence[BaseMessage]) -> Any:
        cancelled.set()
        return delegates("print('too late')")

    with opened(folder, kind, stop) as agent:
        thread = f"cancelled-{kind}"
        *_, ended = agent.run(Request("Stop!", thread_id=thread, request_id=f"{thread}-1"), cancelled)
        said = [("Stop!", ended.result.response_text)]
    return {**told, thread: {"kind": kind, "end": ended.result.end, "said": said, "artifacts": []}}


def late(folder: Path, kind: str) -> dict[str, Any]:
    """A run that outlives the request's deadline and ends afterwards: nobody has looked at it yet."""
    code = "import time; time.sleep(2); print('the late figure is 4711')"
    with opened(folder, kind, delegates(code), limits={"request_deadline": 0.4}) as agent:
        told = asked(agent, f"late-{kind}", ["Take your time."])
        time.sleep(4)
    return told


def scoped(folder: Path, kind: str) -> dict[str, Any]:
    """State of the thread, of a person and of the app."""
    state = {"temp:mood": "calm", "colour": "teal", "user:name": "Ada", "app:motto": "slow", "gone": "grey"}
    thread = f"scoped-{kind}"
    with opened(folder, kind, says("Noted."), says("And forgotten.")) as agent:
        first = Request("Keep this.", thread_id=thread, request_id=f"{thread}-1", user_id="ada.l@x.org", state=state)
        second = Request("Not that.", thread_id=thread, request_id=f"{thread}-2", user_id="ada.l@x.org",
                         state={"gone": None})  # fmt: skip
        said = [(request.text, agent.ask(request).response_text) for request in (first, second)]
    return {thread: {"kind": kind, "end": "answer", "said": said, "artifacts": []}}


def tools(folder: Path, kind: str) -> dict[str, Any]:
    """Genie, the catalog, a saved file, a malformed call, and a job that has ended since."""
    script = (
        calls(
            ("query_genie", {"query": "How many visits in all?"}),
            ("metadata_keyword_search", {"keyword": "ward"}),
            ("save_artifact_to_volumes", {"filename": f"{kind}/visits.md", "content": "34 visits\n"}),
            ("no_such_tool", {}),
        ),
        says("34 visits."),
        calls(
            (
                "start_databricks_job",
                {"user_request": "profile the visits", "notebook_params": {"notebook": "profile_tables"}},
            )
        ),
    )
    with opened(folder, kind, *script) as agent:
        told = asked(agent, f"tools-{kind}", ["How many visits?", "Start a profile of the tables."])
    for _ in range(300):
        states = [json.loads(path.read_text()) for path in (folder / "home/jobs").glob("*/state.json")]
        if len(states) == KINDS.index(kind) + 1 and all("result_state" in state for state in states):
            return told
        time.sleep(0.1)
    raise SystemExit("the job has not ended")


def long(folder: Path, kind: str) -> dict[str, Any]:
    """More turns than the window shows: the first ones live on in the capsule."""
    words = "by hand, without any doubt, "
    script = [
        delegates("print('figure 0: 0')"),
        *(says(f"The square of {n}, {words * 4}is {n * n}.") for n in range(7)),
    ]
    with opened(folder, kind, *script, memory={"window_chars": 600, "capsule_entries": 5}) as agent:
        return asked(agent, f"long-{kind}", [f"Question {n}: the square of {n}?" for n in range(7)])


def in_a_process_that_dies(killed: Any, folder: Path, kind: str) -> dict[str, Any]:
    process = get_context("spawn").Process(target=killed, args=(folder, kind))
    process.start()
    process.join(60)
    if process.exitcode != -signal.SIGKILL:
        raise SystemExit(f"{killed.__name__} should have been killed: {process.exitcode}")
    time.sleep(1)
    thread = THREAD_OF[killed].format(kind)
    return {thread: {"kind": kind, "end": None, "said": [("Before.", "Yes."), ("Go.", "")], "artifacts": []}}


def killed_in_reading(folder: Path, kind: str) -> None:
    """Killed between executed and processed: the run has ended, its output was not read. The other was processed."""

    def die(messages: Sequence[BaseMessage]) -> str:
        time.sleep(3)
        os.kill(os.getpid(), signal.SIGKILL)
        return ""

    given = {
        "home": folder / "home",
        "data": {"sample": False, "paths": [folder / "visits.csv"]},
        "checkpointer": {"kind": kind},
        "tracing": {"enabled": False},
    }
    model = ScriptedModel(says("Yes."), together(delegates(LONG, instruction="How many are of the south?"),
                                                 delegates("print('quick')")))  # fmt: skip
    with open_agent(Settings.model_validate(given), base_model=model, sub_model=ScriptedModel.by(die)) as agent:
        asked(agent, THREAD_OF[killed_in_reading].format(kind), ["Before.", "Go."])


def killed_in_running(folder: Path, kind: str) -> None:
    """Killed while one run goes on and another was processed."""
    slow = "print('began', flush=True)\nimport time; time.sleep(60)"
    script = (says("Yes."), together(delegates(slow), delegates("print('quick is done')")))
    with opened(folder, kind, *script) as agent:
        thread = THREAD_OF[killed_in_running].format(kind)
        asked(agent, thread, ["Before."])
        for event in agent.run(Request("Go.", thread_id=thread, request_id=f"{thread}-2")):
            if getattr(event, "stage", "") == "processed":
                time.sleep(1)
                os.kill(os.getpid(), signal.SIGKILL)


THREAD_OF = {killed_in_reading: "unread-{}", killed_in_running: "cutoff-{}"}


if __name__ == "__main__":
    main(sys.argv[1])
