"""Files of the official SqliteSaver and of our earlier versions open, and nothing in them changes."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ormsgpack
import pytest
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver as Official

from checkpointers import BlockedType, SqliteSaver, StoreError
from checkpointers.encoding import Codec, strict_serializer
from checkpointers.encryption import AesGcm
from checkpointers.sqlite import MIGRATIONS
from tests.checkpointers.contract import _asking_graph, _delta_graph
from tests.checkpointers.making import Line, chat, config, snapshot

ALLOWED = [("tests.checkpointers.test_migration", "Point")]


@dataclass
class Point:
    x: int


def _official(path: Path, serde: Any = None) -> Official:
    return Official(sqlite3.connect(path, check_same_thread=False), serde=serde)


def test_an_official_file_opens_and_goes_on(tmp_path: Path):
    path = tmp_path / "old.db"
    official = _official(path)
    for thread in ("a", "b"):
        for i in range(8):
            chat(official).invoke({"messages": [("user", f"{thread} {i}")]}, config(thread))
    _asking_graph(official).invoke({"answers": ["open"]}, config("asking"))
    for i in range(3):
        _delta_graph(official).invoke({"log": [f"in{i}"], "other": 0}, config("delta"))
    log_before = _delta_graph(official).get_state(config("delta")).values["log"]
    threads = ("a", "b", "asking", "delta")
    before = [snapshot(official, thread) for thread in threads]
    official.conn.close()
    size = path.stat().st_size
    with SqliteSaver(path) as saver:
        assert [snapshot(saver, thread) for thread in threads] == before
        assert len(chat(saver).invoke({"messages": [("user", "more")]}, config("a"))["messages"]) == 18
        assert _asking_graph(saver).get_state(config("asking")).interrupts
        assert _delta_graph(saver).get_state(config("delta")).values["log"] == log_before
        saver.vacuum()
    assert path.stat().st_size < size
    with SqliteSaver(path) as saver:
        assert snapshot(saver, "b") == before[1]
    with sqlite3.connect(path) as plain:
        tables = {name for (name,) in plain.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    plain.close()
    assert not tables & {"checkpoints", "writes"}


def test_types_that_are_not_allowed_survive_the_migration(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """They are carried over packed, not revived: the next program that allows them has them."""
    official = _official(tmp_path / "old.db", JsonPlusSerializer(allowed_msgpack_modules=ALLOWED))
    line = Line(official)
    line.put({"points": [Point(1), Point(2)], "one": Point(3)})
    official.put_writes(line.at, [("points", Point(4))], "task")
    official.conn.close()
    with caplog.at_level(logging.ERROR), SqliteSaver(tmp_path / "old.db") as saver:
        with pytest.raises(BlockedType, match=r"allowed_types=\[\('tests.checkpointers.test_migration', 'Point'\)\]"):
            saver.get_tuple(config("t"))
    with SqliteSaver(tmp_path / "old.db", allowed_types=ALLOWED) as saver:
        found = saver.get_tuple(config("t"))
        assert found.checkpoint["channel_values"] == {"points": [Point(1), Point(2)], "one": Point(3)}
        assert found.pending_writes == [("task", "points", Point(4))]


def test_an_encrypted_official_file(tmp_path: Path):
    serde = EncryptedSerializer(AesGcm(bytes(32)), strict_serializer())
    official = _official(tmp_path / "old.db", serde)
    chat(official).invoke({"messages": [("user", "secret")]}, config("t"))
    before = snapshot(official, "t")
    official.conn.close()
    with pytest.raises(StoreError, match="encrypted: open it with the serde"):
        SqliteSaver(tmp_path / "old.db")
    with SqliteSaver(tmp_path / "old.db", encryption_key=bytes(32)) as saver:
        assert snapshot(saver, "t") == before


def test_an_interrupted_migration_goes_on(tmp_path: Path):
    """One thread was brought over, another only half, when the power failed."""
    path = tmp_path / "old.db"
    official = _official(path)
    for thread in ("a", "b", "c"):
        for i in range(3):
            chat(official).invoke({"messages": [("user", f"{i}")]}, config(thread))
    before = [snapshot(official, thread) for thread in ("a", "b", "c")]
    official.conn.close()

    class PowerFailure(BaseException):
        pass

    class Failing(SqliteSaver):
        steps = 12

        def _put(self, *args: Any, **kwargs: Any) -> None:
            Failing.steps -= 1
            if Failing.steps == 0:
                raise PowerFailure
            super()._put(*args, **kwargs)

    with pytest.raises(PowerFailure):
        Failing(path)
    with SqliteSaver(path) as saver:
        assert [snapshot(saver, thread) for thread in ("a", "b", "c")] == before


def test_a_file_from_before_task_paths(tmp_path: Path):
    path = tmp_path / "old.db"
    official = _official(path)
    line = Line(official)
    line.put({"x": [1]})
    official.put_writes(line.at, [("x", 2)], "task")
    official.conn.execute("ALTER TABLE writes DROP COLUMN task_path")
    official.conn.commit()
    official.conn.close()
    with SqliteSaver(path) as saver:
        assert saver.get_tuple(config("t")).pending_writes == [("task", "x", 2)]


def _version_1(path: Path) -> str:
    """A file as the first version of this package wrote it: one thread, one checkpoint with a list, one write."""
    codec, checkpoint_id = Codec(strict_serializer()), str(uuid6())
    head = codec.dumps(
        {"v": 4, "ts": "", "channel_versions": {"list": 1}, "versions_seen": {}, "updated_channels": None}
    )
    elements = codec.elements(["first", "second"])
    assert elements is not None
    with sqlite3.connect(path) as db:
        for statement in filter(str.strip, MIGRATIONS[0].split(";")):
            db.execute(statement)
        db.execute("PRAGMA user_version=1")
        db.execute("INSERT INTO saver_places VALUES(1, 't', '')")
        body = codec.seal(ormsgpack.packb([head, {"list": [[5, 0, 2]]}]))
        row = (1, checkpoint_id, None, codec.seal(b'{"step": 3}'), body)
        db.execute("INSERT INTO saver_checkpoints VALUES(?,?,?,?,?)", row)
        segment = (1, 5, 0, 2, bytes(32), codec.seal(ormsgpack.packb(elements)))
        db.execute("INSERT INTO saver_segments VALUES(?,?,?,?,?,?)", segment)
        writes = codec.seal(ormsgpack.packb(["task", "", [[0, "list", codec.dumps("third")]]]))
        db.execute("INSERT INTO saver_writes VALUES(1, ?, ?)", (checkpoint_id, writes))
    db.close()
    return checkpoint_id


def test_a_file_of_version_1_is_brought_up_to_date(tmp_path: Path):
    checkpoint_id = _version_1(tmp_path / "v1.db")
    with SqliteSaver(tmp_path / "v1.db") as saver:
        found = saver.get_tuple(config("t"))
        assert found.checkpoint["id"] == checkpoint_id
        assert found.checkpoint["channel_values"] == {"list": ["first", "second"]}
        assert found.metadata == {"step": 3}
        assert found.pending_writes == [("task", "list", "third")]
        with saver.lease("t"):
            Line(saver, at=found.config).put({"list": ["first", "second", "third"]})
    with sqlite3.connect(tmp_path / "v1.db") as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    db.close()
