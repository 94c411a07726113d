"""The log: by request, without secrets, whole although several processes write and move it."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.request import CURRENT
from agent.terminal.logfile import KEPT, LARGEST, SharedFile, entries, log_to
from tests.terminal.processes import ROOT

log = logging.getLogger("agent.tested")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path, levels = tmp_path / "logs" / "log.txt", {name: logging.getLogger(name).level for name in ("agent", "graph")}
    log_to(path, "info")
    yield path
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, SharedFile)]:
        root.removeHandler(handler)
        handler.close()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_an_entry_has_its_request_its_fields_and_no_secret(file: Path) -> None:
    before = CURRENT.set("req-1")
    log.info("a run ended with token=%s", "sk-abcdefghijklmnop", extra={"run_id": "run-1"})
    CURRENT.reset(before)
    log.debug("not of this level")
    logging.getLogger("somebody").info("not ours")
    (entry,) = entries(file)
    assert "INFO agent.tested [req-1] a run ended" in entry
    assert entry.endswith("run_id=run-1")
    assert "sk-abc" not in entry


def test_entries_are_found_by_request_with_their_tracebacks(file: Path) -> None:
    log.info("before")
    before = CURRENT.set("req-2")
    try:
        raise KeyError("weight")
    except KeyError:
        log.exception("it failed")
    CURRENT.reset(before)
    log.info("after")
    (entry,) = entries(file, "req")
    assert entry.splitlines()[-1] == "KeyError: 'weight'"
    assert [one.split("] ")[1].splitlines()[0] for one in entries(file)] == ["before", "it failed", "after"]


def test_opening_it_again_writes_each_entry_once(file: Path) -> None:
    log_to(file, "warning")
    log.info("too little")
    log.warning("once")
    assert len(list(entries(file))) == 1


WRITER = """
import logging, sys
from pathlib import Path
from agent.terminal import logfile
logfile.LARGEST = 20_000
logfile.log_to(Path(sys.argv[1]), "info")
for number in range(400):
    logging.getLogger("agent.writer").info("%s %s %s", sys.argv[2], number, "x" * 100)
"""


def test_several_processes_write_and_move_the_files_and_lose_nothing_that_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "log.txt"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(file), name], cwd=ROOT) for name in ("first", "second")
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    files = sorted(path.name for path in tmp_path.glob("log.txt*"))
    assert len(files) == KEPT + 1
    assert all(path.stat().st_size < 25_000 for path in tmp_path.glob("log.txt*"))
    numbers = [int(entry.split()[6]) for entry in entries(file) if " first " in entry]
    assert numbers == list(range(numbers[0], 400))
    assert LARGEST > 1_000_000
