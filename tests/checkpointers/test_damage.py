"""A damaged log is told, kept, and given up only then; a deleted thread leaves nothing."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import time
from datetime import timedelta
from pathlib import Path

import pytest

from checkpointers import DamagedLog, Retention, Saver, SqliteSaver, open_checkpointer
from tests.checkpointers.conftest import EMBEDDED, Opener
from tests.checkpointers.making import Line, config

_STEPS = 12


@pytest.fixture(params=EMBEDDED)
def killed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What a killed process leaves: the files of an open store, with some steps in its log."""
    left = tmp_path / "left"
    left.mkdir()
    path = tmp_path / f"state.{request.param}"
    open_checkpointer(request.param, path=path).close()
    with open_checkpointer(request.param, path=path) as saver:
        line = Line(saver)
        for i in range(_STEPS):
            line.put({"x": [f"{i} " * 50]})
        for file in tmp_path.glob("state*"):
            if file.is_file():
                shutil.copyfile(file, left / file.name)
    return left / path.name


def _flip(file: Path, share: float) -> None:
    data = bytearray(file.read_bytes())
    end = len(data.rstrip(b"\0"))
    data[int(end * share)] ^= 0x20
    file.write_bytes(data)


def _log(killed: Path) -> Path:
    name = "-wal" if killed.suffix == ".sqlite" else ".journal-a"
    return killed.with_name(killed.name + name)


def _count(killed: Path) -> int:
    with open_checkpointer(killed.suffix[1:], path=killed) as saver:
        return len(list(saver.list(config("t"))))


def test_what_a_kill_leaves_is_whole(killed: Path):
    assert _count(killed) == _STEPS


@pytest.mark.parametrize("share", [0.001, 0.3, 0.5, 0.7])
def test_a_flipped_byte_in_the_log_is_told_once(killed: Path, share: float):
    _flip(_log(killed), share)
    with pytest.raises(DamagedLog, match=r"acknowledged steps can't be read.*kept as .*damaged.*open the store again"):
        open_checkpointer(killed.suffix[1:], path=killed)
    assert list(killed.parent.glob("*.damaged"))
    left = _count(killed)
    assert left < _STEPS
    assert left > 0 or share < 0.5
    with open_checkpointer(killed.suffix[1:], path=killed) as saver:
        Line(saver, "after").put({"x": [1]})
    assert _count(killed) == left


def test_a_torn_last_step_is_no_error(killed: Path, caplog: pytest.LogCaptureFixture):
    """It wasn't acknowledged, or that can't be told."""
    _flip(_log(killed), 0.999)
    with caplog.at_level(logging.WARNING):
        assert _count(killed) == _STEPS - 1
    assert "torn or damaged" in caplog.text


def test_a_deleted_thread_leaves_nothing(saver: Saver, tmp_path: Path):
    with saver.lease("a secret name"):
        line = Line(saver, "a secret name")
        line.put({"list": ["x" * 100], "big": {"k": "v" * 200}})
        saver.put_writes(line.at, [("list", ["y" * 100])], "task")
        saver.claim("a secret name", "run", "value")
    Line(saver, "other").put({"x": [1]})
    saver.delete_thread("a secret name")
    saver.vacuum()
    saver.close()
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"a secret name" in path.read_bytes()]


def test_a_deleted_thread_leaves_no_row(tmp_path: Path):
    with SqliteSaver(tmp_path / "a") as saver:
        with saver.lease("t"):
            Line(saver).put({"x": [1]})
        saver.claim("t", "run", "x")
        saver.delete_thread("t")
    with sqlite3.connect(tmp_path / "a") as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        left = {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}
    db.close()
    assert {name for name, count in left.items() if count} <= {"sqlite_sequence"}, left


def test_old_threads_go_while_the_store_is_open(open_store: Opener):
    with open_store(retention=Retention(ttl=timedelta(seconds=0.2))) as saver:
        Line(saver, "old").put({"x": [1]})
        with saver.lease("held"):
            line = Line(saver, "held")
            line.put({"x": [1]})
            time.sleep(0.3)
            Line(saver, "new").put({"x": [1]})
            assert saver.get_tuple(config("old")) is None
            assert saver.get_tuple(config("held")) is not None
