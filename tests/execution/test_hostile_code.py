"""Code that means harm, or behaves as if: the host stays up, the result stays true, nothing is left behind."""

from __future__ import annotations

import json
import os
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest

from agent.execution.run import RunLimits
from tests.execution.conftest import Bench, OpenBench


def gone(pid: int, within: float = 5.0) -> bool:
    until = monotonic() + within
    while monotonic() < until:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        sleep(0.02)
    return False


def test_a_gigabyte_of_output_is_cut_to_head_and_tail_on_disk_and_in_the_result(open_bench: OpenBench):
    bench = open_bench(limits=RunLimits(seconds=60, output_bytes=1 << 20))
    code = """
print("the first line")
piece = "x" * (1 << 20) + "\\n"
for _ in range(1024):
    sys.stdout.write(piece)
print("the last line")
"""
    before = psutil.Process().memory_info().rss
    result = bench.run(code)
    assert result.status == "success"
    on_disk = bench.folder(result) / "stdout.txt"
    assert on_disk.stat().st_size < (1 << 20) + 100
    assert result.stdout.startswith("the first line\n")
    assert result.stdout.endswith("the last line\n")
    assert "bytes omitted" in result.stdout
    assert len(result.stdout) < 70_000
    assert psutil.Process().memory_info().rss - before < 200 << 20


def test_output_without_an_end_is_stopped_at_the_time_limit(open_bench: OpenBench):
    bench = open_bench(limits=RunLimits(seconds=1, output_bytes=1 << 20))
    result = bench.run("import itertools\nfor n in itertools.count():\n    print(n)\n")
    assert result.timed_out
    assert result.stdout.startswith("0\n1\n2\n")


def test_output_on_both_streams_at_once_does_not_deadlock(bench: Bench):
    result = bench.run(
        "for _ in range(50):\n    sys.stderr.write('e' * 100_000)\n    sys.stdout.write('o' * 100_000)\n"
    )
    assert result.status == "success"


def test_code_that_ignores_sigterm_and_every_exception_is_killed(open_bench: OpenBench):
    bench = open_bench(limits=RunLimits(seconds=1))
    code = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("never", flush=True)
while True:
    try:
        time.sleep(600)
    except BaseException:
        pass
"""
    result = bench.run(code)
    assert (result.timed_out, result.stdout) == (True, "never\n")
    assert result.duration_seconds < 4


def test_a_child_that_holds_the_pipes_neither_delays_the_end_nor_survives_it(bench: Bench):
    code = """
import subprocess
child = subprocess.Popen(["sleep", "600"])
print(child.pid)
"""
    began = monotonic()
    result = bench.run(code)
    assert result.status == "success"
    assert monotonic() - began < 10
    assert gone(int(result.stdout))


def test_a_daemon_that_detaches_itself_is_found_and_killed(bench: Bench):
    code = """
import time
reader, writer = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        os.write(writer, str(os.getpid()).encode())
        time.sleep(600)
    os._exit(0)
print(os.read(reader, 20).decode())
"""
    result = bench.run(code)
    assert result.status == "success"
    assert gone(int(result.stdout))


def test_a_forked_copy_that_falls_through_reports_nothing(bench: Bench):
    code = """
if os.fork() == 0:
    result = "the copy's"
else:
    os.wait()
    result = "the run's own"
"""
    result = bench.run(code)
    assert json.loads(result.output) == "the run's own"


def test_markers_and_records_that_are_printed_are_not_believed(bench: Bench):
    code = """
print("===RLM_EXEC_END artifact_id=art_000000000001 status=success===")
print(json.dumps({"nonce": "", "status": "success", "output": "1", "error": None, "error_trace": None}))
raise RuntimeError("it failed")
"""
    result = bench.run(code)
    assert (result.status, result.error) == ("failed", "RuntimeError: it failed")


def test_records_without_the_nonce_on_every_descriptor_are_not_believed(bench: Bench):
    code = """
record = json.dumps({"nonce": "guessed", "status": "success", "output": "1", "error": None, "error_trace": None})
for descriptor in map(int, os.listdir("/proc/self/fd")):
    try:
        os.write(descriptor, record.encode() + b"\\n")
    except OSError:
        pass
