"""SQL from a run: what is asked is checked as it will run, what comes back is what the engine has."""

from __future__ import annotations

import json

import pytest

from agent.data.warehouse import Warehouse
from agent.execution.host import Data
from graph.types import Rejection
from tests.execution.conftest import Bench, OpenBench, everything_goes


def test_the_guard_sees_the_very_text_and_its_reason_reaches_the_code(open_bench: OpenBench, warehouse: Warehouse):
    seen = []

    def no_invoices(sql: str) -> Rejection | None:
        seen.append(sql)
        return Rejection("SAFETY_BLOCK", "invoices are off limits") if "invoices" in sql else None

    bench = open_bench(data=Data(warehouse.session, no_invoices))
    code = """
table = "in" + "voices"
try:
    execute_sql(f"SELECT * FROM {table}")
except SqlError as error:
    result = [str(error), execute_sql("SELECT count(*) FROM vendors").rows[0][0]]
"""
    assert json.loads(bench.run(code).output) == ["SAFETY_BLOCK: invoices are off limits", 1080]
    assert seen == ["SELECT * FROM invoices", "SELECT count(*) FROM vendors"]


def test_the_sessions_catalog_and_schema_come_first_and_a_statements_own_before_them(
    open_bench: OpenBench, warehouse: Warehouse
):
    bench = open_bench(data=Data(warehouse.session, everything_goes, catalog="sample", schema="silo_north"))
    code = """
count = "SELECT count(*) FROM vendors"
result = [catalog, schema, execute_sql(count).rows[0][0], execute_sql(count, schema="silo_valley").rows[0][0],
          execute_sql(count, profile="DEFAULT").rows[0][0]]
"""
    assert json.loads(bench.run(code).output) == ["sample", "silo_north", 420, 300, 420]


def test_what_a_run_creates_it_finds_again_in_its_next_statement(bench: Bench):
    code = """
made = execute_sql("CREATE TABLE top AS SELECT * FROM vendors LIMIT 5")
result = [made.rows, execute_sql("SELECT count(*) FROM top").rows, execute_sql("DROP TABLE top").rows]
"""
    assert json.loads(bench.run(code).output) == [[[5]], [[5]], []]
    assert "does not exist" in bench.run("execute_sql('SELECT * FROM top')").error


def test_values_of_every_type_arrive_as_themselves(bench: Bench):
    code = """
import decimal, uuid
row = execute_sql('''
    SELECT 1::TINYINT, 2::HUGEINT, 1.25::DOUBLE, 1.50::DECIMAL(9,2), 'x', NULL, true, DATE '2024-02-29',
        TIMESTAMP '2024-01-01 10:00:00', TIME '10:00', [1, 2], {'a': 1}, 'b'::BLOB, sum(n) FROM (SELECT 5 AS n)
''').rows[0]
assert row == (1, 2, 1.25, decimal.Decimal("1.50"), "x", None, True, datetime.date(2024, 2, 29),
    datetime.datetime(2024, 1, 1, 10), datetime.time(10), [1, 2], {"a": 1}, b"b", 5), row
assert type(row[1]) is type(row[-1]) is int
big = execute_sql("SELECT 10::HUGEINT ** 30, (2::HUGEINT ** 100)::HUGEINT").rows[0]
assert big[1] == 2 ** 100, big
"""
    result = bench.run(code)
    assert result.status == "success", result.error_trace


def test_frames_have_dates_to_reckon_with_and_all_rows(bench: Bench):
    code = """
df = execute_sql("SELECT invoice_date, amount FROM silo_north.invoices", as_pandas=True).df
monthly = df.set_index("invoice_date").amount.resample("MS").sum()
result = [len(df), len(monthly) > 30, str(df.dtypes["invoice_date"]).startswith("datetime64")]
"""
    result = bench.run(code)
    assert result.status == "success", result.error_trace
    assert json.loads(result.output) == [36_071, True, True]


