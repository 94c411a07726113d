"""A thread's notebooks: run again and compared, or written down as one."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from agent.terminal.exit_codes import OK, PARTIAL
from agent.terminal.options import Options, load
from agent.terminal.progress import cut, one_line, subject
from graph.errors import InvalidRequest

if TYPE_CHECKING:
    from agent.artifacts.protocol import Artifacts, ArtifactSummary
    from agent.threads import Threads


def opened(options: Options, stack: ExitStack) -> tuple[Threads, Artifacts]:
    from agent.core import open_artifacts, open_threads

    settings = load(options).settings
    threads = stack.enter_context(open_threads(settings, secrets=os.environ.get))
    return threads, stack.enter_context(open_artifacts(settings, secrets=os.environ.get))


def replay_thread(options: Options, text: str) -> int:
    """A line for each step, `same` or `different` with what differs; 3 unless all are the same."""
    from rich.console import Console
    from rich.text import Text

    console, seconds = Console(highlight=False), load(options).settings.limits.run_seconds
    with ExitStack() as stack:
        threads, artifacts = opened(options, stack)
        turns = threads.exchanges(threads.find(text))
        ids = [artifact_id for turn in turns for artifact_id in turn.artifact_ids]
        if not ids:
            raise InvalidRequest(f"Nothing was run on {text}: there is no notebook to replay.")
        same = 0
        for artifact_id in ids:
            lines = replay_step(artifacts, artifact_id, seconds)
            same += lines[0].startswith("same")
            style = "green" if lines[0].startswith("same") else "yellow"
            console.print(Text(lines[0], style=style), soft_wrap=True)
            for line in lines[1:]:
                console.print(Text(f"    {line}"), soft_wrap=True)
    console.print(Text(f"{same} of {len(ids)} steps the same"))
    return OK if same == len(ids) else PARTIAL


def replay_step(artifacts: Artifacts, artifact_id: str, seconds: float) -> list[str]:
    from agent.terminal.replaying import differences, outcome_of, rerun

    try:
        summary = artifacts.read(artifact_id)
    except InvalidRequest:
        return [f"gone       {artifact_id}"]
    after = rerun(Path(artifacts.folder(artifact_id), "notebook.ipynb"), seconds)
    head = f"{artifact_id}  {after.seconds:.1f}s  {about(summary)}"
    if after.outcome is None:
        return [f"not run    {head}", after.trouble]
    failed = summary.result is not None and summary.result.status != "success"
    stdout = summary.result.stdout if failed and summary.result else "".join(artifacts.text(artifact_id))
    found = differences(outcome_of(summary, stdout), after.outcome)
    return [f"different  {head}", *found] if found else [f"same       {head}"]


def about(summary: ArtifactSummary) -> str:
    return cut(one_line(summary.instruction or subject(summary.code)), 80)


def export_thread(options: Options, text: str, file: Path) -> None:
    from agent.terminal.investigation import investigation

    with ExitStack() as stack:
        threads, artifacts = opened(options, stack)
        thread_id = threads.find(text)
        turns = threads.exchanges(thread_id)
        page = investigation(thread_id, turns, threads.spent(thread_id), artifacts)
    try:
        file.write_text(json.dumps(page, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(f"{file}: {error.strerror}") from error
    steps = sum(len(turn.artifact_ids) for turn in turns)
    print(f"Wrote {len(turns)} turns with {steps} delegations of {thread_id} to {file}.")  # noqa: T201 - the command line