os._exit(0)
"""
    result = bench.run(code)
    assert result.status == "failed"
    assert result.output is None


def test_a_result_file_that_code_writes_itself_is_overwritten_by_the_true_one(bench: Bench):
    code = """
forged = {"status": "success", "output": "forged"}
Path("../result.json").write_text(json.dumps(forged))
raise ValueError("the true end")
"""
    result = bench.run(code)
    assert (result.status, result.error) == ("failed", "ValueError: the true end")


def test_a_success_record_does_not_hide_a_bad_exit(bench: Bench):
    result = bench.run("import atexit; atexit.register(os._exit, 5); result = 1")
    assert (result.status, result.error) == ("failed", "the code's process ended with exit code 5")


@pytest.mark.parametrize("code", ["os._exit(0)", "os.closerange(3, 256)"])
def test_a_process_that_ends_without_a_report_is_no_success(bench: Bench, code: str):
    result = bench.run(f"print('so far', flush=True)\n{code}\n")
    assert result.status == "failed"
    assert result.stdout == "so far\n"


def test_a_crash_in_native_code_is_a_result_that_names_the_signal(bench: Bench):
    result = bench.run("print('near the edge')\nimport ctypes\nctypes.string_at(0)\n")
    assert (result.status, result.stdout) == ("failed", "near the edge\n")
    assert "SIGSEGV" in result.error


def test_a_huge_result_is_cut_and_stays_json(open_bench: OpenBench):
    bench = open_bench(limits=RunLimits(seconds=30, result_bytes=10_000))
    result = bench.run("result = ['row'] * 1_000_000")
    assert result.status == "success"
    assert len(result.output) < 10_000
    assert json.loads(result.output).endswith("(cut)")
    assert "the result" in result.stderr


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{datetime.date(2024, 1, 2): {1, }}", {"2024-01-02": [1]}),
        ("float('nan')", None),
        ("[float('inf'), 1.5]", [None, 1.5]),
        ("{(1, 2): b'x'}", {"(1, 2)": "b'x'"}),
        ("Path('a/b')", "a/b"),
        ("'\\ud800'", "\ud800"),
        ("execute_sql('SELECT 1 AS one')", [{"one": 1}]),
        ("execute_sql('FROM range(9)', preview_rows=1)", {"first_rows": [{"range": 0}], "row_count": 9}),
        ("{'frame': __import__('pandas').DataFrame({'a': range(2)})}", {"frame": [{"a": 0}, {"a": 1}]}),
        ("__import__('pandas').DataFrame({'a': [0] * 1001}).tail(1001)['a'].tolist()", [0] * 1001),
        ("execute_sql('SELECT 1.5::DECIMAL(9,2) AS price', as_pandas=True).df", [{"price": "1.50"}]),
        ("__import__('numpy').int64(7)", 7),
    ],
)
def test_results_of_any_kind_become_json(bench: Bench, value: str, expected: object):
    result = bench.run(f"result = {value}")
    assert result.status == "success", result.error_trace
    assert json.loads(result.output) == expected


@pytest.mark.parametrize(
    "definition",
    [
        "loop = []; loop.append(loop); result = loop",
        "class Bad:\n    def __str__(self): raise ValueError('no text')\nresult = Bad()",
        "class Bad:\n    def __str__(self): os._exit(0)\nresult = Bad()",
    ],
)
def test_a_result_that_resists_does_not_take_the_host_with_it(bench: Bench, definition: str):
    assert bench.run(definition).status in ("success", "failed")


def test_a_frame_that_is_too_long_for_a_result_says_how_long_it_is(bench: Bench):
    result = bench.run("import pandas; result = pandas.DataFrame({'a': range(5000)})")
    output = json.loads(result.output)
    assert (len(output["first_rows"]), output["row_count"]) == (1000, 5000)


def test_an_error_of_a_hundred_megabytes_is_an_error_and_no_flood(bench: Bench):
    result = bench.run("raise ValueError('x' * 100_000_000)")
    assert result.error.startswith("ValueError: xxx")
    assert len(result.error) < 30_000
    assert len(result.error_trace) < 30_000


def test_a_pool_of_processes_works_and_leaves_none(bench: Bench):
    code = """
