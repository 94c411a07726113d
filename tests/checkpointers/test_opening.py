"""A saver is opened by what the official ones are made with, or says how."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from psycopg_pool import ConnectionPool

from checkpointers import DuckDBSaver, PostgresSaver, SqliteSaver
from tests.checkpointers.making import Line, chat, config
from tests.workspace.postgres import Postgres


def test_a_connection_leads_to_its_file(tmp_path: Path):
    connection = sqlite3.connect(tmp_path / "a.db", check_same_thread=False)
    with SqliteSaver(connection) as saver:
        Line(saver).put({"x": [1]})
    connection.close()
    assert not list(Path().glob("*Connection*"))
    with SqliteSaver(tmp_path / "a.db") as saver:
        assert saver.get_tuple(config("t")).checkpoint["channel_values"] == {"x": [1]}


@pytest.mark.parametrize("form", ["file:{}", "file://{}", "file:{}?mode=rwc", "file://localhost{}?mode=rw", "{}"])
def test_addresses_of_a_file(form: str, tmp_path: Path):
    path = tmp_path / "with space.db"
    for saver_class in (SqliteSaver, DuckDBSaver):
        path.unlink(missing_ok=True)
        with saver_class(form.format(str(path).replace(" ", "%20") if ":" in form else path)) as saver:
            Line(saver).put({"x": [1]})
        assert path.exists()


def test_memory_has_several_names():
    for name in (":memory:", "", "file::memory:", "file:any?mode=memory"):
        with SqliteSaver(name) as saver:
            assert saver.name == ":memory:"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lambda: sqlite3.connect(":memory:"), r'no file: give SqliteSaver\(":memory:"\)'),
        (lambda: "file:x.db?mode=ro", r'give the path alone, SqliteSaver\("x.db"\)'),
        (lambda: "file:x.db?cache=shared", "asks for something else"),
        (lambda: "sqlite:///x.db", r"takes the path of its file, not 'sqlite:///x.db'"),
        (lambda: 5, "not a int"),
    ],
)
def test_what_is_no_file_is_told_how(given: Any, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    value = given()
    with pytest.raises(TypeError, match=told):
        SqliteSaver(value)
    if isinstance(value, sqlite3.Connection):
        value.close()
    assert list(Path().iterdir()) == []


def test_a_duckdb_connection_is_told_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with duckdb.connect(":memory:") as connection:
        with pytest.raises(TypeError, match=r'not a DuckDBPyConnection: DuckDBSaver\("state.db"\)'):
            DuckDBSaver(connection)
    assert list(Path().iterdir()) == []


def test_a_pool_and_a_connection_lead_to_their_server(postgres: Postgres):
    dsn = postgres.dsn()
    with PostgresSaver(dsn, schema="given") as saver:
        Line(saver).put({"x": [1]})
    with ConnectionPool(dsn, open=True, min_size=1) as pool, PostgresSaver(pool, schema="given") as saver:
        assert saver.get_tuple(config("t")) is not None
    with psycopg.connect(dsn) as connection, PostgresSaver(connection, schema="given") as saver:
        assert saver.get_tuple(config("t")) is not None
    with pytest.raises(TypeError, match="connection string, a pool or a connection, not a int"):
        PostgresSaver(5)


def test_conn_strings_for_async_code(tmp_path: Path, postgres: Postgres):
    async def turn(opened: Any) -> int:
        async with opened as saver:
            return len((await chat(saver).ainvoke({"messages": [("user", "hi")]}, config("t")))["messages"])

    for opened in (
        SqliteSaver.from_conn_string(str(tmp_path / "a.db")),
        DuckDBSaver.from_conn_string(str(tmp_path / "a.duckdb")),
        PostgresSaver.from_conn_string(postgres.dsn(), schema="async"),
    ):
        assert asyncio.run(turn(opened)) == 2
