"""The process that carries a run's output to the Volume: it outlives the run, whatever ends that.

Reads both streams from pipes into capped files of this machine, and copies them to the artifact's folder: soon after
the first output, then every few seconds, and when both pipes are closed. A Volume takes whole files only.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from agent.execution.capture import Capture
from agent.execution.job.order import OUTPUT

FIRST_SECONDS, PAUSE_SECONDS = 0.3, 2.0
PIECE = 1 << 18
STREAMS = ("stdout.txt", "stderr.txt")
LAST_SECONDS = 60.0


@dataclass
class Courier:
    """The run's end of the pipes: what is written to `out` and `err` reaches the Volume."""

    process: subprocess.Popen[bytes]
    out: int
    err: int

    def finish(self) -> None:
        """Wait until all is copied. The run's own descriptors must be closed by now."""
        os.close(self.out)
        os.close(self.err)
        try:
            self.process.wait(LAST_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()


def start_courier(scratch: Path, folder: Path, limit: int) -> Courier:
    """`scratch` is a folder of this machine, `folder` the artifact's in the Volume, `limit` bytes of each stream."""
    (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    process = subprocess.Popen(  # noqa: S603 - our interpreter, our module
        [sys.executable, "-m", __name__, str(out), str(err), str(scratch), str(folder), str(limit)],
        stdin=subprocess.DEVNULL,
        pass_fds=(out, err),
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    os.close(out)
    os.close(err)
    return Courier(process, out_end, err_end)


def carry(descriptors: tuple[int, int], scratch: Path, folder: Path, limit: int) -> None:
    captures = {
        descriptor: Capture(scratch / name, limit) for descriptor, name in zip(descriptors, STREAMS, strict=True)
    }
    selector = selectors.DefaultSelector()
    for descriptor in descriptors:
        selector.register(descriptor, selectors.EVENT_READ)
    due: float | None = None
    while selector.get_map():
        for key, _ in selector.select(None if due is None else max(0.0, due - monotonic())):
            if data := os.read(key.fd, PIECE):
                captures[key.fd].write(data)
                due = monotonic() + FIRST_SECONDS if due is None else due
            else:
                selector.unregister(key.fd)
        if due is not None and monotonic() >= due:
            began = monotonic()
            copy(scratch, folder)
            due = monotonic() + max(PAUSE_SECONDS, 5 * (monotonic() - began))
    for capture in captures.values():
        capture.close()
    copy(scratch, folder)
    sizes = {name: (scratch / name).stat().st_size for name in STREAMS}
    (folder / OUTPUT).write_text(json.dumps(sizes))


def copy(scratch: Path, folder: Path) -> None:
    """Whole or not at all; what did not change is left as it is."""
    for name in STREAMS:
        source, target = scratch / name, folder / name
        size = source.stat().st_size
        if size and (not target.exists() or target.stat().st_size != size):
            draft = folder / f".{name}.draft"
            shutil.copyfile(source, draft)
            draft.replace(target)


if __name__ == "__main__":
    carry((int(sys.argv[1]), int(sys.argv[2])), Path(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5]))
