"""The user's files become tables, SQL finds them by short names, and no SQL gets out or changes them."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, sleep

import duckdb
import pytest

from agent.data.reading.found import DataUnreadable, bare, find_files
from agent.data.reading.names import table_name
from agent.data.session import QueryFailed
from agent.data.warehouse import Warehouse, open_warehouse
from graph.errors import AgentError

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"


def rows(warehouse: Warehouse, sql: str) -> list[tuple]:
    return [tuple(row.values()) for row in warehouse.query(sql).to_pylist()]


def columns(warehouse: Warehouse, name: str) -> dict[str, str]:
    (table,) = [table for table in warehouse.tables() if table.name == name]
    return {column.name: column.type for column in table.columns}


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("congress-terms.csv", "congress_terms"),
        ("2024 Sales (Q1).csv.gz", "t_2024_sales_q1"),
        ("ÜBER.parquet", "ber"),
        ("select.json", "t_select"),
        ("x.csv.csv", "x"),
        ("データ.csv", "data"),
        ("report.v2.jsonl", "report_v2"),
    ],
)
def test_table_names_need_no_quotes(file: str, name: str):
    assert table_name(bare(file)) == name
    duckdb.connect().execute(f"CREATE TABLE {name} AS SELECT 1 AS a").execute(f"FROM {name}")


def test_no_keyword_of_the_engine_becomes_a_table_name_that_needs_quotes():
    with duckdb.connect() as connection:
        for (word,) in connection.execute("SELECT keyword_name FROM duckdb_keywords()").fetchall():
            name = table_name(word)
            connection.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT 1 AS a")
            connection.execute(f"SELECT {name}.a FROM {name} JOIN {name} AS other ON true").fetchall()


def test_every_kind_of_file_under_a_folder_becomes_a_table(tmp_path: Path):
    data = tmp_path / "data"
    (data / "deep").mkdir(parents=True)
    (data / "sales.csv").write_text("city,amount\nOslo,1.5\nBergen,\n")
    (data / "deep" / "prices.tsv").write_text("city\tprice\nOslo\t1\n")
    (data / "events.jsonl").write_text('{"kind": "a", "n": 1}\n{"kind": "b"}\n')
    (data / "config.json").write_text('[{"key": "x"}, {"key": "y"}]')
    (data / "zipped.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n"))
    duckdb.connect().execute(f"COPY (SELECT 1 AS id, DATE '2024-01-01' AS day) TO '{data / 'facts.parquet'}'")
    (data / ".hidden.csv").write_text("a\n1\n")
    (data / "notes.txt").write_text("no data")
    with open_warehouse(tmp_path / "home", sample=False, paths=[data]) as warehouse:
        tables = {table.name: (table.rows, table.kind) for table in warehouse.tables()}
        assert tables == {
            "config": (2, "BASE TABLE"),
            "events": (2, "BASE TABLE"),
            "facts": (1, "BASE TABLE"),
            "sales": (2, "BASE TABLE"),
            "prices": (1, "BASE TABLE"),
            "zipped": (1, "BASE TABLE"),
        }
        assert rows(warehouse, "SELECT count(*) FROM facts") == [(1,)]
        assert rows(warehouse, "SELECT sum(n) FROM events") == [(1,)]
        assert all((data / table.source).exists() for table in warehouse.tables())
        assert [one.name for one in warehouse.aside()] == ["notes.txt"]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real files are not beside the checkout")
def test_real_files_with_gaps_and_odd_types_work_as_they_are(tmp_path: Path):
    with open_warehouse(tmp_path, sample=True, paths=[SHARED]) as warehouse:
        warehouse.finish_loading()
        assert columns(warehouse, "congress_terms")["birthday"] == "DATE"
        assert columns(warehouse, "dc_wikia_data")["FIRST APPEARANCE"] == "VARCHAR"
        assert rows(warehouse, "SELECT count(*) FROM congress_terms") == [(18_635,)]
        assert rows(warehouse, "SELECT count(*) FROM dc_wikia_data WHERE GSM IS NULL") == [(6_832,)]
        assert rows(warehouse, "SELECT count(*) FROM vendors") == [(1_080,)]
        assert (warehouse.catalog, warehouse.schema) == ("files", "data")


def test_a_csv_whose_late_rows_break_the_guessed_types_is_read_whole(tmp_path: Path):
    file = tmp_path / "late.csv"
    file.write_text("a,b\n" + "1,2\n" * 30_000 + "x,y\n")
    with open_warehouse(tmp_path, sample=False, paths=[file]) as warehouse:
        assert columns(warehouse, "late") == {"a": "VARCHAR", "b": "VARCHAR"}
        assert rows(warehouse, "SELECT count(*), max(a) FROM late") == [(30_001, "x")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_csv_files_in_other_encodings_keep_their_letters(tmp_path: Path, encoding: str):
    file = tmp_path / "names.csv"
    file.write_text("name;born\nJosé;1990\nÅse;1985\n", encoding=encoding)
    with open_warehouse(tmp_path, sample=False, paths=[file]) as warehouse:
        assert rows(warehouse, "SELECT * FROM names ORDER BY born") == [("Åse", 1985), ("José", 1990)]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("empty.csv", b""),
        ("picture.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" * 50),
        ("broken.json", b'{"a": 1'),
        ("short.parquet", b"PAR1"),
        ("cut.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 10_000, mtime=0)[:60]),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_what_to_do(tmp_path: Path, file: str, content: bytes):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(DataUnreadable) as caught:
        open_warehouse(tmp_path / "home", sample=False, paths=[tmp_path])
    assert file in str(caught.value)
    assert "leave it out" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["nowhere", "notes.md", "folder"])
def test_a_path_without_data_says_what_would_be_data(tmp_path: Path, path: str):
    (tmp_path / "notes.md").write_text("words")
    (tmp_path / "folder").mkdir()
    with pytest.raises(AgentError, match=path):
        find_files([tmp_path / path])


def test_a_file_given_twice_is_one_table(tmp_path: Path):
    (tmp_path / "a.csv").write_text("x\n1\n")
    assert [file.path.name for file in find_files([tmp_path, tmp_path / "a.csv"]).files] == ["a.csv"]


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(tmp_path: Path):
    file = tmp_path / "a.csv"
    file.write_text("x\n1\n")
    for content in ("x\n1\n", "x\n1\n2\n"):
        file.write_text(content)
        with open_warehouse(tmp_path / "home", sample=False, paths=[file]) as warehouse:
            assert rows(warehouse, "SELECT count(*) FROM a") == [(content.count("\n") - 1,)]


def test_a_table_that_nobody_opened_for_weeks_is_made_again(tmp_path: Path):
    file = tmp_path / "a.csv"
    for size in (1, 2):
        file.write_text("x\n" + "1\n" * size)
        open_warehouse(tmp_path / "home", sample=False, paths=[file]).close()
    made = sorted((tmp_path / "home" / "warehouse" / "tables").iterdir())
    assert len([path for path in made if path.suffix == ".parquet"]) == 2
    for path in made:
        os.utime(path, (0, 0))
    with open_warehouse(tmp_path / "home", sample=False, paths=[file]) as warehouse:
        assert rows(warehouse, "SELECT count(*) FROM a") == [(2,)]
        assert len(list((tmp_path / "home" / "warehouse" / "tables").glob("*.parquet"))) == 1


def test_names_are_found_without_their_catalog_and_schema(warehouse: Warehouse):
    assert rows(warehouse, "SELECT count(*) FROM vendors") == [(1_080,)]
    assert rows(warehouse, "SELECT count(*) FROM silo_north.vendors") == [(420,)]
    assert rows(warehouse, "SELECT count(*) FROM sample.silo_north.vendors") == [(420,)]
    for place in ({"schema": "silo_valley"}, {"catalog": "sample", "schema": "silo_valley"}):
        assert warehouse.query("SELECT count(*) AS n FROM vendors", **place).to_pylist() == [{"n": 300}]
    assert rows(warehouse, "SELECT count(*) FROM vendors") == [(1_080,)]


def test_a_catalog_that_is_asked_for_comes_before_a_file_of_the_same_name(tmp_path: Path):
    (tmp_path / "vendors.csv").write_text("name\nmine\n")
    with open_warehouse(tmp_path / "home", paths=[tmp_path / "vendors.csv"]) as warehouse:
        count = "SELECT count(*) AS n FROM vendors"
        assert warehouse.query(count).to_pylist() == [{"n": 1}]
        assert warehouse.query(count, catalog="sample").to_pylist() == [{"n": 1_080}]
        assert warehouse.query(count, schema="silo_north").to_pylist() == [{"n": 420}]
        assert warehouse.query(count, catalog="files").to_pylist() == [{"n": 1}]
        with warehouse.session() as session:
            assert session.query(count, schema="silo_north").to_pylist() == [{"n": 420}]
            assert session.query(count).to_pylist() == [{"n": 1}]


def test_a_table_that_someone_has_open_is_not_removed(tmp_path: Path):
    file = tmp_path / "a.csv"
    file.write_text("x\n1\n")
    with open_warehouse(tmp_path / "home", sample=False, paths=[file]) as first:
        for path in (tmp_path / "home" / "warehouse" / "tables").iterdir():
            os.utime(path, (0, 0))
        file.write_text("x\n1\n2\n")
        open_warehouse(tmp_path / "home", sample=False, paths=[file]).close()
        with first.session() as session:
            assert session.query("SELECT count(*) AS n FROM a").to_pylist() == [{"n": 1}]


@pytest.mark.parametrize("name", ["x'; DROP", "a.b", "nowhere", "memory"])
def test_a_strange_catalog_is_an_error_not_a_way_in(warehouse: Warehouse, name: str):
    with pytest.raises(QueryFailed):
        warehouse.query("SELECT * FROM purchases", catalog=name)
    assert rows(warehouse, "SELECT count(*) FROM vendors") == [(1_080,)]


def test_parameters_are_bound_and_limits_hold(warehouse: Warehouse):
    sql = "SELECT vendor_id FROM silo_north.vendors WHERE vendor_name LIKE ?"
    assert warehouse.query(sql, ['it\'s % "quoted"; DROP TABLE x']).num_rows == 0
    assert warehouse.query(sql, ["%"], limit=7).num_rows == 7
    assert warehouse.query(sql, ["%"], limit=0).num_rows == 0
    assert warehouse.query(sql, ["no such"], limit=7).column_names == ["vendor_id"]


def test_search_finds_columns_by_any_of_several_words_whatever_the_case(warehouse: Warehouse):
    found = warehouse.search("TAX_ID")
    assert found.total == 4
    assert all("tax_id" in row for row in found.rows)
    both = warehouse.search("tax_id|paid_date", "BASE TABLE")
    assert both.total == 6
    neither = warehouse.search("tax_id|paid_date", operator="NOT LIKE")
    every = warehouse.search("%")
    assert neither.total + warehouse.search("tax_id|paid_date").total == every.total
    assert len(every.rows) == 5
    assert warehouse.search('it\'s a "quote"; --').total == 0
    with pytest.raises(QueryFailed, match="operator"):
        warehouse.search("x", operator="LIKE '%' OR 1=1 --")


HARMFUL = [
    "ATTACH '{home}/warehouse/sample-1.duckdb' AS again",
    "DETACH sample",
    "COPY (SELECT 1) TO '{home}/out.csv'",
    "COPY vendors FROM '/etc/passwd'",
    "EXPORT DATABASE '{home}/out'",
    "IMPORT DATABASE '{home}/out'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "RESET enable_external_access",
    "SET threads = 64",
    "SET memory_limit = '1TB'",
    "SET temp_directory = '/tmp'",
    "PRAGMA enable_profiling = 'json'",
    "CALL enable_logging()",
    "SELECT * FROM enable_logging(storage = 'file', storage_path = '{home}/log')",
    "CHECKPOINT",
    "VACUUM",
    "PREPARE p AS DETACH sample",
    "EXECUTE p",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/hostname')",
    "SELECT * FROM read_blob('/proc/self/environ')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM parquet_metadata('{home}/x.parquet')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT getenv('HOME')",
    "SELECT * FROM HARMFUL",
    "CREATE SECRET s (TYPE http, BEARER_TOKEN 'x')",
    "INSERT INTO silo_north.vendors SELECT * FROM silo_north.vendors",
    "UPDATE silo_north.vendors SET active = false",
    "DELETE FROM silo_north.vendors",
    "TRUNCATE sample.silo_north.vendors",
    "DROP TABLE silo_north.vendors",
    "DROP SCHEMA sample.silo_north CASCADE",
    "ALTER TABLE silo_north.vendors DROP COLUMN tax_id",
    "CREATE TABLE sample.silo_north.mine AS SELECT 1",
    "CREATE OR REPLACE VIEW sample.all_silos.vendors AS SELECT 1",
    "SELECT 1; DETACH sample",
    "EXPLAIN ANALYZE DETACH sample",
]


@pytest.mark.parametrize("sql", HARMFUL)
def test_sql_can_neither_leave_nor_change_what_it_was_given(warehouse: Warehouse, home: Path, sql: str):
    before = sorted(path.name for path in home.rglob("*") if "spill" not in path.parts)
    with warehouse.session() as session:
        with pytest.raises(QueryFailed):
            session.query(sql.format(home=home))
        assert session.query("SELECT count(*) AS n FROM silo_north.vendors").to_pylist() == [{"n": 420}]
    with pytest.raises(QueryFailed):
        warehouse.query(sql.format(home=home))
    assert sorted(path.name for path in home.rglob("*") if "spill" not in path.parts) == before


def test_the_users_parquet_file_can_be_read_and_not_overwritten(tmp_path: Path):
    file, secret = tmp_path / "facts.parquet", tmp_path / "secret.parquet"
    for path in (file, secret):
        duckdb.connect().execute(f"COPY (SELECT 1 AS id) TO '{path}'")
    content = file.read_bytes()
    with open_warehouse(tmp_path / "home", sample=False, paths=[file]) as warehouse, warehouse.session() as session:
        assert session.query("SELECT * FROM facts").to_pylist() == [{"id": 1}]
        for sql in (f"COPY (SELECT 2 AS id) TO '{file}'", f"SELECT * FROM '{secret}'", "DROP VIEW files.data.facts"):
            with pytest.raises(QueryFailed):
                session.query(sql)
    assert file.read_bytes() == content


def test_a_session_may_create_what_it_likes_and_no_other_sees_it(warehouse: Warehouse):
    with warehouse.session() as one, warehouse.session() as other:
        one.query("CREATE TABLE big AS SELECT * FROM vendors WHERE silo = 'north'")
        one.query("CREATE VIEW few AS SELECT * FROM big LIMIT 3; INSERT INTO big SELECT * FROM big")
        assert one.query("SELECT count(*) AS n FROM big").to_pylist() == [{"n": 840}]
        assert one.query("SELECT * FROM few").num_rows == 3
        for session in (other, warehouse):
            with pytest.raises(QueryFailed):
                session.query("SELECT * FROM big")
    with pytest.raises(QueryFailed):
        warehouse.query("CREATE TABLE mine AS SELECT 1")


def test_a_transaction_that_is_left_open_or_broken_does_not_hold_up_the_end(warehouse: Warehouse):
    with warehouse.session() as session:
        session.query("BEGIN; CREATE TABLE t AS SELECT 1")
        with pytest.raises(QueryFailed):
            session.query("SELECT nothing FROM t")


def test_a_statement_that_fails_on_the_way_leaves_a_session_that_works(warehouse: Warehouse):
    with warehouse.session() as session:
        with pytest.raises(QueryFailed, match="Could not convert"):
            session.query("SELECT CAST(CASE WHEN range > 500000 THEN 'x' ELSE '1' END AS INTEGER) FROM range(600000)")
        assert session.query("SELECT 1 AS one").to_pylist() == [{"one": 1}]


def test_closing_a_session_ends_its_statement(warehouse: Warehouse):
    session = warehouse.session()
    failed = threading.Event()

    def ask() -> None:
        with pytest.raises(QueryFailed):
            session.query("SELECT sum(a.range * b.range) FROM range(100000000) AS a, range(100000000) AS b")
        failed.set()

    thread = threading.Thread(target=ask)
    thread.start()
    sleep(0.3)
    began = monotonic()
    session.close()
    assert failed.wait(3)
    thread.join()
    assert monotonic() - began < 3
    with pytest.raises(QueryFailed, match="closed"):
        session.query("SELECT 1")


def test_many_threads_may_ask_at_once(warehouse: Warehouse):
    def ask(n: int) -> int:
        return warehouse.query("SELECT count(*) + ? AS n FROM invoices", [n]).column(0)[0].as_py()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(32))) == [96_189 + n for n in range(32)]


def test_two_processes_may_have_one_home_open_and_build_it_at_once(tmp_path: Path):
    program = (
        "import sys; from pathlib import Path; from agent.data.warehouse import open_warehouse\n"
        "with open_warehouse(Path(sys.argv[1])) as w: print(w.query('SELECT count(*) AS n FROM vendors').to_pylist())"
    )
    command = [sys.executable, "-W", "error", "-c", program, str(tmp_path)]
    programs = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) for _ in range(3)]
    with open_warehouse(tmp_path) as warehouse:
        assert rows(warehouse, "SELECT count(*) FROM vendors") == [(1_080,)]
        assert [program.communicate()[0].strip() for program in programs] == ["[{'n': 1080}]"] * 3
    assert not list((tmp_path / "warehouse").glob(".*.draft"))


def test_a_build_that_was_cut_off_is_made_again(tmp_path: Path):
    folder = tmp_path / "warehouse"
    folder.mkdir()
    (folder / ".sample-1.duckdb.1.draft").write_bytes(b"half")
    with open_warehouse(tmp_path) as warehouse:
        assert rows(warehouse, "SELECT count(*) FROM vendors") == [(1_080,)]


def test_what_a_killed_process_spilled_long_ago_is_removed(tmp_path: Path):
    spill = tmp_path / "warehouse" / "spill"
    for name in ("old", "new"):
        (spill / name).mkdir(parents=True)
    os.utime(spill / "old", (0, 0))
    open_warehouse(tmp_path, sample=False).close()
    assert [path.name for path in spill.iterdir()] == ["new"]


def test_without_sample_and_files_there_is_an_empty_warehouse(tmp_path: Path):
    with open_warehouse(tmp_path, sample=False) as warehouse:
        assert warehouse.tables() == ()
        assert warehouse.catalog is None
        assert warehouse.search("anything").total == 0
        with warehouse.session() as session:
            assert session.query("SELECT 1 AS one").to_pylist() == [{"one": 1}]


def test_table_facts_survive_json(warehouse: Warehouse):
    for table in warehouse.tables():
        assert json.loads(json.dumps(table.full_name)).count(".") == 2
        assert table.columns
