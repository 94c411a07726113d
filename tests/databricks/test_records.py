"""Records in Lakebase: what a replica with an empty disk needs, and what several replicas share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.records.book import RecordBook
from agent.records.lifecycle import IllegalStep
from agent.records.postgres import Place, open_postgres_records
from agent.records.scopes import Scopes
from checkpointers.lakebase import find_lakebase
from graph.types import Artifact
from tests.workspace.fixtures import Target
from tests.workspace.lakebase import ENDPOINT
from tests.workspace.workspace import Workspace


@pytest.fixture
def lakebase(ws: Workspace, target: Target) -> Place:
    access = find_lakebase(autoscaling_endpoint=ENDPOINT, workspace_client=target.client())
    return Place(access.conninfo, access.connection_class, access.label)


@pytest.fixture
def opened(lakebase: Place) -> Iterator[tuple[RecordBook, Scopes]]:
    with open_postgres_records(lakebase, "app", 4_000) as found:
        yield found


def artifact(number: int, thread: str = "t1") -> Artifact:
    return Artifact(f"art_{number:012x}", thread, "r1", number, "print(1)", "Say\x00 it.", "/Volumes/a/b/c")


def test_an_artifact_goes_its_way_and_another_replica_sees_it(
    opened: tuple[RecordBook, Scopes], lakebase: Place
) -> None:
    records, _ = opened
    request = records.for_request("t1", "r1", "jo")
    for number in (1, 2):
        request.register(artifact(number), "code.py")
    request.advance("art_000000000001", "executing", {"run_id": "run_1"})
    request.advance("art_000000000001", "completed")
    with pytest.raises(IllegalStep):
        records.advance("art_000000000002", "consumed")
    request.telemetry("stage", tool_name="x", payload={"odd": "\x00 \ud83d"})
    records.flush()
    with open_postgres_records(lakebase, "app", 4_000) as (other, _):
        assert [row.status for row in other.artifacts("t1")] == ["completed", "pending"]
        assert [(row.run_id, row.status) for row in other.runs("t1")] == [("run_1", "success")]
        assert other.telemetry_rows("t1")[0].tool_name == "x"
        assert other.artifact("art_000000000001").created_time.tzinfo is not None
    assert records.forget("t1") == 4
    assert records.artifacts("t1") == []


def test_a_turn_is_cancelled_from_another_replica(opened: tuple[RecordBook, Scopes], lakebase: Place) -> None:
    records, _ = opened
    records.turn_started("t1", "r1")
    with open_postgres_records(lakebase, "app", 4_000) as (other, _):
        assert not records.cancel_requested("t1", "r1")
        assert other.request_cancel("t1")
    assert records.cancel_requested("t1", "r1")
    records.turn_started("t1", "r1")
    assert not records.cancel_requested("t1", "r1")
    records.turn_ended("t1", "r1")
    assert not records.request_cancel("t1")


def test_scopes_outlive_the_replica(opened: tuple[RecordBook, Scopes], lakebase: Place) -> None:
    _, scopes = opened
    scopes.take({"user:language": "de", "app:motto": "ask"}, "jo@example.com")
    with open_postgres_records(lakebase, "app", 4_000) as (_, other):
        assert other.shared("jo@example.com") == {"user:language": "de", "app:motto": "ask"}
        assert other.shared("an@example.com") == {"app:motto": "ask"}


def test_connections_that_were_cut_are_replaced(ws: Workspace, opened: tuple[RecordBook, Scopes]) -> None:
    records, _ = opened
    records.for_request("t9", "r1", "jo").register(artifact(9, "t9"), "code.py")
    ws.lakebase.expire()
    assert [row.artifact_id for row in records.artifacts("t9")] == ["art_000000000009"]
