"""Inside the run's process: executes the artifact's code and reports how it ended on a descriptor of its own.

Starts with the standard library only; pandas, pyarrow and matplotlib are loaded by the code that uses them.
"""

from __future__ import annotations

import builtins
import json
import linecache
import os
import signal
import socket
import sys
import traceback
from contextlib import suppress
from dataclasses import asdict, dataclass
from io import TextIOWrapper
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NoReturn

from agent.execution.inside.figures import ALBUM
from agent.execution.inside.line import HostLine
from agent.execution.inside.namespace import Place, names
from agent.execution.inside.output import as_json, output_of

OURS = str(Path(__file__).parents[1])
SHOWN = "code.py"
"""The file name in tracebacks: the same on every machine."""
LONGEST_ERROR = 20_000


@dataclass(frozen=True)
class Job:
    """What the supervisor hands to the run. `text` are the files of `context`; `largest` bounds the result in bytes."""

    code: str
    folder: str
    place: Place
    nonce: str
    text: tuple[str, ...]
    packages: tuple[str, ...]
    largest: int


@dataclass(frozen=True)
class Record:
    """How the code ended, as the run itself says. `nonce` shows that it was this run who said it."""

    nonce: str
    status: str
    output: str | None = None
    error: str | None = None
    error_trace: str | None = None


class Stopped(BaseException):
    """Raised in the code when its time is up, so that its traceback says where it was."""


Stopped.__module__ = "builtins"  # so that the traceback has no name of ours


def run(job: Job, channel: socket.socket, record: int) -> NoReturn:
    """Execute the job's code, write the Record to descriptor `record` and exit like a script would."""
    process = os.getpid()
    seen = names(job.place, f"{job.folder}/{SHOWN}", HostLine(channel), _context(job.text))
    _prepare(job)
    module = ModuleType("__main__")
    module.__dict__.update(seen)
    sys.modules["__main__"] = module
    signal.signal(signal.SIGTERM, _stop)
    code, ended = execute(job, module)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if os.getpid() != process:
        _flush()
        os._exit(code)
    save_figures()
    _report(record, complete(ended, module.__dict__, job.largest))
    sys.exit(code)


def _stop(signum: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise Stopped("the run was stopped here")


def _prepare(job: Job) -> None:
    sys.path[:] = [*sys.path[1:], *job.packages]
    sys.argv = [SHOWN]
    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]
    sys.stdout = sys.__stdout__ = _stream(1)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(2)  # type: ignore[misc]
    ALBUM.open(Path(job.folder) / "figures")


def _stream(descriptor: int) -> TextIOWrapper:
    """By line, so that what was printed is outside when the process is killed."""
    return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _context(paths: tuple[str, ...]) -> object:
    if not paths:
        return None
    from agent.execution.inside.context import Text

    return Text(tuple(map(Path, paths)))


def execute(job: Job, module: ModuleType) -> tuple[int, Record]:
    """Run the code; return the exit code that Python would give and the record so far."""
    source = job.code
    linecache.cache[SHOWN] = (len(source), None, source.splitlines(keepends=True), SHOWN)
    try:
        exec(compile(source, SHOWN, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - what a run is for
    except SystemExit as error:
        return _left(error, job.nonce)
    except BaseException as error:  # noqa: BLE001 - the edge: whatever the code raises is its result
        trace = _trace(error)
        sys.stderr.write(trace)
        return 1, Record(job.nonce, "failed", error=_clip(_name_error(error)), error_trace=_clip(trace))
    return 0, Record(job.nonce, "success")


def _left(error: SystemExit, nonce: str) -> tuple[int, Record]:
    if error.code is None or error.code == 0:
        return 0, Record(nonce, "success")
    if isinstance(error.code, int):
        return error.code & 0xFF or 1, Record(nonce, "failed", error=f"the code called sys.exit({error.code})")
    sys.stderr.write(f"{error.code}\n")
    return 1, Record(nonce, "failed", error=f"the code called sys.exit({str(error.code)!r})")


def _clip(text: str) -> str:
    """Head and tail of what is too long to hand on; all of it is on stderr."""
    if len(text) <= LONGEST_ERROR:
        return text
    half = LONGEST_ERROR // 2
    return f"{text[:half]}\n... ({len(text) - LONGEST_ERROR} characters omitted) ...\n{text[-half:]}"


def _name_error(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip()


def _trace(error: BaseException) -> str:
    """The traceback without frames of ours, in the error and all its causes."""
    described = traceback.TracebackException.from_exception(error)
    _hide_ours(described, set())
    return "".join(described.format())


def _hide_ours(described: traceback.TracebackException, seen: set[int]) -> None:
    if id(described) in seen:
        return
    seen.add(id(described))
    frames = [frame for frame in described.stack if not frame.filename.startswith(OURS)]
    described.stack = traceback.StackSummary.from_list(frames)
    for other in (described.__cause__, described.__context__, *(getattr(described, "exceptions", None) or ())):
        if other is not None:
            _hide_ours(other, seen)


def save_figures() -> None:
    if "matplotlib.pyplot" not in sys.modules:
        return
    try:
        ALBUM.save_open()
    except Exception as error:  # noqa: BLE001 - the edge: a figure that can't be drawn does not undo the run
        sys.stderr.write(f"a figure could not be saved: {_name_error(error)}\n")


def complete(record: Record, namespace: dict[str, Any], largest: int) -> Record:
    try:
        value = output_of(namespace)
        text = None if value is None else as_json(value)
    except Exception as error:  # noqa: BLE001 - the edge: the value's own code (str, iteration) may do anything
        sys.stderr.write(f"the result could not be kept: {_name_error(error)}\n")
        return record
    if text is not None and len(text.encode()) > largest:
        sys.stderr.write(
            f"the result of {len(text):,} characters was cut to its beginning: print it, or make it smaller\n"
        )
        text = json.dumps(text[: largest // 8] + " ... (cut)")
    return Record(**{**asdict(record), "output": text})


def _report(descriptor: int, record: Record) -> None:
    _flush()
    data = memoryview(json.dumps(asdict(record)).encode() + b"\n")
    while data:
        data = data[os.write(descriptor, data) :]
    os.close(descriptor)


def _flush() -> None:
    """As far as the code has left anything to flush: it may have closed or replaced the streams."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
