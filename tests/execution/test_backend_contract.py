"""What every backend owes the graph: runs over each entry of BACKENDS and uses nothing but the Protocol."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep

import pytest

from agent.execution import BACKENDS
from agent.execution.run import RunLimits
from graph.errors import AgentError
from graph.types import ExecutionResult
from tests.execution.conftest import Bench, OpenBench

REMOTE = ("databricks_job",)
"""Backends whose runs are a workspace's: they outlive the backend, and take longer to start."""

NAMES = [pytest.param(name, marks=pytest.mark.workspace) if name in REMOTE else name for name in BACKENDS]
pytestmark = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def bench(open_bench: OpenBench, name: str) -> Bench:
    return open_bench(name)


def test_code_that_works_is_a_success_with_what_it_printed_and_its_result(bench: Bench):
    result = bench.run("print('three lines'); result = {'vendors': 3}")
    assert (result.status, result.stdout, result.error) == ("success", "three lines\n", None)
    assert json.loads(result.output) == {"vendors": 3}
    assert result.iteration == 3
    assert result.start_time < result.end_time
    assert result.duration_seconds > 0


def test_output_is_captured_when_there_is_no_result(bench: Bench):
    assert json.loads(bench.run("output = [1, 2]").output) == [1, 2]
    assert bench.run("x = 1").output is None
    assert json.loads(bench.run("output, result = 1, 2").output) == 2


def test_code_that_fails_is_a_result_with_its_traceback_and_only_its_own_lines(bench: Bench):
    result = bench.run("def ratio(x):\n    return 1 / x\n\nprint('before')\nratio(0)\n")
    assert (result.status, result.error) == ("failed", "ZeroDivisionError: division by zero")
    assert result.stdout == "before\n"
    assert 'File "code.py", line 5, in <module>' in result.error_trace
    assert "return 1 / x" in result.error_trace
    assert "harness" not in result.error_trace


def test_code_with_a_syntax_error_fails_and_says_where(bench: Bench):
    result = bench.run("x = 1\ny = = 2\n")
    assert result.status == "failed"
    assert "SyntaxError" in result.error
    assert "line 2" in result.error_trace


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("import sys; sys.exit()", "success"),
        ("import sys; sys.exit(0)", "success"),
        ("exit()", "success"),
        ("raise SystemExit", "success"),
        ("import sys; sys.exit(3)", "failed"),
        ("import sys; sys.exit(256)", "failed"),
        ("import sys; sys.exit('no data')", "failed"),
        ("raise KeyboardInterrupt", "failed"),
    ],
)
def test_exits_mean_what_they_mean_in_a_script(bench: Bench, code: str, status: str):
    result = bench.run(f"result = 7\n{code}")
    assert result.status == status
    assert (result.error is None) == (status == "success")
    if status == "success":
        assert result.output == "7"


def test_every_name_that_code_may_count_on_is_there(bench: Bench):
    code = """
assert __name__ == "__main__"
assert isinstance(Path("x"), Path) and json.loads("1") == 1 and os.getcwd() and sys.argv
assert datetime.datetime(2024, 1, 1) < datetime.datetime.now()
assert callable(execute_sql) and iteration == 3 and run_id.startswith("run_")
assert catalog is None and schema is None and context is None
import dataclasses, pickle
@dataclasses.dataclass
class Point: x: int
assert pickle.loads(pickle.dumps(Point(1))) == Point(1)
result = run_id
"""
    result = bench.run(code)
    assert result.status == "success", result.error_trace
    assert json.loads(result.output) == result.run_id


def test_sql_is_answered_with_columns_rows_and_frames(bench: Bench):
    code = """
few = execute_sql("SELECT silo, count(*) AS vendors FROM vendors GROUP BY silo ORDER BY silo")
all_ = execute_sql("SELECT * FROM invoices", as_pandas=True, preview_rows=2)
result = [few.columns, few.rows, few.truncated, few.row_count, few.df is None,
          len(all_.df), len(all_.rows[:2]), all_.truncated, all_.row_count == len(all_.df)]
"""
    result = bench.run(code)
    assert result.status == "success", result.error_trace
    rows = [["lakeside", 360], ["north", 420], ["valley", 300]]
    assert json.loads(result.output) == [["silo", "vendors"], rows, False, 3, True, 96_189, 2, True, True]


