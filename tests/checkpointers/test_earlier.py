"""Files that an earlier version of this package wrote open and go on, whenever the taking over was interrupted.

`files/earlier.tar.xz` has one of each store, with branches, edits, open interrupts and delta channels, the DuckDB one
with steps that only its journal has; and what was in them, exported by that version.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import ormsgpack
import pytest

from checkpointers import Saver, open_checkpointer
from checkpointers.encoding import Codec, strict_serializer
from tests.checkpointers.conftest import EMBEDDED
from tests.checkpointers.contract import _asking_graph, _delta_graph
from tests.checkpointers.making import Line, chat, config, snapshot
from tests.workspace.postgres import Postgres

_FILES = Path(__file__).parent / "files" / "earlier.tar.xz"


@pytest.fixture(params=EMBEDDED)
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    with tarfile.open(_FILES) as archive:
        archive.extractall(tmp_path, filter="data")
    return str(request.param)


def _same(saver: Saver, folder: Path, kind: str) -> None:
    """Each thread is what its export says."""
    exported = sorted(folder.glob(f"{kind}-*.thread"))
    assert len(exported) >= 5
    with open_checkpointer("sqlite", path=":memory:") as expected:
        for file in exported:
            thread_id = expected.import_thread(file)
            assert snapshot(saver, thread_id) == snapshot(expected, thread_id)
        assert {t.thread_id for t in saver.threads()} == {t.thread_id for t in expected.threads()}


def test_an_earlier_file_opens_and_goes_on(kind: str, tmp_path: Path):
    path = tmp_path / f"earlier.{kind}"
    with open_checkpointer(kind, path=path) as saver:
        _same(saver, tmp_path, kind)
        assert saver.claimed("chat", "run") == "job 7"
        assert len(chat(saver).invoke({"messages": [("user", "more")]}, config("long"))["messages"]) == 26
        assert _asking_graph(saver).get_state(config("asking")).interrupts
        assert len(_delta_graph(saver).invoke({"log": ["more"], "other": 0}, config("delta"))["log"]) == 8
        saver.vacuum()
    with open_checkpointer(kind, path=path) as saver:
        assert len(chat(saver).get_state(config("long")).values["messages"]) == 26
        Line(saver, "new").put({"x": [1]})
        saver.prune([thread.thread_id for thread in saver.threads()])
        assert len(chat(saver).get_state(config("long")).values["messages"]) == 26
    if kind == "sqlite":
        assert b"earlier_checkpoints" not in path.read_bytes()


_KILLED = """
import os, signal, sys
from checkpointers import open_checkpointer
from checkpointers.embedded import EmbeddedSaver
left = int(sys.argv[3])

def counted(method):
    def call(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return method(*args, **kwargs)
    return call

for name in ("_put", "_put_writes", "_take_over"):
    setattr(EmbeddedSaver, name, counted(getattr(EmbeddedSaver, name)))
open_checkpointer(sys.argv[1], path=sys.argv[2]).close()
"""


def test_a_kill_at_any_point_of_it_loses_nothing(kind: str, tmp_path: Path):
    """Each process is killed after some more steps than the one before, until one comes through."""
    path, steps, kills = tmp_path / f"earlier.{kind}", 1, 0
    while True:
        command = [sys.executable, "-c", _KILLED, kind, str(path), str(steps)]
        ended = subprocess.run(command, capture_output=True, text=True, cwd=Path.cwd(), check=False)
        if ended.returncode != -signal.SIGKILL:
            break
        steps, kills = steps * 2 + 1, kills + 1
    assert ended.returncode == 0, ended.stderr
    assert kills >= 4
    with open_checkpointer(kind, path=path) as saver:
        _same(saver, tmp_path, kind)


def test_lists_that_an_earlier_version_stored_on_a_server_go_on(postgres: Postgres):
    """As runs of segments in a table of their own; the next step stores the list in the way of today."""
    codec = Codec(strict_serializer())
    elements = codec.elements(["first", "second", "third"])
    assert elements is not None
    with open_checkpointer("postgres", conninfo=postgres.dsn(), schema="earlier", segments=True) as saver:
        line = Line(saver)
        at = line.put({"list": ["to be replaced"]})
        pieces = ((5, 0, elements[:2]), (6, 0, elements[2:]))
        for lineage, start, some in pieces:
            row = (lineage, start, len(some), codec.seal(ormsgpack.packb(some)))
            sql = "INSERT INTO earlier.checkpoint_segments VALUES ('t', '', %s, %s, %s, '', %s)"
            _execute(postgres, sql, row)
        runs = codec.seal(ormsgpack.packb([[5, 0, 2], [6, 0, 1]]))
        _execute(postgres, "UPDATE earlier.checkpoint_blobs SET type = 'segments', blob = %s", (runs,))
    with open_checkpointer("postgres", conninfo=postgres.dsn(), schema="earlier", segments=True) as saver:
        assert saver.get_tuple(config("t")).checkpoint["channel_values"]["list"] == ["first", "second", "third"]
        line = Line(saver, at=at)
        line.versions = dict(saver.get_tuple(at).checkpoint["channel_versions"])
        line.put({"list": ["first", "second", "third", "fourth"]})
        saver.prune(["t"], keep_last=1)
        assert saver.get_tuple(config("t")).checkpoint["channel_values"]["list"][3:] == ["fourth"]
    assert postgres.execute("SELECT count(*) FROM earlier.checkpoint_segments")[0][0] in (0, "0")


def _execute(postgres: Postgres, sql: str, parameters: tuple[object, ...]) -> None:
    import psycopg

    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(sql, parameters)
