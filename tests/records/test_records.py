"""The records of runs, as whoever writes them and whoever asks later sees them."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.records import RecordBook, open_records
from agent.records.columns import RunRow
from agent.records.engine import RecordsUnavailable
from agent.records.lifecycle import IllegalStep, UnknownArtifact
from graph.context import Records
from graph.types import Artifact


@pytest.fixture
def records(tmp_path: Path) -> Iterator[RecordBook]:
    with open_records(tmp_path / "home" / "records.sqlite", "app") as opened:
        yield opened


def artifact(artifact_id: str = "art_000000000001", thread_id: str = "t1", **changes: object) -> Artifact:
    fields = {"invocation_id": "r1", "iteration": 1, "code": "print(1)", "instruction": "sum it up", "path": "/a"}
    return Artifact(artifact_id=artifact_id, thread_id=thread_id, **(fields | changes))  # type: ignore[arg-type]


def in_another_process(path: Path, code: str) -> str:
    opening = f"from agent.records import open_records\nr = open_records(Path({str(path)!r}), 'other')"
    program = f"from pathlib import Path\n{opening}\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    return done.stdout.strip()


def test_an_artifact_goes_from_pending_to_consumed_and_every_step_is_dated(records: RecordBook) -> None:
    records.register(artifact(), "art/code.py")
    assert records.artifact("art_000000000001").status == "pending"
    for status in ("executing", "completed", "consumed"):
        records.advance("art_000000000001", status)
    row = records.artifact("art_000000000001")
    assert (row.status, row.artifact_type, row.code_artifact_key) == ("consumed", "delegation_request", "art/code.py")
    assert row.created_time <= row.updated_time == row.consumed_time
    assert row.created_time.utcoffset().total_seconds() == 0


def test_registering_again_changes_nothing(records: RecordBook) -> None:
    records.register(artifact(), "art/code.py")
    records.advance("art_000000000001", "executing")
    records.register(artifact(instruction="something else"), "elsewhere")
    row = records.artifact("art_000000000001")
    assert (row.status, row.sublm_instruction, row.code_artifact_key) == ("executing", "sum it up", "art/code.py")


@pytest.mark.parametrize(
    ("steps", "wrong"),
    [
        ((), "completed"),
        ((), "consumed"),
        (("executing",), "consumed"),
        (("executing", "completed"), "failed"),
        (("executing", "failed"), "completed"),
    ],
)
def test_a_step_that_does_not_follow_is_an_error_and_changes_nothing(
    records: RecordBook, steps: tuple[str, ...], wrong: str
) -> None:
    records.register(artifact(), "k")
    for step in steps:
        records.advance("art_000000000001", step)
    before = records.artifact("art_000000000001")
    with pytest.raises(IllegalStep, match=r"can't become"):
        records.advance("art_000000000001", wrong, {"lost": True})
    assert records.artifact("art_000000000001") == before


def test_a_step_taken_again_after_a_crash_leaves_the_status_as_it_is(records: RecordBook) -> None:
    records.register(artifact(), "k")
    for step in ("executing", "completed", "executing", "completed", "consumed", "completed", "consumed"):
        records.advance("art_000000000001", step)
    assert records.artifact("art_000000000001").status == "consumed"


def test_an_unknown_artifact_can_not_advance(records: RecordBook) -> None:
    with pytest.raises(UnknownArtifact, match="art_nowhere"):
        records.advance("art_nowhere", "executing")


def test_metadata_is_merged_and_artifact_keys_go_to_their_columns(records: RecordBook) -> None:
    records.register(artifact(), "k")
    records.advance("art_000000000001", "executing", {"attempt": 1, "host": "a"})
    records.advance("art_000000000001", "completed", {"host": "b", "stdout_artifact_key": "art/stdout.txt"})
    row = records.artifact("art_000000000001")
    assert json.loads(row.metadata_json) == {"artifact_path": "/a", "attempt": 1, "host": "b"}
    assert row.stdout_artifact_key == "art/stdout.txt"


def test_the_run_of_an_artifact_follows_it_to_its_end(records: RecordBook) -> None:
    records.register(artifact(), "k")
    records.advance("art_000000000001", "executing", {"run_id": "run-7", "task_refs": ["task-1"]})
    (run,) = records.runs("t1")
    assert (run.run_id, run.status, run.artifact_id, run.artifact_path) == (
        "run-7",
        "running",
        "art_000000000001",
        "/a",
    )
    assert json.loads(run.task_refs) == ["task-1"]
    records.advance("art_000000000001", "failed", {"error": "ZeroDivisionError"})
    assert [run.status for run in records.runs("t1")] == ["failed"]


def test_a_run_can_be_recorded_by_itself_and_brought_up_to_date(records: RecordBook) -> None:
    records.register(artifact(), "k")
    records.advance("art_000000000001", "executing", {"run_id": "run-7"})
    (run,) = records.runs("t1")
    changed = RunRow(**{**vars(run), "status": "cancelled"})
    records.record_run(changed)
    assert records.runs("t1") == [changed]


def test_threads_see_their_own_artifacts_in_the_order_of_their_making(records: RecordBook) -> None:
    for number, thread in enumerate(["t1", "t2", "t1"]):
        records.register(artifact(f"art_{number}", thread), "k")
    assert [row.artifact_id for row in records.artifacts("t1")] == ["art_0", "art_2"]
    assert records.artifacts("nobody") == []


def test_a_request_fills_in_who_and_where(records: RecordBook) -> None:
    mine: Records = records.for_request("t1", "r1", "ann")
    mine.telemetry("before_tool", tool_name="query_genie", function_call_id="c1", payload={"query": "how many?"})
    mine.telemetry("after_tool", tool_blocked=True, blocked_reason="no", agent_name="tools")
    before, after = records.telemetry_rows("t1", request_id="r1")
    assert (before.session_id, before.invocation_id, before.user_id, before.app_name) == ("t1", "r1", "ann", "app")
    assert json.loads(before.payload_json) == {"query": "how many?"}
    assert (after.tool_blocked, after.blocked_reason, after.payload_json) == (True, "no", None)
    assert [row.tool_name for row in records.telemetry_rows(callback_name="before_tool")] == ["query_genie"]


def test_a_field_that_is_no_column_is_named(records: RecordBook) -> None:
    with pytest.raises(ValueError, match="no column tool"):
        records.telemetry("before_tool", tool="x")


def test_the_same_telemetry_id_is_written_once(records: RecordBook) -> None:
    for _ in range(2):
        records.telemetry("stage", telemetry_id="one", session_id="t1")
    assert len(records.telemetry_rows("t1")) == 1


def test_secrets_and_great_payloads_are_not_written_down(records: RecordBook, tmp_path: Path) -> None:
    key = "sk-" + "a1" * 20
    records.telemetry("before_model", payload={"api_key": "hunter2", "prompt": f"use {key}", "page": "x" * 500_000})
    records.register(artifact(instruction=f"call it with {key}"), "k")
    records.advance("art_000000000001", "executing", {"password": "hunter2"})
    records.flush()
    written = "\n".join(sqlite3.connect(tmp_path / "home" / "records.sqlite").iterdump())
    assert "hunter2" not in written
    assert key not in written
    assert len(written) < 40_000


def test_whatever_a_payload_holds_it_is_valid_json(records: RecordBook) -> None:
    deep: list[object] = []
    for _ in range(500):
        deep = [deep]
    records.telemetry(
        "stage", session_id="t", payload={"deep": deep, "odd": {1: object()}, "many": list(range(10_000))}
    )
    (row,) = records.telemetry_rows("t")
    assert json.loads(row.payload_json)["many"][-1] == "... (9900 items omitted)"


def test_another_process_reads_while_a_chat_is_open(records: RecordBook, tmp_path: Path) -> None:
    records.register(artifact(), "k")
    records.telemetry("stage", session_id="t1")
    records.flush()
    seen = in_another_process(
        tmp_path / "home" / "records.sqlite", "print(r.artifacts('t1')[0].status, len(r.telemetry_rows('t1')))"
    )
    assert seen == "pending 1"


def test_telemetry_reaches_the_file_by_itself_after_a_moment(records: RecordBook, tmp_path: Path) -> None:
    records.telemetry("stage", session_id="t1")
    reader = sqlite3.connect(tmp_path / "home" / "records.sqlite")
    waited = threading.Event()
    for _ in range(100):
        if reader.execute("SELECT count(*) FROM adk_telemetry").fetchone() == (1,):
            break
        waited.wait(0.05)
    else:
        pytest.fail("the row never arrived")


def test_the_end_of_a_turn_and_closing_write_what_waits(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    records = open_records(path, "app")
    reader = sqlite3.connect(path)
    records.turn_started("t1", "r1")
    records.telemetry("stage")
    records.turn_ended("t1", "r1")
    assert reader.execute("SELECT count(*) FROM adk_telemetry").fetchone() == (1,)
    records.telemetry("stage")
    records.close()
    assert reader.execute("SELECT count(*) FROM adk_telemetry").fetchone() == (2,)


def test_many_threads_write_at_once_and_nothing_is_lost(records: RecordBook) -> None:
    def work(number: int) -> None:
        mine = records.for_request(f"t{number}", "r", "u")
        for step in range(20):
            name = f"art_{number}_{step}"
            mine.register(artifact(name, f"t{number}"), "k")
            mine.advance(name, "executing", {"run_id": f"run-{name}"})
            mine.telemetry("stage", payload={"step": step})
            mine.advance(name, "completed")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(records.telemetry_rows()) == 160
    for number in range(8):
        assert {row.status for row in records.artifacts(f"t{number}")} == {"completed"}
        assert {run.status for run in records.runs(f"t{number}")} == {"success"}
        steps = [json.loads(row.payload_json)["step"] for row in records.telemetry_rows(f"t{number}")]
        assert steps == list(range(20))


def test_processes_write_at_the_same_time_and_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    code = (
        "from agent.records import open_records\nfrom graph.types import Artifact\n"
        "from pathlib import Path\nimport sys\n"
        f"with open_records(Path({str(path)!r}), 'p') as r:\n"
        "    for n in range(100):\n"
        "        name = f'art_{sys.argv[1]}_{n}'\n"
        "        r.register(Artifact(name, 't1', 'r1', n, 'c', None, '/a'), 'k')\n"
        "        r.advance(name, 'executing')\n"
        "        r.telemetry('stage', session_id='t1')\n"
    )
    root = Path(__file__).parents[2]
    writers = [subprocess.Popen([sys.executable, "-c", code, str(number)], cwd=root) for number in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    with open_records(path, "app") as records:
        assert len(records.artifacts("t1")) == 300
        assert {row.status for row in records.artifacts("t1")} == {"executing"}
        assert len(records.telemetry_rows("t1")) == 300


def test_a_forgotten_thread_leaves_nothing_and_others_stay(records: RecordBook, tmp_path: Path) -> None:
    for thread in ("t1", "t2"):
        records.register(artifact(f"art_{thread}", thread, instruction=f"the question of {thread}"), "k")
        records.advance(f"art_{thread}", "executing", {"run_id": f"run-{thread}"})
        records.telemetry("before_tool", session_id=thread, payload={"query": f"the question of {thread}"})
    assert records.forget("t1") == 3
    assert (records.artifacts("t1"), records.runs("t1"), records.telemetry_rows("t1")) == ([], [], [])
    assert [len(kept) for kept in (records.artifacts("t2"), records.runs("t2"), records.telemetry_rows("t2"))] == [
        1,
        1,
        1,
    ]
    assert records.forget("unknown") == 0


def test_a_running_turn_is_cancelled_from_another_process(records: RecordBook, tmp_path: Path) -> None:
    records.turn_started("t1", "r1")
    assert not records.cancel_requested("t1", "r1")
    assert in_another_process(tmp_path / "home" / "records.sqlite", "print(r.request_cancel('t1'))") == "True"
    assert records.cancel_requested("t1", "r1")
    assert not records.cancel_requested("t2", "r1")


def test_there_is_nothing_to_cancel_when_no_turn_runs(records: RecordBook) -> None:
    records.turn_started("t1", "r1")
    records.turn_ended("t1", "r1")
    assert records.request_cancel("t1") is False
    assert records.request_cancel("unknown") is False


def test_a_turn_whose_process_was_killed_does_not_count_as_running(records: RecordBook, tmp_path: Path) -> None:
    in_another_process(tmp_path / "home" / "records.sqlite", "r.turn_started('t1', 'r9')\nimport os\nos._exit(0)")
    assert records.running_turns("t1") == []
    assert records.request_cancel("t1") is False


def test_a_request_tried_again_is_no_longer_asked_to_stop(records: RecordBook) -> None:
    records.turn_started("t1", "r1")
    assert records.request_cancel("t1")
    records.turn_started("t1", "r1")
    assert not records.cancel_requested("t1", "r1")


def test_half_characters_and_odd_values_are_kept_as_well_as_they_can_be(records: RecordBook) -> None:
    records.register(artifact(instruction="half \ud83d of a smile, and ä\x00"), "k\udc80")
    records.telemetry("stage", session_id="t1", tool_name={"no": "text"}, payload={"odd \ud83d": "\udfff", "ä": "ö"})
    assert records.artifact("art_000000000001").sublm_instruction == "half ? of a smile, and ä\x00"
    (row,) = records.telemetry_rows("t1")
    assert row.tool_name == "{'no': 'text'}"
    assert json.loads(row.payload_json) == {"odd ?": "?", "ä": "ö"}


def test_a_file_that_another_process_holds_for_too_long_is_an_error_and_telemetry_waits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "records.sqlite"
    with open_records(path, "app", busy_seconds=0.05) as records:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        records.telemetry("stage", session_id="t1")
        records.flush()
        with pytest.raises(RecordsUnavailable, match="can't be written: database is locked"):
            records.register(artifact(), "k")
        other.execute("ROLLBACK")
        other.close()
        records.register(artifact(), "k")
        assert len(records.telemetry_rows("t1")) == 1
    assert "telemetry not written" in caplog.text


def test_a_file_that_is_no_database_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "records.sqlite").write_text("not a database, but long enough to be taken for one " * 50)
    with pytest.raises(RecordsUnavailable, match=r"records\.sqlite can't be used.*Move it away"):
        open_records(tmp_path / "records.sqlite", "app")
