"""One thread in a file: out of any store, into any other."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import pytest
from langgraph.checkpoint.postgres import PostgresSaver as Official

from checkpointers import Saver
from tests.checkpointers.conftest import STORES, Opener, opener
from tests.checkpointers.contract import _asking_graph, _delta_graph
from tests.checkpointers.making import Line, chat, config, snapshot
from tests.workspace.postgres import Postgres

ALLOWED = [("tests.checkpointers.test_transfer", "Point")]


@dataclass
class Point:
    x: int


def _filled(saver: Saver) -> list[tuple]:
    for i in range(6):
        chat(saver).invoke({"messages": [("user", f"question {i} " * 10)]}, config("t"))
    line = Line(saver, "t/other")
    for i in range(4):
        line.put({"list": ["a" * 40, "b" * 40, f"{i}" * 40], "big": {"k": "v" * 500}, "n": i})
    saver.put_writes(line.at, [("list", "pending"), ("n", 1)], "task", "path")
    return snapshot(saver, "t")


@pytest.mark.parametrize("target", STORES)
def test_a_thread_goes_from_store_to_store(
    open_store: Opener, target: str, request: pytest.FixtureRequest, tmp_path: Path
):
    (tmp_path / "target").mkdir()
    with open_store() as saver, opener(target, request, tmp_path / "target")() as other:
        before = _filled(saver)
        assert saver.export_thread("t", tmp_path / "t.thread") == 18
        assert other.import_thread(tmp_path / "t.thread") == "t"
        assert snapshot(other, "t") == before
        assert len(chat(other).invoke({"messages": [("user", "more")]}, config("t"))["messages"]) == 14
        saver.export_thread("t/other", tmp_path / "other.thread")
        assert other.import_thread(tmp_path / "other.thread", "renamed") == "renamed"
        assert snapshot(other, "renamed") == snapshot(saver, "t/other")


def test_open_interrupts_and_delta_channels_go_along(open_store: Opener, saver: Saver, tmp_path: Path):
    from langgraph.types import Command

    _asking_graph(saver).invoke({"answers": ["open"]}, config("asking"))
    for i in range(3):
        _delta_graph(saver).invoke({"log": [f"in{i}"], "other": 0}, config("delta"))
    log_before = _delta_graph(saver).get_state(config("delta")).values["log"]
    for thread in ("asking", "delta"):
        saver.export_thread(thread, tmp_path / thread)
        saver.import_thread(tmp_path / thread, f"{thread} 2")
    done = _asking_graph(saver).invoke(Command(resume="yes"), config("asking 2"))
    assert done["answers"][-1] == "yes"
    assert _delta_graph(saver).get_state(config("delta 2")).values["log"] == log_before


def test_types_that_are_not_allowed_are_carried_along(
    open_store: Opener, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    with open_store(allowed_types=ALLOWED) as saver:
        Line(saver).put({"points": [Point(1)] * 3, "one": Point(2)})
    with caplog.at_level(logging.ERROR), open_store() as saver:
        saver.export_thread("t", tmp_path / "t.thread")
        saver.import_thread(tmp_path / "t.thread", "copy")
    with open_store(allowed_types=ALLOWED) as saver:
        values = saver.get_tuple(config("copy")).checkpoint["channel_values"]
        assert values == {"points": [Point(1)] * 3, "one": Point(2)}


def test_an_encrypted_thread_is_carried_by_those_who_have_the_key(open_store: Opener, tmp_path: Path):
    with open_store(encryption_key=bytes(32)) as saver:
        before = _filled(saver)
        saver.export_thread("t", tmp_path / "t.thread")
        saver.import_thread(tmp_path / "t.thread", "copy")
        assert [s[3] for s in snapshot(saver, "copy")] == [s[3] for s in before]


def test_the_official_reader_goes_on_with_our_thread(postgres: Postgres):
    postgres.execute("CREATE DATABASE shared", database="postgres")
    dsn = postgres.dsn(database="shared")
    from checkpointers import open_checkpointer

    with open_checkpointer("postgres", conninfo=dsn) as saver:
        before = _filled(saver)
        _delta_graph(saver).invoke({"log": ["in"], "other": 0}, config("delta"))
        with Official.from_conn_string(dsn) as official:
            official.setup()
            assert snapshot(official, "t") == before
            assert len(chat(official).invoke({"messages": [("user", "official")]}, config("t"))["messages"]) == 14
            assert len(_delta_graph(official).invoke({"log": ["more"], "other": 0}, config("delta"))["log"]) == 4
        assert len(chat(saver).invoke({"messages": [("user", "ours")]}, config("t"))["messages"]) == 16
        assert len(_delta_graph(saver).get_state(config("delta")).values["log"]) == 4
