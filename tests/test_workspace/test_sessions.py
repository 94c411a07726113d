"""Each run has a Spark session of its own over the same tables."""

from typing import Any

import pytest
from pyspark.errors import PySparkException

from tests.test_workspace.runs import notebook, once, value
from tests.workspace.fixtures import SPARK_WARNINGS, Place, Target
from tests.workspace.workspace import Workspace

pytestmark = [pytest.mark.workspace, *SPARK_WARNINGS]


def connected(address: str) -> Any:
    from databricks.connect import DatabricksSession

    return DatabricksSession.builder.remote(address).getOrCreate()


def session(ws: Workspace) -> Any:
    return connected(ws.spark_address(ws.sessions.open(ws.user)))


def test_a_view_and_a_setting_stay_in_their_session_and_a_table_does_not(ws: Workspace, place: Place) -> None:
    one, two = session(ws), session(ws)
    one.range(3).createOrReplaceTempView("mine")
    one.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    one.sql(f"USE {place.catalog}.{place.schema}")
    one.sql("CREATE TABLE t AS SELECT * FROM mine")
    assert two.table(place.table("t")).count() == 3
    assert two.conf.get("spark.sql.session.timeZone") == "UTC"
    with pytest.raises(PySparkException):
        two.table("mine").count()


def test_what_changes_in_one_session_changes_in_all(ws: Workspace, target: Target, place: Place) -> None:
    one, two, name = session(ws), session(ws), place.table("t")
    one.range(3).write.saveAsTable(name)
    assert two.table(name).count() == 3
    two.sql(f"CREATE VIEW {place.table('v')} AS SELECT id FROM {name} WHERE id > 0")
    assert one.table(place.table("v")).count() == 2
    target.client().statement_execution.execute_statement(f"DROP TABLE {name}", target.warehouse_id)
    with pytest.raises(PySparkException):
        one.table(name).count()
    one.range(9).write.saveAsTable(name)
    assert two.table(name).count() == 9


def test_stopping_ends_one_session_for_good_and_no_other(ws: Workspace) -> None:
    one, two = session(ws), session(ws)
    assert one.range(2).count() == two.range(2).count() == 2
    client = one.client
    one.stop()
    assert two.range(2).count() == 2
    assert ws.sessions.find(client._session_id) is None


def test_a_session_that_nobody_opened_is_refused(ws: Workspace) -> None:
    address = ws.spark_url.partition("session_id=")[0]
    with pytest.raises(Exception, match="SESSION_CLOSED"):
        connected(f"{address}session_id=00000000-0000-4000-8000-00000000dead").range(1).count()


def test_a_run_that_stops_spark_leaves_the_next_run_alone(target: Target, place: Place) -> None:
    stops = notebook(target, place, "stops", "spark.range(3).createOrReplaceTempView('left')", "spark.stop()")
    counts = notebook(
        target,
        place,
        "counts",
        "left = spark.catalog.tableExists('left')",
        "dbutils.notebook.exit(f'{spark.range(5).count()} {left}')",
    )
    value(target, target.client().jobs.submit(tasks=[once(stops)]).run_id)
    assert value(target, target.client().jobs.submit(tasks=[once(counts)]).run_id) == "5 False"
    assert target.spark().range(4).count() == 4


def test_a_statement_by_rest_leaves_no_temporary_view_to_the_next(target: Target) -> None:
    api = target.client().statement_execution
    made = api.execute_statement("CREATE TEMPORARY VIEW left_behind AS SELECT 1 AS a", target.warehouse_id)
    assert made.status.state.value == "SUCCEEDED"
    read = api.execute_statement("SELECT * FROM left_behind", target.warehouse_id)
    assert "TABLE_OR_VIEW_NOT_FOUND" in read.status.error.message
    with target.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY VIEW kept AS SELECT 1 AS a")
        cursor.execute("SELECT a FROM kept")
        assert [tuple(row) for row in cursor.fetchall()] == [(1,)]
        cursor.execute("DROP VIEW kept")
