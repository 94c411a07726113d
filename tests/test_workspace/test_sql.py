"""SQL by REST, with databricks-sdk."""

import time

import pyarrow as pa
import pytest
import requests
from databricks.sdk.errors import BadRequest, NotFound
from databricks.sdk.service.sql import (
    Disposition,
    ExecuteStatementRequestOnWaitTimeout,
    Format,
    State,
    StatementParameterListItem,
    StatementResponse,
    StatementState,
)

from tests.workspace.fixtures import Place, Target
from tests.workspace.workspace import Workspace

pytestmark = pytest.mark.workspace
SLOW = "SELECT sum(hash(id) % 7) FROM range(20000000000)"


def run(target: Target, text: str, **settings: object) -> StatementResponse:
    settings = {"wait_timeout": "30s", **settings}
    return target.client().statement_execution.execute_statement(text, target.warehouse_id, **settings)


def rows(response: StatementResponse) -> list[list[str]]:
    assert response.status
    assert response.status.state == StatementState.SUCCEEDED, response.status
    return (response.result.data_array if response.result else None) or []


def column(response: StatementResponse, name: str) -> list[str]:
    found = rows(response)
    index = [known.name for known in response.manifest.schema.columns].index(name)
    return [row[index] for row in found]


def test_rows_come_inline_with_their_types(target: Target) -> None:
    response = run(target, "SELECT 1 AS a, 'x' AS b, CAST(1.5 AS DECIMAL(10,2)) AS c, true AS d, DATE'2024-02-03' AS e")
    columns = response.manifest.schema.columns
    assert rows(response) == [["1", "x", "1.50", "true", "2024-02-03"]]
    assert [column.type_text for column in columns] == ["INT", "STRING", "DECIMAL(10,2)", "BOOLEAN", "DATE"]


def test_timestamps_and_nested_values_are_text(target: Target) -> None:
    response = run(target, "SELECT TIMESTAMP'2024-01-02 03:04:05' AS t, array(1, 2) AS a, CAST(NULL AS STRING) AS n")
    assert rows(response) == [["2024-01-02T03:04:05.000Z", "[1,2]", None]]


def test_a_row_limit_truncates_and_says_so(target: Target) -> None:
    response = run(target, "SELECT id FROM range(10)", row_limit=3)
    assert len(rows(response)) == 3
    assert response.manifest.truncated


def test_typed_parameters(target: Target) -> None:
    parameters = [
        StatementParameterListItem(name="n", value="41", type="INT"),
        StatementParameterListItem(name="d", value="2024-05-06", type="DATE"),
        StatementParameterListItem(name="m", value="1.25", type="DECIMAL(10,2)"),
        StatementParameterListItem(name="s", value="it's"),
        StatementParameterListItem(name="none", type="STRING"),
    ]
    response = run(target, "SELECT :n + 1, :d, :m, :s, :none", parameters=parameters)
    assert rows(response) == [["42", "2024-05-06", "1.25", "it's", None]]


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("SELECT * FROM nowhere_at_all", "42P01"),
        ("SELEC 1", "42601"),
        ("SELECT 1/0", "22012"),
        ("SELECT nope FROM range(3)", "42703"),
        ("SELECT CAST('a' AS INT)", "22018"),
        ("SELECT no_such_function(1)", "42883"),
        ("SELECT :missing", "42P02"),
    ],
)
def test_errors_carry_their_sqlstate(target: Target, text: str, state: str) -> None:
    response = run(target, text)
    assert response.status.state == StatementState.FAILED
    assert response.status.sql_state == state, response.status.error
    assert f"SQLSTATE: {state}" in response.status.error.message


def test_what_the_engine_lacks_is_said_not_faked(ws: Workspace, target: Target, place: Place) -> None:
    response = run(target, "SELECT id FROM range(3) QUALIFY row_number() OVER (ORDER BY id) = 1")
    assert response.status.sql_state == "0A000"
    assert "stand-in" in response.status.error.message


def test_external_links_are_fetched_without_authorization(target: Target) -> None:
    response = run(
        target,
        "SELECT id, id * 2 AS twice FROM range(250000)",
        disposition=Disposition.EXTERNAL_LINKS,
        format=Format.ARROW_STREAM,
    )
    total, index = 0, 0
    while index is not None:
        data = target.client().statement_execution.get_statement_result_chunk_n(response.statement_id, index)
        link = data.external_links[0]
        fetched = requests.get(link.external_link, timeout=30)
        fetched.raise_for_status()
        total += pa.ipc.open_stream(fetched.content).read_all().num_rows
        index = link.next_chunk_index
    assert total == 250_000
    assert response.manifest.total_chunk_count > 1 or total == response.manifest.total_row_count


