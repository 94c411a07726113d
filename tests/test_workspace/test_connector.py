"""SQL by Thrift, with databricks-sql-connector; and the same statements through three clients."""

import datetime as dt
import decimal

import pytest
from databricks.sdk.service.sql import Disposition, Format
from databricks.sql.exc import ServerOperationError

from tests.workspace.fixtures import SPARK_WARNINGS, Place, Target
from tests.workspace.workspace import Workspace

pytestmark = [pytest.mark.workspace, *SPARK_WARNINGS]

SUITE = (
    "SELECT 1 AS a, 'x' AS b, CAST(NULL AS INT) AS c",
    "SELECT CAST(1.25 AS DECIMAL(10,2)) AS m, DATE'2024-02-03' AS d, true AS t",
    "SELECT id, id * 2 AS twice FROM range(5) ORDER BY id",
    "SELECT x, count(*) AS n FROM VALUES ('a'), ('b'), ('a') AS v(x) GROUP BY x ORDER BY x",
    "WITH c AS (SELECT 1 AS x UNION ALL SELECT 2) SELECT sum(x) AS s FROM c",
    "SELECT upper('abc') AS u, length('abc') AS l, concat('a', 'b') AS k",
    "SELECT id, sum(id) OVER (ORDER BY id) AS running FROM range(4) ORDER BY id",
    "SELECT date_add(DATE'2024-01-31', 1) AS d, year(DATE'2024-01-31') AS y",
    "SELECT coalesce(NULL, 3) AS c, CASE WHEN 1 < 2 THEN 'yes' ELSE 'no' END AS w",
)


def test_direct_results_with_their_python_types(target: Target) -> None:
    with target.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 AS a, CAST(1.25 AS DECIMAL(10,2)) AS m, DATE'2024-02-03' AS d, array(1, 2) AS l")
        row = cursor.fetchone()
        assert (row.a, row.m, row.d) == (1, decimal.Decimal("1.25"), dt.date(2024, 2, 3))
        assert [column[0] for column in cursor.description] == ["a", "m", "d", "l"]
        assert list(row.l) == [1, 2]


def test_parameters(target: Target) -> None:
    with target.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT :n + 1, :s, :d, :m",
            {"n": 41, "s": "it's", "d": dt.date(2024, 5, 6), "m": decimal.Decimal("1.25")},
        )
        assert tuple(cursor.fetchone()) == (42, "it's", dt.date(2024, 5, 6), decimal.Decimal("1.25"))
        cursor.execute("SELECT ? + 1, ?", [1, "b"])
        assert tuple(cursor.fetchone()) == (2, "b")


def test_fetching_in_pieces(target: Target) -> None:
    with target.connect(use_cloud_fetch=False) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM range(120000) ORDER BY id")
        assert [row.id for row in cursor.fetchmany(3)] == [0, 1, 2]
        assert len(cursor.fetchall()) == 119_997


def test_cloud_fetch(target: Target) -> None:
    with target.connect(use_cloud_fetch=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id, id * 2 AS twice FROM range(350000)")
        table = cursor.fetchall_arrow()
        assert table.num_rows == 350_000
        assert sum(table.column("id").to_pylist()) == sum(range(350_000))


def test_cloud_fetch_really_goes_by_links(ws: Workspace, target: Target) -> None:
    before = len(ws.exchanges)
    with target.connect(use_cloud_fetch=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM range(350000)")
        cursor.fetchall_arrow()
    assert sum(exchange.path.startswith("/_stand-in/results/") for exchange in ws.exchanges[before:]) == 4


def test_a_session_keeps_its_schema_to_itself(target: Target, place: Place) -> None:
    with target.connect() as connection, target.connect() as other:
        with connection.cursor() as cursor:
            cursor.execute(f"USE CATALOG {place.catalog}")
            cursor.execute(f"USE SCHEMA {place.schema}")
            cursor.execute("CREATE TABLE t AS SELECT 3 AS x")
            cursor.execute("SELECT x, current_schema() FROM t")
            assert tuple(cursor.fetchone()) == (3, place.schema)
        with other.cursor() as cursor:
            cursor.execute("SELECT current_schema()")
            assert cursor.fetchone()[0] == "default"
            with pytest.raises(ServerOperationError, match="TABLE_OR_VIEW_NOT_FOUND"):
                cursor.execute("SELECT x FROM t")


def test_a_connection_may_start_in_a_schema(target: Target, place: Place) -> None:
    with target.connect(catalog=place.catalog, schema=place.schema) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_catalog(), current_schema()")
        assert tuple(cursor.fetchone()) == (place.catalog, place.schema)


def test_errors_carry_their_sqlstate(target: Target) -> None:
    with target.connect() as connection, connection.cursor() as cursor:
        with pytest.raises(ServerOperationError, match="SQLSTATE: 22012"):
            cursor.execute("SELECT 1/0")
        cursor.execute("SELECT 1")
        assert cursor.fetchone()[0] == 1


def test_metadata_calls(target: Target, place: Place) -> None:
    with target.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {place.table('orders')} (id INT, s STRING)")
        cursor.schemas(catalog_name=place.catalog)
        assert place.schema in {row[0] for row in cursor.fetchall()}
        cursor.tables(catalog_name=place.catalog, schema_name=place.schema)
        assert [row[2] for row in cursor.fetchall()] == ["orders"]
        cursor.columns(catalog_name=place.catalog, schema_name=place.schema, table_name="orders")
        assert [row[3] for row in cursor.fetchall()] == ["id", "s"]
        cursor.catalogs()
        assert place.catalog in {row[0] for row in cursor.fetchall()}


@pytest.mark.parametrize("text", SUITE)
def test_three_clients_give_the_same_rows(target: Target, text: str) -> None:
    api = target.client().statement_execution
    inline = api.execute_statement(text, target.warehouse_id, wait_timeout="30s")
    with target.connect() as connection, connection.cursor() as cursor:
        cursor.execute(text)
        by_thrift = [tuple(row) for row in cursor.fetchall()]
    by_spark = [tuple(row) for row in target.spark().sql(text).collect()]
    by_rest = [tuple(row) for row in inline.result.data_array]
    assert by_thrift == by_spark
    assert [tuple(map(_text, row)) for row in by_thrift] == by_rest
    links = api.execute_statement(
        text,
        target.warehouse_id,
        wait_timeout="30s",
        disposition=Disposition.EXTERNAL_LINKS,
        format=Format.ARROW_STREAM,
    )
    assert links.manifest.total_row_count == len(by_rest)


def _text(value: object) -> str | None:
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)
