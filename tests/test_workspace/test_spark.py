"""The same tables through databricks-connect, and what lies beneath them."""

import io

import pandas as pd
import pytest
from deltalake import DeltaTable
from pyspark.errors import AnalysisException
from pyspark.sql import functions as f

from tests.workspace.fixtures import SPARK_WARNINGS, Place, Target
from tests.workspace.workspace import Workspace

pytestmark = [pytest.mark.workspace, *SPARK_WARNINGS]


def test_frames_become_delta_tables_that_sql_reads(target: Target, place: Place) -> None:
    spark, name = target.spark(), place.table("t")
    spark.range(10).withColumn("k", f.col("id") % 3).write.saveAsTable(name)
    spark.range(5).withColumn("k", f.lit(9).cast("bigint")).write.mode("append").saveAsTable(name)
    assert spark.table(name).count() == 15
    response = target.client().statement_execution.execute_statement(
        f"SELECT k, count(*) FROM {name} GROUP BY k ORDER BY k", target.warehouse_id, wait_timeout="30s"
    )
    assert response.result.data_array == [["0", "4"], ["1", "3"], ["2", "3"], ["9", "5"]]


def test_tables_of_sql_are_read_by_spark(target: Target, place: Place) -> None:
    with target.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {place.table('t')} AS SELECT id, id * 1.5 AS x FROM range(4)")
    assert target.spark().table(place.table("t")).toPandas().shape == (4, 2)


def test_pandas_frames_go_in_and_out(target: Target) -> None:
    frame = pd.DataFrame({"x": [1, 2], "y": ["a", "b"]})
    assert target.spark().createDataFrame(frame).toPandas().equals(frame)


def test_overwriting(target: Target, place: Place) -> None:
    spark, name = target.spark(), place.table("t")
    spark.range(10).write.saveAsTable(name)
    spark.range(3).write.mode("overwrite").saveAsTable(name)
    assert spark.table(name).count() == 3


def test_volumes_are_paths(target: Target, place: Place) -> None:
    target.client().files.upload(f"{place.volume}/a.csv", io.BytesIO(b"a,b\n1,x\n2,y\n"))
    frame = target.spark().read.option("header", True).option("inferSchema", True).csv(f"{place.volume}/a.csv")
    assert [tuple(row) for row in frame.orderBy("a").collect()] == [(1, "x"), (2, "y")]


def test_errors_are_sparks(target: Target) -> None:
    with pytest.raises(AnalysisException):
        target.spark().table("main.default.nowhere_at_all").count()


def test_the_files_are_real_delta_tables(ws: Workspace, target: Target, place: Place) -> None:
    target.spark().range(3).write.saveAsTable(place.table("t"))
    location = target.client().tables.get(place.table("t")).storage_location
    assert DeltaTable(location).to_pyarrow_table().num_rows == 3


def test_what_sail_lacks_comes_from_the_delta_log(target: Target, place: Place) -> None:
    spark, name = target.spark(), place.table("t")
    spark.sql(f"CREATE TABLE {name} (id INT, s STRING) TBLPROPERTIES (delta.enableChangeDataFeed = true)")
    spark.sql(f"INSERT INTO {name} VALUES (1, 'a'), (2, 'b')")
    spark.sql(f"DELETE FROM {name} WHERE id = 1")
    changes = spark.sql(f"SELECT id, _change_type FROM table_changes('{name}', 0) ORDER BY _commit_version, id")
    assert [tuple(row) for row in changes.collect()] == [(1, "insert"), (2, "insert"), (1, "delete")]
    history = spark.sql(f"DESCRIBE HISTORY {name}").select("version", "operation").collect()
    assert [row.version for row in history] == [2, 1, 0]
    tables = spark.sql(
        f"SELECT table_name FROM {place.catalog}.information_schema.tables WHERE table_schema = '{place.schema}'"
    )
    assert [row.table_name for row in tables.collect()] == ["t"]


def test_a_special_statement_fails_as_sparks(target: Target) -> None:
    with pytest.raises(AnalysisException, match="TABLE_OR_VIEW_NOT_FOUND"):
        target.spark().sql("DESCRIBE HISTORY main.default.nowhere_at_all")
