"""Tokens that change, connections that die: a real PostgreSQL, and credentials by way of the real databricks-sdk."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from checkpointers import LakebaseSaver, StoreUnavailable, open_checkpointer
from tests.checkpointers.controlplane import ENDPOINT, INSTANCE, USER, ControlPlane
from tests.checkpointers.making import Line, chat, config, snapshot
from tests.workspace.postgres import Postgres


@pytest.fixture
def fresh_plane(postgres: Postgres) -> Iterator[ControlPlane]:
    plane = ControlPlane(postgres)
    yield plane
    plane.close()


def _opened(plane: ControlPlane, **options) -> LakebaseSaver:
    fixed = {"instance_name": INSTANCE, "workspace_client": plane.client(), "schema": "rotation", "pool_size": 3}
    return LakebaseSaver(**{**fixed, **options})


def test_one_token_serves_many_connections(fresh_plane: ControlPlane):
    with _opened(fresh_plane) as saver, ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda i: saver.get_tuple(config(f"t{i}")), range(30))) == [None] * 30
        assert len(fresh_plane.minted) == 1


def test_a_refused_token_is_replaced_and_no_operation_fails(fresh_plane: ControlPlane, postgres: Postgres):
    with _opened(fresh_plane) as saver:
        line = Line(saver)
        for i in range(6):
            fresh_plane.expire()
            postgres.disconnect(USER)
            line.put({"x": [i]})
            assert saver.get_tuple(config("t")).checkpoint["channel_values"] == {"x": [i]}
        assert len(fresh_plane.minted) == 7


def test_an_old_token_is_renewed_before_it_is_refused(fresh_plane: ControlPlane, postgres: Postgres):
    with _opened(fresh_plane, token_seconds=0.0) as saver:
        known = len(fresh_plane.minted)
        postgres.disconnect(USER)
        Line(saver).put({"x": [1]})
        assert len(fresh_plane.minted) > known


def test_connections_killed_between_operations(fresh_plane: ControlPlane, postgres: Postgres):
    """Also the one that holds the lease: the fence, not the lock, decides who may write."""
    with _opened(fresh_plane) as saver, saver.lease("t"):
        line = Line(saver)
        for i in range(15):
            postgres.disconnect(USER)
            line.put({"x": [i]})
            postgres.disconnect(USER)
            saver.put_writes(line.at, [("x", i)], "task")
            postgres.disconnect(USER)
            assert saver.get_tuple(config("t")).pending_writes == [("task", "x", i)]
        postgres.disconnect(USER)
    with _opened(fresh_plane) as saver:
        assert len(list(saver.list(config("t")))) >= 15
        saver.delete_thread("t")


def test_autoscaling_endpoints(fresh_plane: ControlPlane):
    with _opened(fresh_plane, instance_name=None, autoscaling_endpoint=ENDPOINT) as saver:
        assert "endpoint" in saver.name
        chat(saver).invoke({"messages": [("user", "hi")]}, config("endpoint"))
        saver.delete_thread("endpoint")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # its imports
def test_the_official_lakebase_saver_reads_what_ours_wrote(fresh_plane: ControlPlane):
    from databricks_langchain.checkpoint import CheckpointSaver as Official

    with _opened(fresh_plane) as saver:
        chat(saver).invoke({"messages": [("user", "hi")]}, config("shared"))
        before = snapshot(saver, "shared")
        with Official(
            instance_name=INSTANCE, workspace_client=fresh_plane.client(), schema="rotation", max_size=2
        ) as official:
            assert snapshot(official, "shared") == before
        saver.delete_thread("shared")


def test_a_workspace_that_refuses(fresh_plane: ControlPlane):
    fresh_plane.down = True
    with pytest.raises(StoreUnavailable, match=f"Lakebase instance {INSTANCE} can't be used.*your credentials"):
        _opened(fresh_plane)


def test_one_place_is_needed():
    with pytest.raises(ValueError, match="one of the two"):
        open_checkpointer("lakebase", workspace_client=object())