def test_a_link_refuses_an_authorization_header(ws: Workspace, target: Target) -> None:
    response = run(target, "SELECT 1", disposition=Disposition.EXTERNAL_LINKS, format=Format.ARROW_STREAM)
    link = response.result.external_links[0].external_link
    assert requests.get(link, headers={"Authorization": f"Bearer {ws.token}"}, timeout=5).status_code == 400


def test_inline_beyond_its_limit_fails_with_the_way_out(ws: Workspace, target: Target) -> None:
    response = run(target, "SELECT repeat('x', 1000) AS s FROM range(30000)")
    assert response.status.state == StatementState.FAILED
    assert "EXTERNAL_LINKS" in response.status.error.message


def test_a_slow_statement_continues_and_can_be_canceled(target: Target) -> None:
    api = target.client().statement_execution
    response = run(target, SLOW, wait_timeout="0s")
    assert response.status.state in (StatementState.PENDING, StatementState.RUNNING)
    time.sleep(0.3)
    api.cancel_execution(response.statement_id)
    deadline = time.monotonic() + 20
    while api.get_statement(response.statement_id).status.state == StatementState.RUNNING:
        assert time.monotonic() < deadline
    assert api.get_statement(response.statement_id).status.state == StatementState.CANCELED
    api.cancel_execution(response.statement_id)


@pytest.mark.slow
def test_a_wait_that_runs_out_cancels_when_asked_to(target: Target) -> None:
    response = run(target, SLOW, wait_timeout="5s", on_wait_timeout=ExecuteStatementRequestOnWaitTimeout.CANCEL)
    assert response.status.state == StatementState.CANCELED


def test_closing_is_idempotent_and_takes_the_result_away(ws: Workspace, target: Target) -> None:
    client = target.client()
    statement = run(target, "SELECT 1").statement_id
    for _ in range(2):
        client.api_client.do("DELETE", f"/api/2.0/sql/statements/{statement}")
    assert client.statement_execution.get_statement(statement).status.state == StatementState.CLOSED
    with pytest.raises(NotFound):
        client.statement_execution.get_statement_result_chunk_n(statement, 0)


def test_an_unknown_statement_is_not_found(target: Target) -> None:
    with pytest.raises(NotFound):
        target.client().statement_execution.get_statement("01ef0000-0000-0000-0000-000000000000")


def test_a_wait_out_of_range_is_refused(target: Target) -> None:
    with pytest.raises(BadRequest):
        run(target, "SELECT 1", wait_timeout="3s")


def test_names_are_looked_up_in_the_given_schema(target: Target, place: Place) -> None:
    run(target, f"CREATE TABLE {place.table('t')} AS SELECT 7 AS x")
    response = run(target, "SELECT x FROM t", catalog=place.catalog, schema=place.schema)
    assert rows(response) == [["7"]]
    where = run(target, "SELECT current_catalog(), current_schema()", catalog=place.catalog, schema=place.schema)
    assert rows(where) == [[place.catalog, place.schema]]
    assert [column.name for column in where.manifest.schema.columns] == ["current_catalog()", "current_schema()"]


def test_changes_name_the_affected_rows(target: Target, place: Place) -> None:
    name = place.table("t")
    run(target, f"CREATE TABLE {name} (id INT, s STRING)")
    inserted = run(target, f"INSERT INTO {name} VALUES (1, 'a'), (2, 'b')")
    assert rows(inserted) == [["2", "2"]]
    assert [column.name for column in inserted.manifest.schema.columns] == ["num_affected_rows", "num_inserted_rows"]
    assert rows(run(target, f"UPDATE {name} SET s = 'c' WHERE id = 1")) == [["1"]]
    assert rows(run(target, f"DELETE FROM {name} WHERE id = 2")) == [["1"]]
    merge = (
        f"MERGE INTO {name} t USING (SELECT id, 'm' AS s FROM range(1, 4)) u ON t.id = u.id "
        "WHEN MATCHED THEN UPDATE SET s = u.s WHEN NOT MATCHED THEN INSERT (id, s) VALUES (u.id, u.s)"
    )
    assert rows(run(target, merge)) == [["3", "1", "0", "2"]]
    assert rows(run(target, f"SELECT s, count(*) FROM {name} GROUP BY s")) == [["m", "3"]]


def test_history_and_details_come_from_the_delta_log(target: Target, place: Place) -> None:
    name = place.table("t")
    run(target, f"CREATE TABLE {name} (id INT)")
    run(target, f"INSERT INTO {name} VALUES (1)")
    assert column(run(target, f"DESCRIBE HISTORY {name}"), "operation") == ["WRITE", "CREATE TABLE"]
    assert column(run(target, f"DESCRIBE DETAIL {name}"), "format") == ["delta"]
    assert rows(run(target, f"SELECT count(*) FROM {name} VERSION AS OF 0")) == [["0"]]


