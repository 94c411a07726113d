"""One declaration, four databases: each engine takes its DDL and has the columns that were declared."""

from __future__ import annotations

import sqlite3

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from agent.records.columns import ADK_TELEMETRY, ARTIFACT_REGISTRY, LOCAL_TABLES, RUN_STATE, TABLES, Table
from agent.records.ddl import TYPES, create_table
from tests.workspace.postgres import Postgres, binaries

SEED_REGISTRY = """artifact_id session_id invocation_id iteration artifact_type sublm_instruction code_artifact_key
    stdout_artifact_key stderr_artifact_key status metadata_json created_time updated_time consumed_time"""
SEED_TELEMETRY = """telemetry_id ts app_name user_id session_id invocation_id branch agent_name callback_name event_id
    tool_name function_call_id model_name tool_blocked blocked_reason payload_json created_time"""

tables = pytest.mark.parametrize("table", LOCAL_TABLES, ids=lambda table: table.name)


@pytest.mark.parametrize(("table", "columns"), [(ARTIFACT_REGISTRY, SEED_REGISTRY), (ADK_TELEMETRY, SEED_TELEMETRY)])
def test_the_tables_have_the_columns_that_users_of_the_seed_query(table: Table, columns: str) -> None:
    assert [column.name for column in table.columns] == columns.split()


@tables
def test_sqlite_takes_it_and_refuses_a_missing_value(table: Table) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute(create_table(table, "sqlite"))
    found = connection.execute(f"PRAGMA table_info({table.name})").fetchall()
    assert [(row[1], not row[3]) for row in found] == [(column.name, column.nullable) for column in table.columns]
    connection.close()


@tables
def test_duckdb_takes_it(table: Table) -> None:
    with duckdb.connect() as connection:
        connection.execute(create_table(table, "duckdb"))
        found = connection.execute(f"DESCRIBE {table.name}").fetchall()
    declared = [(c.name, TYPES["duckdb"][c.kind], "YES" if c.nullable else "NO") for c in table.columns]
    assert [row[:3] for row in found] == declared


@tables
@pytest.mark.parametrize(("dialect", "read"), [("postgres", "postgres"), ("delta", "databricks")])
def test_postgres_and_delta_can_read_it(table: Table, dialect: str, read: str) -> None:
    statement = sqlglot.parse_one(
        create_table(table, dialect, "a_catalog.a_schema." if read == "databricks" else ""), dialect=read
    )
    assert isinstance(statement, exp.Create)
    assert [column.name for column in statement.find_all(exp.ColumnDef)] == [column.name for column in table.columns]


def test_the_registry_is_laid_out_by_session_in_delta_as_in_the_seed() -> None:
    ddl = create_table(ARTIFACT_REGISTRY, "delta", "main.adk.")
    assert ddl.startswith("CREATE TABLE IF NOT EXISTS main.adk.artifact_registry (\n    artifact_id STRING NOT NULL,")
    assert ddl.endswith("USING DELTA PARTITIONED BY (session_id)")


def test_what_is_about_this_machine_only_is_not_among_the_tables_to_sync() -> None:
    assert {table.name for table in LOCAL_TABLES} - {table.name for table in TABLES} == {"running_turns"}


@pytest.mark.skipif(binaries() is None, reason="no PostgreSQL binaries")
def test_a_real_postgres_takes_it_twice() -> None:
    with Postgres() as server:
        for table in (*TABLES, *TABLES):
            server.execute(create_table(table, "postgres"))
        found = server.execute("SELECT column_name FROM information_schema.columns WHERE table_name = 'run_state'")
    assert {name for (name,) in found} == {column.name for column in RUN_STATE.columns}
