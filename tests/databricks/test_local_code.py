"""Local mode over a workspace's SQL warehouse: code runs on this machine, its SQL there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.config import load_settings
from agent.core import Request, open_agent
from agent.models.scripted import ScriptedModel, delegates, says
from agent.workspace.session import WarehouseSession
from agent.workspace.statements import StatementFailed
from tests.workspace.fixtures import Place, Target
from tests.workspace.workspace import Workspace

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def orders(target: Target, place: Place) -> str:
    table = place.table("orders")
    target.client().statement_execution.execute_statement(
        f"CREATE TABLE {table} AS SELECT CAST(id AS INT) AS id FROM range(1, 101)", target.warehouse_id
    )
    return table


def ask(target: Target, place: Place, home: Path, code: str, **data: Any) -> str:
    chosen = {"catalog": place.catalog, "schema": place.schema, "warehouse_id": target.warehouse_id, **data}
    settings = load_settings({"home": str(home), "data": chosen, "tracing": {"enabled": "false"}}, {}, {}).settings
    model = ScriptedModel(delegates(code, instruction="Say it."), lambda messages: says(str(messages[-1].content)))
    with open_agent(settings, base_model=model, workspace=target.client) as agent:
        return agent.ask(Request("How many orders?", thread_id="t")).response_text


def test_code_of_this_machine_reads_the_warehouse(target: Target, place: Place, orders: str, tmp_path: Path) -> None:
    code = """
found = execute_sql("SELECT sum(id) AS total, count(*) AS n FROM orders")
frame = execute_sql("SELECT * FROM orders WHERE id > 98 ORDER BY id", as_pandas=True).df
result = [found.rows, frame["id"].tolist(), catalog]
"""
    told = ask(target, place, tmp_path, code)
    assert f'[[[5050, 100]], [99, 100], "{place.catalog}"]' in told


def test_a_write_is_refused_before_it_is_sent(target: Target, place: Place, orders: str, tmp_path: Path) -> None:
    told = ask(target, place, tmp_path, "execute_sql('DELETE FROM ' + 'orders')")
    assert "SAFETY_BLOCK" in told
    assert (count := target.client().statement_execution.execute_statement(
        f"SELECT count(*) FROM {orders}", target.warehouse_id
    )).result.data_array == [["100"]], count  # fmt: skip


def test_a_warehouse_that_is_not_there_is_named_with_its_setting(
    target: Target, place: Place, tmp_path: Path, ws: Workspace
) -> None:
    told = ask(target, place, tmp_path, "execute_sql('SELECT 1')", warehouse_id="nowhere", catalog="", schema="")
    assert "data.warehouse_id" in told


def test_closing_a_session_ends_it(target: Target, place: Place) -> None:
    session = WarehouseSession(target.client(), target.warehouse_id, (place.catalog, place.schema))
    batches = list(session.stream("SELECT id FROM range(10)"))
    assert [batch.num_rows for batch in batches] == [0, 10]
    session.close()
    with pytest.raises(StatementFailed, match="closed"):
        next(session.stream("SELECT 1"))