def test_the_change_feed(target: Target, place: Place) -> None:
    name = place.table("t")
    run(target, f"CREATE TABLE {name} (id INT NOT NULL, s STRING) TBLPROPERTIES (delta.enableChangeDataFeed = true)")
    assert rows(run(target, f"INSERT INTO {name} VALUES (1, 'a'), (2, 'b')")) == [["2", "2"]]
    assert rows(run(target, f"UPDATE {name} SET s = upper(s) WHERE id = 2")) == [["1"]]
    assert rows(run(target, f"DELETE FROM {name} WHERE id = 1")) == [["1"]]
    merge = (
        f"MERGE INTO {name} t USING (SELECT 2 AS id, 'm' AS s UNION ALL SELECT 3, 'n') u ON t.id = u.id "
        "WHEN MATCHED THEN UPDATE SET s = u.s WHEN NOT MATCHED THEN INSERT (id, s) VALUES (u.id, u.s)"
    )
    assert rows(run(target, merge)) == [["2", "1", "0", "1"]]
    assert rows(run(target, f"SELECT id, s FROM {name} ORDER BY id")) == [["2", "m"], ["3", "n"]]
    text = f"SELECT id, s, _change_type FROM table_changes('{name}', 0) ORDER BY _commit_version, id, _change_type"
    assert rows(run(target, text)) == [
        ["1", "a", "insert"],
        ["2", "b", "insert"],
        ["2", "B", "update_postimage"],
        ["2", "b", "update_preimage"],
        ["1", "a", "delete"],
        ["2", "m", "update_postimage"],
        ["2", "B", "update_preimage"],
        ["3", "n", "insert"],
    ]


def test_a_feed_may_be_switched_on_later(target: Target, place: Place) -> None:
    name = place.table("t")
    run(target, f"CREATE TABLE {name} AS SELECT 1 AS id")
    response = run(target, f"SELECT * FROM table_changes('{name}', 0)")
    assert response.status.state == StatementState.FAILED
    run(target, f"ALTER TABLE {name} SET TBLPROPERTIES (delta.enableChangeDataFeed = true)")
    since = int(column(run(target, f"DESCRIBE HISTORY {name}"), "version")[0]) + 1
    run(target, f"INSERT INTO {name} SELECT 5")
    text = f"SELECT id, _change_type FROM table_changes('{name}', {since})"
    assert ["5", "insert"] in rows(run(target, text))


def test_information_schema_knows_the_tables(target: Target, place: Place) -> None:
    run(target, f"CREATE TABLE {place.table('t')} (id INT, s STRING)")
    text = (
        f"SELECT table_name, column_name FROM {place.catalog}.information_schema.columns "
        f"WHERE table_schema = '{place.schema}' ORDER BY ordinal_position"
    )
    assert rows(run(target, text)) == [["t", "id"], ["t", "s"]]


def test_warehouses_stop_start_and_wait(ws: Workspace, target: Target) -> None:
    api = target.client().warehouses
    assert [warehouse.id for warehouse in api.list()] == [ws.warehouse_id]
    ws.warehouses.start_seconds = 0.5
    api.stop(ws.warehouse_id)
    assert api.get(ws.warehouse_id).state == State.STOPPED
    response = run(target, "SELECT 1", wait_timeout="0s")
    assert response.status.state == StatementState.PENDING
    assert api.get(ws.warehouse_id).state == State.STARTING
    assert rows(run(target, "SELECT 1")) == [["1"]]
    assert api.start(ws.warehouse_id).result().state == State.RUNNING
    ws.warehouses.start_seconds = 0.0


def test_each_statement_that_runs_is_in_the_journal(ws: Workspace, target: Target) -> None:
    statement = run(target, "SELECT 12345").statement_id
    assert ws.journal.count("statement_run", subject=statement) == 1


def test_a_new_catalog_keeps_what_was_there(ws: Workspace, target: Target, place: Place) -> None:
    run(target, f"CREATE TABLE {place.table('t')} AS SELECT 7 AS x")
    run(target, f"CREATE VIEW {place.table('v')} AS SELECT x + 1 AS y FROM {place.table('t')}")
    client = target.client()
    client.catalogs.create(name="newcomer")
    try:
        run(target, "CREATE TABLE newcomer.default.u AS SELECT 1 AS a")
        assert rows(run(target, f"SELECT x, y FROM {place.table('t')}, {place.table('v')}")) == [["7", "8"]]
        assert [column.name for column in client.tables.get(place.table("t")).columns] == ["x"]
    finally:
        client.catalogs.delete("newcomer", force=True)
