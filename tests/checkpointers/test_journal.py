"""The journal keeps what was acknowledged, in order, and nothing that was torn."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointers import open_checkpointer
from checkpointers.duckdb import DuckDBSaver
from checkpointers.journal import Journal
from tests.checkpointers.making import Line, config

payloads = st.lists(st.binary(max_size=300), max_size=12)


@settings(deadline=None, max_examples=60)
@given(payloads, payloads, st.integers(0, 400))
def test_a_torn_end_loses_only_what_was_torn(first: list[bytes], second: list[bytes], torn: int):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        journal = Journal(path, durable=False)
        journal.open()
        for payload in first:
            journal.write(payload)
        journal.rotate()
        ends = []
        for payload in second:
            journal.write(payload)
            ends.append(journal._offset)
        journal.close(remove=False)
        whole = path.with_name("store.journal-b").read_bytes()
        cut = max(journal._offset - torn, 0)
        path.with_name("store.journal-b").write_bytes(whole[:cut])
        found = [payload for _, payload in Journal(path, durable=False).recovered(0)[0]]
        assert found == first + [p for p, end in zip(second, ends, strict=True) if end <= cut]


@settings(deadline=None, max_examples=40)
@given(st.lists(payloads, min_size=1, max_size=5), st.data())
def test_turns_write_over_what_is_safe_elsewhere(turns: list[list[bytes]], data: st.DataObject):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        journal = Journal(path, durable=True)
        journal.open()
        sequence, written = 0, []
        for turn in turns:
            written = []
            for payload in turn:
                sequence = journal.write(payload)
                journal.sync(sequence)
                written.append(payload)
            settled = sequence - len(written)
            journal.rotate()
        journal.close(remove=False)
        assert [payload for _, payload in Journal(path, durable=True).recovered(settled)[0]] == written
        assert Journal(path, durable=True).recovered(sequence) == ([], 0)


def test_steps_wait_in_the_journal_until_the_next_start(tmp_path: Path):
    """A copy of the files while the store is open is what a killed process leaves."""
    with open_checkpointer("duckdb", path=tmp_path / "a") as saver:
        line = Line(saver)
        for i in range(5):
            line.put({"list": [f"{j}" * 30 for j in range(i + 2)]})
        left = tmp_path / "left"
        left.mkdir()
        for file in tmp_path.glob("a*"):
            if file.is_file():
                (left / file.name).write_bytes(file.read_bytes())
    with open_checkpointer("duckdb", path=left / "a") as saver:
        assert len(list(saver.list(config("t")))) == 5
        assert len(saver.get_tuple(config("t")).checkpoint["channel_values"]["list"]) == 6
    assert not list(left.glob("*.journal-*")), "closing empties the journal"


def test_the_history_is_open_to_sql(tmp_path: Path):
    with DuckDBSaver(tmp_path / "a") as saver:
        line = Line(saver)
        for i in range(4):
            line.put({"messages": [f"hello {j}" for j in range(10 + i)]}, kind="even" if i % 2 == 0 else "odd")
        sql = "SELECT step, source, metadata ->> 'kind' FROM checkpoints WHERE thread_id = ? ORDER BY step"
        assert saver.query(sql, ["t"]) == [
            (0, "loop", "even"),
            (1, "loop", "odd"),
            (2, "loop", "even"),
            (3, "loop", "odd"),
        ]
        assert saver.query("SELECT count(*), max(content) FROM messages WHERE channel = 'messages'") == [
            (13, "hello 9")
        ]