def test_wrong_sql_raises_the_engines_message_where_the_code_asked(bench: Bench):
    result = bench.run("print('asking')\nexecute_sql('SELECT nothing FROM vendors')\n")
    assert result.status == "failed"
    assert result.error.startswith("SqlError: ")
    assert "nothing" in result.error
    assert "line 2" in result.error_trace
    assert "sql.py" not in result.error_trace


def test_one_token_starts_one_run(bench: Bench, tmp_path):
    mark = tmp_path / "started"
    artifact = bench.artifact(f"open({str(mark)!r}, 'a').write('x')")
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: bench.submit(artifact, "token"), range(8)))
    assert len(ids) == 1
    bench.result(ids.pop())
    assert bench.submit(artifact, "token") == bench.submit(artifact, "another attempt's token")
    sleep(0.2)
    assert mark.read_text() == "x"


def test_run_ids_are_safe_names(bench: Bench):
    _, run_id = bench.start("pass")
    assert run_id.replace("_", "").isalnum()


@pytest.mark.parametrize("run_id", ["run_000000000000_00000000", "../../etc", "", "run_x"])
def test_a_run_that_was_never_submitted_is_an_error_and_no_path(bench: Bench, run_id: str):
    with pytest.raises(AgentError):
        bench.backend.poll(run_id)
    with pytest.raises(AgentError):
        bench.backend.cancel(run_id)


def test_a_cancelled_run_ends_soon_keeps_what_it_printed_and_says_that_it_was_cancelled(bench: Bench):
    artifact, run_id = bench.start("import time\nprint('started')\ntime.sleep(600)\n")
    assert bench.backend.poll(run_id) == "running"
    bench.until_printed(artifact, "started")
    began = monotonic()
    bench.backend.cancel(run_id)
    result = bench.result(run_id)
    assert monotonic() - began < 5
    assert (result.status, result.error, result.timed_out) == ("failed", "the run was cancelled", False)
    assert result.stdout == "started\n"


def test_cancelling_a_finished_run_leaves_it_as_it_is(bench: Bench):
    _, run_id = bench.start("result = 1")
    before = bench.result(run_id)
    bench.backend.cancel(run_id)
    assert bench.backend.poll(run_id) == before


def test_the_time_limit_ends_a_loop_and_keeps_what_it_printed(open_bench: OpenBench, name: str):
    bench = open_bench(name, RunLimits(seconds=1.0))
    result = bench.run("print('round and round')\nwhile True:\n    pass\n")
    assert (result.status, result.timed_out, result.stdout) == ("failed", True, "round and round\n")
    assert "longer than 1 s" in result.error
    assert "line 3" in result.error_trace or "line 2" in result.error_trace
    assert result.duration_seconds < 5


def test_a_closing_backend_ends_the_runs_of_this_machine(open_bench: OpenBench, name: str):
    bench = open_bench(name)
    _, run_id = bench.start("import time; time.sleep(600)")
    began = monotonic()
    bench.backend.close()
    assert monotonic() - began < 5
    if name in REMOTE:
        assert bench.backend.poll(run_id) == "running"
        bench.backend.cancel(run_id)
    assert isinstance(bench.result(run_id), ExecutionResult)


def test_another_backend_over_the_same_artifacts_finds_the_result(open_bench: OpenBench, name: str):
    first, second = open_bench(name), open_bench(name)
    artifact, run_id = first.start("print('once')")
    result = first.result(run_id)
    assert second.backend.poll(run_id) == result
    assert second.submit(artifact, f"token of {artifact.artifact_id}") == run_id


def test_many_runs_at_once_do_not_mix(bench: Bench, name: str):
    many = 3 if name in REMOTE else 16
    codes = [f"print(execute_sql('SELECT {n} AS n').rows[0][0]); result = {n}" for n in range(many)]
    with ThreadPoolExecutor(many) as pool:
        results = list(pool.map(bench.run, codes))
    assert [result.stdout for result in results] == [f"{n}\n" for n in range(many)]
    assert [json.loads(result.output) for result in results] == list(range(many))
