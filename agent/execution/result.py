"""From how a run ended to its ExecutionResult: what succeeded, what failed, and the sentence that says why."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agent.artifacts.files import Unreadable, opened
from agent.execution.preview import HEAD_BYTES, TAIL_BYTES
from agent.execution.supervisor import Report
from graph.types import ExecutionResult

HINTS = {int(signal.SIGKILL): " (was memory short?)", int(signal.SIGSEGV): " (a crash in native code)"}

INTERRUPTED = "the run was interrupted: the program that ran it ended first. Delegate the code again to run it anew."


@dataclass(frozen=True)
class Ran:
    """Which run, and when: times are aware datetimes."""

    folder: Path
    run_id: str
    iteration: int
    started: datetime
    ended: datetime


def result_of(ran: Ran, report: Report | None, seconds: float) -> ExecutionResult:
    """The result of a run that reported; `seconds` is its time limit, None for `report` that nothing was reported."""
    record = report.record if report else None
    stdout = stderr = ""
    try:
        error = problem(report, seconds)
        stdout, stderr = preview(ran.folder, "stdout.txt"), preview(ran.folder, "stderr.txt")
    except Unreadable as trouble:
        error = f"what the run left can't be read: {trouble}"
    return ExecutionResult(
        status="failed" if error else "success",
        artifact_path=str(ran.folder / "code.py"),
        run_id=ran.run_id,
        iteration=ran.iteration,
        start_time=ran.started.isoformat(),
        end_time=ran.ended.isoformat(),
        duration_seconds=round(max(0.0, (ran.ended - ran.started).total_seconds()), 3),
        stdout=stdout,
        stderr=stderr,
        output=record.output if record else None,
        error=error,
        error_trace=record.error_trace if record else None,
        timed_out=bool(report and report.reason == "time"),
    )


def problem(report: Report | None, seconds: float) -> str | None:
    """Why the run is not a success, or None. Only a record of success and exit code 0 together are one."""
    if report is None or report.reason == "host":
        return INTERRUPTED
    if report.reason == "time":
        return f"the code ran longer than {seconds:g} s and was stopped; what it printed until then is kept"
    if report.reason == "cancelled":
        return "the run was cancelled"
    if report.signal is not None:
        return f"the code's process was ended by {_name(report.signal)}{_hint(report.signal)}"
    if report.record is None:
        return f"the code's process ended (exit code {report.exit_code}) without a report, as after os._exit"
    if report.record.status == "failed":
        return report.record.error or "the code failed"
    return None if report.exit_code == 0 else f"the code's process ended with exit code {report.exit_code}"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _hint(number: int) -> str:
    return HINTS.get(number, "")


def preview(folder: Path, name: str) -> str:
    """The file's text, of a long one its head and tail and how many bytes lie between. Raises Unreadable."""
    try:
        return _preview(folder, name)
    except FileNotFoundError:
        return ""


def _preview(folder: Path, name: str) -> str:
    with opened(folder, name) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= HEAD_BYTES + TAIL_BYTES:
            return file.read().decode("utf-8", "replace")
        head = file.read(HEAD_BYTES).decode("utf-8", "replace")
        file.seek(size - TAIL_BYTES)
        tail = file.read().decode("utf-8", "replace")
    return f"{head}\n... ({size - HEAD_BYTES - TAIL_BYTES} bytes omitted) ...\n{tail}"
