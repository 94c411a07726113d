"""One run as its host sees it: a supervisor process, a channel to its host, a thread that waits for the end.

host (this module) ── control, report ──► supervisor ── fork ──► the run (harness)
        └────────────── channel: what the code asks of its host ─────┘
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from agent.execution.channel import Channel
from agent.execution.inside.confinement import Allowance
from agent.execution.inside.harness import Job, Record
from agent.execution.inside.namespace import Place
from agent.execution.supervisor import WORK, Plan, Report
from graph.context import RunHost

log = logging.getLogger(__name__)

ROOT = Path(__file__).parents[2]
BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); from agent.execution.supervisor import main;"
    " main(*map(int, sys.argv[2:]))"
)
GLANCE_SECONDS = 0.25
"""How often a run looks whether another process asked for its end."""
ERRORS = "supervisor.log"
CANCEL = "cancel"
"""The file in the artifact's folder by which any process asks for the end of its run."""


@dataclass(frozen=True)
class RunLimits:
    """`seconds` is wall time; `output_bytes` is kept of each stream on disk; `result_bytes` of the JSON in `result`.

    `memory_bytes` holds for each process of a run, `file_bytes` for each file that it writes. A supervisor has
    `patience_seconds` past the time limit to clean up; then it is given up.
    """

    seconds: float = 600.0
    memory_bytes: int = 4 << 30
    output_bytes: int = 64 << 20
    result_bytes: int = 1 << 20
    file_bytes: int = 4 << 30
    patience_seconds: float = 15.0


class Run:
    """A started run. `done` is set when `ended(report)` has returned; `report` is None when the supervisor died."""

    def __init__(
        self, folder: Path, process: subprocess.Popen[bytes], ends: Ends, channel: Channel, limits: RunLimits
    ) -> None:
        self.done = threading.Event()
        self._folder = folder
        self._process = process
        self._ends = ends
        self._channel = channel
        self._until = monotonic() + limits.seconds + limits.patience_seconds

    def watch(self, ended: Callable[[Report | None], None]) -> None:
        """Wait for the end in a thread of its own, then call `ended` there."""
        thread = threading.Thread(target=self._watch, args=(ended,), name=self._folder.name, daemon=True)
        thread.start()

    def _watch(self, ended: Callable[[Report | None], None]) -> None:
        try:
            written = self._await_report()
            self._process.kill()
            self._process.wait()
            self._channel.close()
            ended(report_of(written))
        except OSError:
            log.exception("the end of a run could not be written down", extra={"folder": str(self._folder)})
        finally:
            self._ends.close()
            self.done.set()

    def _await_report(self) -> bytes:
        written, asked = bytearray(), False
        awaited = select.poll()
        awaited.register(self._ends.report, select.POLLIN)
        while monotonic() < self._until:
            if awaited.poll(GLANCE_SECONDS * 1000):
                data = os.read(self._ends.report, 1 << 16)
                if not data:
                    break
                written += data
            elif not asked and (self._folder / CANCEL).exists():
                asked = True
                with suppress(BrokenPipeError):
                    os.write(self._ends.control, b"c")
        return bytes(written)


@dataclass(frozen=True)
class Ends:
    """The host's ends of the pipes to a supervisor. Closing `control` tells it that the host is gone."""

    report: int
    control: int

    def close(self) -> None:
        os.close(self.report)
        os.close(self.control)


def start(code: str, folder: Path, place: Place, host: RunHost, limits: RunLimits) -> Run:
    """Start a supervisor with its run and a channel to its host; raises OSError when no process can be had."""
    near, far = socket.socketpair()
    (report, report_end), (control_end, control) = os.pipe(), os.pipe()
    ends = Ends(report, control)
    try:
        process = _spawn(folder, (far.fileno(), report_end, control_end))
    except OSError:
        ends.close()
        near.close()
        raise
    finally:
        far.close()
        os.close(report_end)
        os.close(control_end)
    plan = _plan(code, folder, place, host.setup, limits)
    channel = Channel(place.run_id, near, host, asdict(plan))
    channel.start()
    return Run(folder, process, ends, channel, limits)


def _plan(code: str, folder: Path, place: Place, setup: Mapping[str, Any], limits: RunLimits) -> Plan:
    job = Job(
        code=code,
        folder=str(folder.resolve()),
        place=place,
        nonce=secrets.token_hex(16),
        text=tuple(setup["text"]),
        packages=tuple(path for path in sys.path if path.endswith(("site-packages", "dist-packages"))),
        largest=limits.result_bytes,
    )
    return Plan(job, Allowance(limits.memory_bytes, limits.file_bytes), limits.seconds, limits.output_bytes)


def _spawn(folder: Path, descriptors: tuple[int, int, int]) -> subprocess.Popen[bytes]:
    """The child's command, environment and descriptors: nothing else of this process reaches it."""
    work = folder / WORK
    work.mkdir(exist_ok=True)
    with (folder / ERRORS).open("wb") as errors:
        return subprocess.Popen(  # noqa: S603 - our interpreter, our module
            [sys.executable, "-I", "-S", "-X", "utf8", "-c", BOOT, str(ROOT), *map(str, descriptors)],
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            cwd=work,
            env=_environment(folder),
            pass_fds=descriptors,
            start_new_session=True,
        )


def _environment(folder: Path) -> dict[str, str]:
    """All that a run finds in its environment."""
    work = str((folder / WORK).resolve())
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "HOME": work,
        "TMPDIR": work,
        "MPLBACKEND": "module://agent.execution.inside.matplotlib_backend",
        "MPLCONFIGDIR": str((folder.parent / ".matplotlib").resolve()),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def report_of(written: bytes) -> Report | None:
    """What the supervisor said; None when it ended without saying."""
    try:
        message = json.loads(written)
        record = message.pop("record")
        return Report(**message, record=Record(**record) if record else None)
    except (ValueError, TypeError, KeyError):
        return None
