"""Notebooks and runs, for the tests of jobs."""

import base64
import time
from collections.abc import Callable
from typing import Any

from databricks.sdk.service.jobs import Job, NotebookTask, Run, SubmitTask, Task
from databricks.sdk.service.workspace import ImportFormat, Language

from tests.workspace.fixtures import Place, Target

HEADER = "# Databricks notebook source\n"
CELL = "\n# COMMAND ----------\n"


def notebook(target: Target, place: Place, name: str, *cells: str) -> str:
    """A notebook in Databricks's source format; its path."""
    path = f"{place.directory}/{name}"
    content = base64.b64encode((HEADER + CELL.join(cells)).encode()).decode()
    target.client().workspace.import_(
        path, content=content, format=ImportFormat.SOURCE, language=Language.PYTHON, overwrite=True
    )
    return path


def once(path: str, **settings: Any) -> SubmitTask:
    """A task that runs a notebook and is not tried again."""
    return SubmitTask("a", notebook_task=NotebookTask(path), disable_auto_optimization=True, **settings)


def ended(target: Target, run_id: int, seconds: float = 60) -> Run:
    """A run when it has ended, however it did; looked at more often than the SDK's waiter does."""
    jobs = target.client().jobs
    until(lambda: bool(jobs.get_run(run_id).end_time), seconds)
    return jobs.get_run(run_id)


def value(target: Target, run_id: int) -> str:
    """What the run's only notebook exits with."""
    run = ended(target, run_id)
    left = target.client().jobs.get_run_output(run.tasks[0].run_id)
    assert left.error is None, f"{left.error}\n{left.error_trace}"
    return str(left.notebook_output.result)


def job(target: Target, path: str, **settings: Any) -> Job:
    """A job of one notebook that is not tried again."""
    client = target.client()
    task = Task("a", notebook_task=NotebookTask(path), disable_auto_optimization=True)
    made = client.jobs.create(name="stand-in test", tasks=[task], **settings)
    return client.jobs.get(made.job_id)


def until(done: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for something, and fail when it does not happen."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
