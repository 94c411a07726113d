"""The process between the host and a run: starts the run, keeps its output, ends it in time and says how it ended.

It is the run's parent and outlives whatever the run does: descendants that detach themselves become its children, and
none of them is left when it is done. It ends itself and the run when the host is gone.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Literal, NoReturn

from agent.execution.capture import Capture
from agent.execution.inside.confinement import Allowance, adopt_orphans, confine
from agent.execution.inside.framing import receive_json
from agent.execution.inside.harness import Job, Record, run
from agent.execution.inside.namespace import Place

GRACE_SECONDS = 1.0
"""How long a run has after SIGTERM before SIGKILL, and how long its output is awaited after its end."""
CLEANING_SECONDS = 3.0
LARGEST_RECORD = 8 * 1024 * 1024
PIECE = 1 << 18

WORK = "work"
"""The run's working folder, in the artifact's."""

Reason = Literal["time", "cancelled", "host"]


@dataclass(frozen=True)
class Plan:
    """What the host asks for. `seconds` is the time limit, `output` bytes of each stream that are kept on disk."""

    job: Job
    allowance: Allowance
    seconds: float
    output: int


@dataclass(frozen=True)
class Report:
    """How the run ended. `signal` is what killed it; `record` is None when the run left none, or a forged one."""

    exit_code: int | None
    signal: int | None
    reason: Reason | None
    record: Record | None


def plan_of(message: dict[str, Any]) -> Plan:
    job = dict(message["job"])
    job["place"] = Place(**job["place"])
    job["text"], job["packages"] = tuple(job["text"]), tuple(job["packages"])
    return Plan(Job(**job), Allowance(**message["allowance"]), message["seconds"], message["output"])


def main(channel: int, report: int, control: int) -> None:
    """Entry of the process. `channel`: the broker's socket; `report`: a pipe to the host; `control`: one from it."""
    sql = socket.socket(fileno=channel)
    plan = plan_of(receive_json(sql))
    adopt_orphans()
    outcome = Supervised(plan, sql, control, report).watch()
    data = memoryview(json.dumps(asdict(outcome)).encode())
    while data:
        data = data[os.write(report, data) :]


class Supervised:
    """One run from its start to the end of its last descendant."""

    def __init__(self, plan: Plan, sql: socket.socket, control: int, report: int) -> None:
        self._plan = plan
        self._control = control
        self._captures: dict[int, Capture] = {}
        self._records = bytearray()
        self._reason: Reason | None = None
        self._kill_at: float | None = None
        self._ends_at = monotonic() + plan.seconds
        self._exit: int | None = None
        self._start(sql, report)

    def watch(self) -> Report:
        while self._exit is None:
            self._step()
        _kill_descendants(self._child)
        self._drain()
        for capture in self._captures.values():
            capture.close()
        code = os.waitstatus_to_exitcode(self._exit)
        record = _genuine(bytes(self._records), self._plan.job.nonce)
        return Report(code if code >= 0 else None, -code if code < 0 else None, self._reason, record)

    def _start(self, sql: socket.socket, report: int) -> None:
        folder = Path(self._plan.job.folder)
        (out, out_end), (err, err_end), (record, record_end) = os.pipe(), os.pipe(), os.pipe()
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake)
        parent = os.getpid()
        self._child = os.fork()
        if self._child == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for descriptor in (out, err, record, woken, wake, report, self._control):
                os.close(descriptor)
            _become(self._plan, parent, sql, (out_end, err_end, record_end))
        for descriptor in (out_end, err_end, record_end):
            os.close(descriptor)
        sql.close()
        self._captures = {
            out: Capture(folder / "stdout.txt", self._plan.output),
            err: Capture(folder / "stderr.txt", self._plan.output),
        }
        self._record = record
        self._selector = selectors.DefaultSelector()
        for descriptor in (out, err, record, woken, self._control):
            self._selector.register(descriptor, selectors.EVENT_READ)
        self._woken = woken

    def _step(self) -> None:
        self._read_ready(self._next_deadline() - monotonic())
        now = monotonic()
        if self._reason is None and now >= self._ends_at:
            self._stop("time")
        if self._kill_at is not None and now >= self._kill_at:
            _signal_group(self._child, signal.SIGKILL)
        self._reap()

    def _reap(self) -> None:
        """Take the exit of the run, and of orphans that became ours on the way."""
        pid, status = os.waitpid(-1, os.WNOHANG)
        while pid:
            if pid == self._child:
                self._exit = status
                return
            pid, status = os.waitpid(-1, os.WNOHANG)

    def _next_deadline(self) -> float:
        return self._ends_at if self._kill_at is None else max(self._kill_at, monotonic() + 0.05)

    def _stop(self, reason: Reason) -> None:
        """Ask the run to end; it is killed when it has not after the grace. Without a host it is killed at once."""
        if self._reason is not None:
            return
        self._reason = reason
        self._kill_at = monotonic() + (0.0 if reason == "host" else GRACE_SECONDS)
        _signal_group(self._child, signal.SIGTERM)

    def _read_ready(self, wait: float) -> bool:
        """Take what there is to read, waiting at most `wait` seconds; say whether there was any."""
        ready = self._selector.select(max(0.0, wait))
        for key, _ in ready:
            self._read(key.fd)
        return bool(ready)

    def _read(self, descriptor: int) -> None:
        data = os.read(descriptor, PIECE)
        if descriptor == self._control:
            self._stop("cancelled" if data else "host")
        elif data and descriptor in self._captures:
            self._captures[descriptor].write(data)
        elif data and descriptor == self._record and len(self._records) <= LARGEST_RECORD:
            self._records += data
        if not data:
            self._selector.unregister(descriptor)

    def _drain(self) -> None:
        """Read what is left in the pipes, not longer than the grace: something unkillable may hold them open."""
        for descriptor in (self._control, self._woken):
            if descriptor in self._selector.get_map():
                self._selector.unregister(descriptor)
        until = monotonic() + GRACE_SECONDS
        while self._selector.get_map() and monotonic() < until:
            self._read_ready(until - monotonic())


def _become(plan: Plan, parent: int, sql: socket.socket, ends: tuple[int, int, int]) -> NoReturn:
    """Turn the forked process into the run."""
    out, err, record = ends
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)
    work = Path(plan.job.folder) / WORK
    work.mkdir(exist_ok=True)
    os.chdir(work)
    confine(plan.allowance, parent)
    run(plan.job, sql, record)


def _signal_group(leader: int, number: int) -> None:
    """To the run's whole group, or to the run alone while it has not made its group yet."""
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        with suppress(ProcessLookupError):
            os.kill(leader, number)


def _kill_descendants(leader: int) -> None:
    """Kill what the run left: its group, then every process that has become our child, until there is none."""
    _signal_group(leader, signal.SIGKILL)
    until = monotonic() + CLEANING_SECONDS
    while monotonic() < until:
        for child in _children(os.getpid()):
            os.kill(child, signal.SIGKILL)
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            sleep(0.005)


def _children(parent: int) -> list[int]:
    listing = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(pid) for pid in listing.read_text().split()] if listing.exists() else []


def _genuine(written: bytes, nonce: str) -> Record | None:
    """The first line that carries the run's nonce."""
    for line in written.splitlines():
        try:
            record = Record(**json.loads(line))
        except (ValueError, TypeError):
            continue
        if record.nonce == nonce and record.status in ("success", "failed"):
            return record
    return None


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
