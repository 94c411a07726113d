"""The decision at run time: what a statement may do, and that whatever is not understood may not run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import product
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.guards.sql import SESSION, SqlRules, check_sql
from tests.guards.cases import CHANGING_SQL, READING_SQL, statements

SCRATCH = SqlRules(scratch=("scratch", "main2.tmp"))
LOCAL = SqlRules(scratch=SESSION)
WORKSPACE = SqlRules("databricks")


@pytest.mark.parametrize("sql", statements(READING_SQL))
def test_what_only_reads_may_run(sql: str) -> None:
    assert check_sql(sql) is None


@pytest.mark.parametrize("sql", statements(CHANGING_SQL))
def test_what_changes_data_reaches_files_or_is_not_understood_may_not(sql: str) -> None:
    rejection = check_sql(sql)
    assert rejection is not None
    assert rejection.code in ("SAFETY_BLOCK", "SYNTAX_ERROR")
    assert rejection.message


@pytest.mark.parametrize("sql", ["", "   ", "-- nothing", ";", "(" * 5_000 + "select 1" + ")" * 5_000, "select '\x00'"])
def test_texts_that_are_no_statement_are_refused_and_break_nothing(sql: str) -> None:
    assert check_sql(sql) is not None


def test_a_refusal_says_what_was_matched_why_and_what_to_do_instead() -> None:
    rejection = check_sql("DROP TABLE sales.orders", SCRATCH)
    assert rejection is not None
    assert rejection.code == "SAFETY_BLOCK"
    assert rejection.message == (
        "DROP TABLE sales.orders is not allowed: it destroys data. "
        "Write to the scratch schema (scratch or main2.tmp) instead."
    )
    assert rejection.details == {"matched": "DROP TABLE sales.orders", "reason": "it destroys data"}


@pytest.mark.parametrize(
    ("sql", "allowed"),
    [
        ("create table scratch.x as select 1", True),
        ("create table SCRATCH.x (a int)", True),
        ("create or replace view scratch.v as select * from t", True),
        ("insert into scratch.x select * from t", True),
        ("update scratch.x set a = 1", True),
        ("delete from scratch.x where a = 1", True),
        ("drop table if exists scratch.x cascade", True),
        ("create table main2.tmp.t (a int)", True),
        ("create table x as select 1", False),
        ("create table tmp.t (a int)", False),
        ("create temp table x as select 1", False),
        ("create schema scratch", False),
        ("drop schema scratch cascade", False),
        ("drop table scratch.x, sales.orders", False),
        ("create macro scratch.f(x) as x", False),
        ("create index i on scratch.x (a)", False),
        ("insert into t select * from scratch.x", False),
        ("delete from t using scratch.x where true", False),
        ("update t set a = 1 from scratch.x", False),
        ("create table scratch.x as select * from read_csv('a')", False),
        ("create table scratch.x as with d as (delete from t returning *) select * from d", False),
        ("insert into scratch.x select * from 'secrets.csv'", False),
        ("alter table scratch.x add column y int", False),
        ("explain analyze insert into scratch.x values (1)", False),
    ],
)
def test_writes_go_to_the_scratch_schemas_only(sql: str, allowed: bool) -> None:
    assert (check_sql(sql, SCRATCH) is None) is allowed


@pytest.mark.parametrize(
    ("sql", "allowed"),
    [
        ("create table mine as select 1", True),
        ("create temp view v as select 1", True),
        ("insert into mine values (1)", True),
        ("drop table mine", True),
        ("drop table sample.all_silos.vendors", False),
        ("create table scratch_2.main.x as select 1", False),
        ("insert into all_silos.vendors select 1", False),
    ],
)
def test_a_local_session_writes_under_plain_names_only(sql: str, allowed: bool) -> None:
    assert (check_sql(sql, LOCAL) is None) is allowed


@pytest.mark.parametrize(
    ("sql", "allowed"),
    [
        ("select * from a.b.c", True),
        ("select * from range(10)", True),
        ("from t |> select a", True),
        ("describe history a.b", True),
        ("describe detail a.b.c", True),
        ("describe table extended a.b", True),
        ("show tables in a.b", True),
        ("show grants on table t", True),
        ("show create table a.b", True),
        ("list '/Volumes/a/b'", True),
        ("explain formatted select 1", True),
        ("select secret('a', 'b')", False),
        ("select try_secret('a', 'b') from t", False),
        ("select * from list_secrets()", False),
        ("select http_request(conn => 'x')", False),
        ("select reflect('java.lang.Runtime', 'x')", False),
        ("select java_method('java.lang.Runtime', 'x')", False),
        ("select * from remote_query('x')", False),
        ("select * from csv.`/Volumes/x`", False),
        ("select * from delta.`/x`", False),
        ("optimize t", False),
        ("vacuum t", False),
        ("restore table t to version as of 1", False),
        ("insert overwrite t select 1", False),
        ("create table t location '/x' as select 1", False),
        ("show tables; drop table a", False),
        ("list '/x'; drop table a", False),
    ],
)
def test_the_same_decision_for_a_workspace(sql: str, allowed: bool) -> None:
    assert (check_sql(sql, WORKSPACE) is None) is allowed


FILES = """'f.csv'|"f.csv"|f.csv|'./f.csv'|('f.csv')|(from 'f.csv')|(table 'f.csv')|$$f.csv$$|e'f.csv'
Read_CSV('f.csv')|"read_csv"('f.csv')|system.main.read_csv('f.csv')|read_csv/**/('f.csv')
query('from ''f.csv''')|query_table('f.csv')"""
PLACES = """select * from {}|from {}|select * from t, {}|select * from t join {} on true
select (select max(a) from {})
with x as ({}) from x
with x as materialized (from {}) from x|describe {}|describe from {}|summarize {}|summarize from {}
pivot {} on a|unpivot {} on a|from x: {}|table {}|explain analyze from {}|select * from t positional join {}
select * from lateral {}|select * from (table {})|select {}|select * from t union all from {}|select unnest({})
show {}|(from {})|select * from range((select count(*) from {}))|select array(from {})
select * from json_each({})|use {}"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[duckdb.DuckDBPyConnection]:
    """An engine that may read files, in a folder that has one."""
    (tmp_path / "f.csv").write_text("a,b\nHIDDEN,2\n")
    monkeypatch.chdir(tmp_path)
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT 7 AS a")
        yield connection


