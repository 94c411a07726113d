"""One setting chooses where threads live; what the agent does is the same everywhere."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from agent.core import Request
from agent.models.scripted import ScriptedModel, delegates, says
from graph.errors import InvalidRequest
from tests.checkpointers.conftest import plane, postgres
from tests.checkpointers.controlplane import INSTANCE
from tests.workspace.postgres import Postgres

__all__ = ["plane", "postgres"]


@pytest.fixture
def database(postgres: Postgres) -> str:
    """A database of its own: the control plane's role owns the tables of the server's first one."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE agent_threads")
    return make_conninfo(postgres.dsn(), dbname="agent_threads")


@pytest.fixture(params=["sqlite", "duckdb", "postgres", "lakebase"])
def store(request: pytest.FixtureRequest) -> dict:
    """Settings and live things of an agent whose threads are in this store."""
    kind = request.param
    if kind == "postgres":
        secrets = {"THREADS_DSN": request.getfixturevalue("database")}
        return {"checkpointer": {"kind": kind, "dsn_env": "THREADS_DSN"}, "live": {"secrets": secrets.get}}
    if kind == "lakebase":
        client = request.getfixturevalue("plane").client
        return {
            "checkpointer": {"kind": kind},
            "lakebase_instance_name": INSTANCE,
            "live": {"workspace": client},
        }
    return {"checkpointer": {"kind": kind}}


def test_a_thread_goes_on_after_a_restart(opened, store) -> None:
    thread = f"ada-{store['checkpointer']['kind']}"
    first = opened(delegates("print(6 * 7)"), says("It is 42."), **store)
    assert first.ask(Request("Six times seven?", thread_id=thread)).response_text == "It is 42."
    first.close()
    model = ScriptedModel(says("42, as I said."))
    again = opened(model, **store)
    assert again.ask(Request("How much was it?", thread_id=thread)).response_text == "42, as I said."
    assert model.shown[0][1].text == "Six times seven?"
    assert "stdout:\n42" in model.shown[0][3].text


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({"checkpointer": {"kind": "postgres"}}, "checkpointer.dsn_env"),
        ({"checkpointer": {"kind": "lakebase"}}, "lakebase_instance_name"),
    ],
)
def test_a_store_that_lacks_a_setting_names_it(opened, settings, needed) -> None:
    with pytest.raises(InvalidRequest, match=needed):
        opened(says("x"), **settings)