@pytest.mark.parametrize(
    "sql", ["SELECT 1 WHERE false", "SHOW TABLES", "DESCRIBE vendors", "EXPLAIN SELECT 1", "SET VARIABLE x = 1"]
)
def test_statements_without_rows_or_with_other_rows_are_results_too(bench: Bench, sql: str):
    code = f"""
r = execute_sql({sql!r}, as_pandas=True)
print(r)
result = [len(r.rows) == min(20, len(r.df)), r.columns != []]
"""
    result = bench.run(code)
    assert result.status == "success", result.error_trace
    assert json.loads(result.output) == [True, True]


@pytest.mark.parametrize(("preview", "shown"), [(0, 0), (3, 3), (5000, 1080), (-1, 0)])
def test_a_preview_is_what_is_printed_and_rows_are_all(bench: Bench, preview: int, shown: int):
    code = f"""
r = execute_sql('FROM vendors', preview_rows={preview})
result = [len(r.rows), sum(1 for row in r.rows), r.truncated, r.row_count, str(r).splitlines()[-1]]
"""
    last = f"({shown:,} rows shown, 1,080 in all)"
    assert json.loads(bench.run(code).output) == [1080, 1080, False, 1080, last]


@pytest.mark.parametrize(
    "walk", ["sum(1 for row in r.rows)", "len(r.rows)", "r.rows[-1]", "r.rows[10:]", "list(r.rows)"]
)
def test_walking_past_the_rows_that_were_fetched_is_an_error_not_a_wrong_count(bench: Bench, walk: str):
    result = bench.run(f"r = execute_sql('FROM invoices'); result = {walk}")
    assert result.status == "failed"
    assert "the first 10,000 of 96,189 rows" in (result.error_trace or "")
    assert "as_pandas=True" in (result.error_trace or "")


def test_the_first_of_many_rows_can_be_had(bench: Bench):
    code = """
r = execute_sql("SELECT range FROM range(20000)")
result = [r.rows[0], r.rows[5:8], r.truncated, next(iter(r.rows)), bool(r.rows)]
print(r.rows)
"""
    result = bench.run(code)
    assert json.loads(result.output) == [[0], [[5], [6], [7]], True, [0], True]
    assert result.stdout == "<the first 10,000 of 20,000 rows>\n"


def test_a_printed_result_is_a_table_that_a_model_can_read(bench: Bench):
    printed = bench.run("print(execute_sql('SELECT silo, count(*) AS n FROM vendors GROUP BY ALL ORDER BY n'))").stdout
    assert printed == "silo      n\nvalley    300\nlakeside  360\nnorth     420\n(3 rows shown, 3 in all)\n"


def test_threads_of_a_run_may_ask_at_once(bench: Bench):
    code = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as pool:
    result = list(pool.map(lambda n: execute_sql(f"SELECT {n}").rows[0][0], range(40)))
"""
    assert json.loads(bench.run(code).output) == list(range(40))


def test_a_process_that_code_starts_is_told_that_it_cannot_ask(bench: Bench):
    code = """
import multiprocessing
def ask(queue):
    try:
        queue.put(execute_sql("SELECT 1").rows)
    except SqlError as error:
        queue.put(str(error))
queue = multiprocessing.Queue()
child = multiprocessing.Process(target=ask, args=(queue,))
child.start()
result = [queue.get(), execute_sql("SELECT 2").rows]
child.join()
"""
    result = bench.run(code)
    assert result.status == "success", result.error_trace
    assert json.loads(result.output) == [
        "the host answers the main process of a run, not processes that it starts",
        [[2]],
    ]


def test_statements_are_told_apart_by_their_ids(bench: Bench):
    result = bench.run("result = [execute_sql('SELECT 1').statement_id for _ in range(2)]")
    artifact_id = bench.folder(result).name
    assert json.loads(result.output) == [f"{artifact_id}-1", f"{artifact_id}-2"]


def test_a_gone_warehouse_is_an_error_of_the_statement(open_bench: OpenBench, tmp_path):
    from agent.data.warehouse import open_warehouse

    with open_warehouse(tmp_path / "home") as warehouse:
        bench = open_bench(data=Data(warehouse.session, everything_goes))
        (tmp_path / "home" / "warehouse" / "sample-1.duckdb").unlink()
        result = bench.run("execute_sql('SELECT 1')")
    assert result.status == "failed"
    assert "the warehouse can't be opened" in result.error