def test_no_way_to_name_a_file_reads_one(engine: duckdb.DuckDBPyConnection) -> None:
    passed = 0
    for place, file in product(PLACES.replace("\n", "|").split("|"), FILES.replace("\n", "|").split("|")):
        sql = place.format(file)
        if check_sql(sql) is not None:
            continue
        passed += 1
        with suppress(duckdb.Error):
            assert "HIDDEN" not in str(engine.execute(sql).fetchall()), sql
    assert passed, "texts that are only texts may be selected"


PIECES = """select|1|*|from|t|'|"|;|drop table t|delete from t|--|/*|*/|\n|$$|(|)|insert into t values (1)|with x as
union|explain|read_csv('x')|\\'|E'|values|,""".replace("as\nunion", "as|union").split("|")


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=10).map(" ".join))
def test_however_a_text_is_put_together_what_passes_leaves_the_table_alone(sql: str) -> None:
    if check_sql(sql) is not None:
        return
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT 7 AS a")
        with suppress(duckdb.Error):
            connection.execute(sql).fetchall()
        assert connection.execute("SELECT * FROM main.t").fetchall() == [(7,)]


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("UPDATE EXTENSIONS", "can't be read"),
        ("SELECT '\ud800'", "can't be read"),
        ("SELECT " + "(" * 500 + "1" + ")" * 500, "nested more than 200 deep"),
        ("SELECT 1" + "+1" * 30_000, "more than 40,000"),
        ("SELECT " + "NOT " * 5_000 + "true", "nested too deeply"),
        ("SELECT " + "CASE WHEN true THEN " * 3_000 + "1" + " END" * 3_000, "nested too deeply"),
        ("SELECT '" + "x" * 300_000 + "'", "longer than 200,000"),
        ("SELECT '{", "can't be read"),
    ],
)
def test_whatever_goes_wrong_on_the_way_to_a_decision_is_a_refusal(sql: str, reason: str):
    rejection = check_sql(sql, LOCAL)
    assert rejection is not None
    assert reason in rejection.message
    rejection.message.encode()


def test_a_long_list_of_values_is_no_attack():
    assert check_sql(f"SELECT * FROM t WHERE id IN ({', '.join(map(str, range(5_000)))})", LOCAL) is None
