"""`python -m tests.workspace` by hand, and what is left of a workspace that is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from databricks.sdk import WorkspaceClient

pytestmark = pytest.mark.workspace
PROJECT = Path(__file__).parents[2]


@contextmanager
def started(*flags: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The command, until it says that it is ready, and what it printed."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.workspace", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT)
    lines: list[str] = []
    try:
        while not any(line.startswith("# ready") for line in lines):
            line = process.stdout.readline()
            assert line, "it ended"
            lines.append(line.strip())
        yield process, lines
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def environment(lines: list[str]) -> dict[str, str]:
    pairs = (line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
    return dict(tuple(pair) for pair in pairs)


def client(lines: list[str]) -> WorkspaceClient:
    given = environment(lines)
    return WorkspaceClient(host=given["DATABRICKS_HOST"], token=given["DATABRICKS_TOKEN"])


def test_it_seeds_shows_requests_and_stops_cleanly() -> None:
    with started("--seed") as (process, lines):
        workspace = client(lines)
        job = next(iter(workspace.jobs.list()))
        run = workspace.jobs.run_now(job.job_id).result()
        assert workspace.jobs.get_run_output(run.tasks[0].run_id).notebook_output.result == "5000"
        message = workspace.genie.start_conversation_and_wait("sales", "How many orders?")
        assert message.attachments[0].query.query.startswith("SELECT count(*)")
        directory = Path(environment(lines)["DATABRICKS_CONFIG_FILE"]).parent
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        process.send_signal(signal.SIGINT)
        shown, _ = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "POST   /api/2.2/jobs/run-now" in shown
        assert not directory.exists()
        assert not any(child.is_running() for child in children)


def test_killed_it_leaves_no_process_behind() -> None:
    with started("--seed") as (process, lines):
        workspace = client(lines)
        workspace.database.get_database_instance("stand-in")
        children = psutil.Process(process.pid).children(recursive=True)
        assert any("postgres" in " ".join(child.cmdline()) for child in children)
        directory = Path(environment(lines)["DATABRICKS_CONFIG_FILE"]).parent
        os.kill(process.pid, signal.SIGKILL)
        until(lambda: not any(alive(child) for child in children))
        until(lambda: not directory.exists())


def until(done: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