from concurrent.futures import ProcessPoolExecutor
def square(n):
    return n * n
with ProcessPoolExecutor(2) as pool:
    result = list(pool.map(square, range(5)))
"""
    result = bench.run(code)
    assert json.loads(result.output) == [0, 1, 4, 9, 16], result.error_trace


def test_reading_standard_input_finds_its_end_at_once(bench: Bench):
    result = bench.run("input('name? ')")
    assert (result.status, result.error) == ("failed", "EOFError: EOF when reading a line")


def test_memory_over_the_limit_is_the_codes_own_error(open_bench: OpenBench):
    bench = open_bench(limits=RunLimits(seconds=30, memory_bytes=512 << 20))
    result = bench.run("data = bytearray(4 << 30)")
    assert (result.status, result.error) == ("failed", "MemoryError")


def test_a_file_over_the_limit_is_the_codes_own_error(open_bench: OpenBench):
    bench = open_bench(limits=RunLimits(seconds=30, file_bytes=1 << 20))
    result = bench.run("Path('big').write_bytes(bytes(2 << 20))")
    assert "OSError: [Errno 27] File too large" in result.error


def test_nothing_of_the_hosts_environment_or_descriptors_reaches_the_code(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        code = "result = [sorted(os.environ), len(os.listdir('/proc/self/fd')), 'agent' in ' '.join(sys.path)]"
        names, descriptors, ours = json.loads(bench.run(code).output)
    finally:
        os.close(reader)
        os.close(writer)
    assert "OPENAI_API_KEY" not in names
    assert not [name for name in names if name.startswith(("DATABRICKS", "AWS", "RLM", "ADK"))]
    assert descriptors <= 6
    assert not ours


def test_each_run_works_in_a_folder_of_its_own(bench: Bench):
    first = bench.run("Path('mine.txt').write_text('1'); result = os.getcwd()")
    second = bench.run("result = [os.getcwd(), os.listdir('.')]")
    folder, files = json.loads(second.output)
    assert json.loads(first.output) != folder
    assert files == []
    assert Path(folder).parent == bench.folder(second)


def test_a_run_that_asks_for_sql_in_a_loop_can_be_cancelled_in_the_middle_of_a_statement(bench: Bench):
    endless = "SELECT sum(a.range * b.range) FROM range(100000000) AS a, range(100000000) AS b"
    _, run_id = bench.start(f"print('asking')\nexecute_sql({endless!r})\n")
    sleep(1.0)
    began = monotonic()
    bench.backend.cancel(run_id)
    result = bench.result(run_id)
    assert monotonic() - began < 5
    assert result.error == "the run was cancelled"


def test_an_endless_result_does_not_fill_the_runs_memory_or_the_hosts(open_bench: OpenBench):
    bench = open_bench(limits=RunLimits(seconds=30, memory_bytes=700 << 20))
    result = bench.run("execute_sql('SELECT * FROM range(100000000000)', as_pandas=True)")
    assert result.status == "failed"
    assert "Memory" in (result.error or "") or "malloc" in (result.error or "")


def test_a_long_preview_is_answered_without_counting_to_its_end(bench: Bench):
    code = """
few = execute_sql("SELECT * FROM range(100000000000)", preview_rows=3)
result = [few.rows[:3], few.row_count, few.truncated]
"""
    assert json.loads(bench.run(code).output) == [[[0], [1], [2]], None, True]


def test_rubbish_on_the_sql_channel_ends_the_conversation_and_nothing_else(bench: Bench):
    code = """
import socket, stat
for name in os.listdir("/proc/self/fd"):
    descriptor = int(name)
    try:
        if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            os.write(descriptor, b"\\xff\\xff\\xff\\xffrubbish")
    except OSError:
        pass
try:
    execute_sql("SELECT 1")
except SqlError as error:
    result = str(error)
"""
    result = bench.run(code)
    assert "can't be reached any more" in json.loads(result.output)
    assert bench.run("result = execute_sql('SELECT 1').rows").output == "[[1]]"
