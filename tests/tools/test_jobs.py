"""Long jobs in the background: started, looked at, ended, and never started twice."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig

from agent.platforms.local.job_process import cells, magic
from agent.platforms.local.jobs import JobData, LocalJobs, is_alive
from agent.tools import build_tools
from agent.tools.services import JobOrder, JobRun, JobsUnavailable, ToolServices
from tests.tools.conftest import Invoke
from tests.waiting import until

START, POLL, END = "start_databricks_job", "poll_databricks_job", "terminate_databricks_job"
HEADER = "# Databricks notebook source\n"
SLEEPER = f"{HEADER}import time\nprint('begun', flush=True)\ntime.sleep(60)"
EXAMPLES = Path(__file__).parents[2] / "notebooks" / "jobs"


def done(jobs: LocalJobs, run_id: str) -> JobRun:
    def ended() -> JobRun | None:
        run = jobs.poll(run_id)
        return run if run.life_cycle_state in ("TERMINATED", "INTERNAL_ERROR") else None

    return until(ended)


def ran(jobs: LocalJobs, notebooks: Path, source: str, **parameters: str) -> JobRun:
    (notebooks / "job.py").write_text(HEADER + source)
    order = JobOrder("do it", "t1", f"token {source} {parameters}", {"notebook": "job", **parameters})
    return done(jobs, jobs.start(order))


def running(jobs: LocalJobs, notebooks: Path, token: str = "token") -> str:
    (notebooks / "sleeper.py").write_text(SLEEPER)
    run_id = jobs.start(JobOrder("sleep", "t1", token))
    until(lambda: jobs.poll(run_id).life_cycle_state == "RUNNING")
    return run_id


def process_of(jobs_home: Path, run_id: str) -> int:
    return int(json.loads((jobs_home / run_id / "state.json").read_text())["pid"])


def run_id_in(text: str) -> str:
    return text.split("Run ID: ")[1].split(".")[0]


def test_a_job_is_started_looked_at_and_its_result_read(invoke: Invoke, notebooks: Path, jobs: LocalJobs) -> None:
    (notebooks / "count.py").write_text(
        f"{HEADER}n = execute_sql('SELECT count(*) FROM orders').rows[0][0]\n"
        "dbutils.notebook.exit(dbutils.widgets.get('user_request') + str(n * int(dbutils.widgets.get('factor'))))"
    )
    started = invoke(START, {"user_request": "Orders: ", "notebook_params": {"factor": 2}})
    run_id = run_id_in(started.text)
    assert started.text == f"Job started successfully. Run ID: {run_id}. You can check the status later."
    done(jobs, run_id)
    seen = json.loads(invoke(POLL, {"run_id": run_id}).text)
    assert json.loads(invoke(POLL, {"run_id": int(run_id)}).text) == seen
    assert seen["life_cycle_state"] == "TERMINATED"
    assert seen["result_state"] == "SUCCESS"
    assert seen["result"] == "Orders: 120"
    assert seen["tasks"] == [{"task_key": "count", "life_cycle_state": "TERMINATED", "result_state": "SUCCESS"}]
    assert seen["run_page_url"].startswith("file:///")


def test_a_job_can_be_cancelled_and_takes_its_processes_with_it(
    invoke: Invoke, notebooks: Path, jobs: LocalJobs, tmp_path: Path
) -> None:
    (notebooks / "nested.py").write_text(
        f"{HEADER}import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open('child', 'w').write(str(child.pid))\ntime.sleep(60)"
    )
    run_id = run_id_in(invoke(START, {"user_request": "x"}).text)
    child = int(until(lambda: (tmp_path / "jobs" / run_id / "child").exists() and _text(tmp_path, run_id)))
    ended = invoke(END, {"run_id": run_id})
    assert ended.text.startswith("Job cancelled successfully.")
    assert jobs.poll(run_id).result_state == "CANCELED"
    until(lambda: not running_process(child))
    assert invoke(END, {"run_id": run_id}).status == "success"


def _text(tmp_path: Path, run_id: str) -> str:
    return (tmp_path / "jobs" / run_id / "child").read_text()


def running_process(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_job_that_ignores_the_request_to_end_is_made_to(notebooks: Path, tmp_path: Path) -> None:
    jobs = LocalJobs(notebooks, tmp_path / "jobs", JobData(tmp_path), grace_seconds=0.3)
    (notebooks / "stubborn.py").write_text(
        f"{HEADER}import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "open('ready', 'w').close()\ntime.sleep(60)"
    )
    run_id = jobs.start(JobOrder("x", "t1", "token"))
    until(lambda: Path(jobs.poll(run_id).run_page_url.removeprefix("file://"), "ready").exists())
    assert jobs.cancel(run_id).result_state == "CANCELED"


def test_a_finished_job_is_not_cancelled(invoke: Invoke, notebooks: Path, jobs: LocalJobs) -> None:
    run = ran(jobs, notebooks, "1 + 1")
    message = invoke(END, {"run_id": run.run_id})
    assert message.text.startswith("The job was not cancelled.")
    assert jobs.poll(run.run_id) == run


def test_only_the_threads_own_runs_can_be_looked_at_and_ended(invoke: Invoke, notebooks: Path, jobs: LocalJobs) -> None:
    run_id = running(jobs, notebooks)
    for tool in (POLL, END):
        for wrong in (run_id, "12345"):
            message = invoke(tool, {"run_id": wrong}, thread="another")
            assert message.status == "error"
            assert "was started on this thread" in message.text
    assert jobs.poll(run_id).life_cycle_state == "RUNNING"
    jobs.cancel(run_id)


@pytest.mark.parametrize("run_id", ["../x", "/etc", "1/2", "١٢", " ", "-1", "x" * 40])
def test_a_run_id_never_becomes_a_path(invoke: Invoke, run_id: str) -> None:
    assert invoke(POLL, {"run_id": run_id}).status == "error"


def test_run_ids_survive_a_restart_of_the_chat(jobs: LocalJobs, notebooks: Path, tmp_path: Path) -> None:
    run_id = running(jobs, notebooks)
    later = LocalJobs(notebooks, tmp_path / "jobs", JobData(tmp_path))
    assert later.poll(run_id).life_cycle_state == "RUNNING"
    assert later.owns(run_id, "t1")
    assert later.cancel(run_id).result_state == "CANCELED"


def test_a_job_outlives_the_process_that_started_it(notebooks: Path, tmp_path: Path) -> None:
    (notebooks / "slow.py").write_text(f"{HEADER}import time\ntime.sleep(0.5)\n'finished'")
    program = (
        "import os\nfrom pathlib import Path\nfrom agent.platforms.local.jobs import *\n"
        f"jobs = LocalJobs(Path({str(notebooks)!r}), Path({str(tmp_path / 'jobs')!r}), JobData(Path('.')))\n"
        "print(jobs.start(JobOrder('x', 't1', 'token')), flush=True)\nos.kill(os.getpid(), 9)"
    )
    started = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=EXAMPLES.parents[1], check=False
    )
    assert started.returncode == -signal.SIGKILL, started.stderr
    jobs = LocalJobs(notebooks, tmp_path / "jobs", JobData(tmp_path))
    assert done(jobs, started.stdout.strip()).result == "finished"


def test_the_same_token_starts_one_run_only(jobs: LocalJobs, notebooks: Path) -> None:
    (notebooks / "once.py").write_text(f"{HEADER}open('times', 'a').write('x')\n'done'")
    run_ids = {jobs.start(JobOrder("x", "t1", "same")) for _ in range(4)}
    (run_id,) = run_ids
    run = done(jobs, run_id)
    assert jobs.start(JobOrder("x", "t1", "same")) == run_id
    assert Path(run.run_page_url.removeprefix("file://"), "times").read_text() == "x"
    assert jobs.start(JobOrder("x", "t1", "another")) != run_id


def test_a_start_that_a_crash_cut_short_is_made_good_by_the_next(
    jobs: LocalJobs, notebooks: Path, tmp_path: Path
) -> None:
    (notebooks / "once.py").write_text(f"{HEADER}'done'")
    run_id = jobs.start(JobOrder("x", "t1", "same"))
    done(jobs, run_id)
    for leftover in ("state.json", "lock", "stdout.txt", "stderr.txt"):
        (tmp_path / "jobs" / run_id / leftover).unlink()
    assert jobs.poll(run_id).life_cycle_state == "INTERNAL_ERROR"
    assert jobs.start(JobOrder("x", "t1", "same")) == run_id
    assert done(jobs, run_id).result == "done"


def test_the_same_call_of_a_resumed_turn_finds_its_run_and_a_later_turns_call_starts_another(
    invoke: Invoke, notebooks: Path
) -> None:
    (notebooks / "once.py").write_text(f"{HEADER}'done'")
    first, again = (invoke(START, {"user_request": "x"}, call_id="call_1", step=3) for _ in range(2))
    later = invoke(START, {"user_request": "x"}, call_id="call_1", step=9)
    elsewhere = invoke(START, {"user_request": "x"}, thread="t2", call_id="call_1", step=3)
    assert first.text == again.text
    assert len({first.text, later.text, elsewhere.text}) == 3


def test_a_graph_that_broke_after_the_start_resumes_with_the_same_run(services: ToolServices, notebooks: Path) -> None:
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import END as STOP
    from langgraph.graph import MessagesState, StateGraph

    (notebooks / "once.py").write_text(f"{HEADER}'done'")
    started: list[str] = []

    def node(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
        call = {"name": START, "args": {"user_request": "x"}, "id": "call_1", "type": "tool_call"}
        started.append(build_tools(services)[START].invoke(call, config).text)
        if len(started) == 1:
            raise RuntimeError("the process breaks after the job was started")
        return {}

    graph = StateGraph(MessagesState).add_node("node", node).add_edge("__start__", "node").add_edge("node", STOP)
    compiled = graph.compile(InMemorySaver())
    config: RunnableConfig = {"configurable": {"thread_id": "t1"}}
    with pytest.raises(RuntimeError, match="breaks"):
        compiled.invoke({"messages": [("user", "go")]}, config)
    compiled.invoke(None, config)
    compiled.invoke({"messages": [("user", "once more")]}, config)
    assert started[0] == started[1]
    assert started[2] != started[1]


def test_a_notebook_that_fails_says_how(jobs: LocalJobs, notebooks: Path, tmp_path: Path) -> None:
    run = ran(jobs, notebooks, "x = 1\n# COMMAND ----------\n1 / 0")
    assert (run.result_state, run.error, run.state_message) == (
        "FAILED",
        "ZeroDivisionError: division by zero",
        "Run failed",
    )
    trace = (tmp_path / "jobs" / run.run_id / "stderr.txt").read_text()
    assert 'File "<cell 2>"' in trace
    assert "1 / 0" in trace


def test_a_process_that_goes_without_a_word_is_an_internal_error(jobs: LocalJobs, notebooks: Path) -> None:
    run = ran(jobs, notebooks, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    assert (run.life_cycle_state, run.result_state) == ("INTERNAL_ERROR", "FAILED")
    assert run.error == "The run's process ended without a result."


@pytest.mark.parametrize(
    ("source", "result", "state"),
    [
        ("1 + 1", "2", "SUCCESS"),
        ("x = 1", None, "SUCCESS"),
        ("'first'\n# COMMAND ----------\nx = 2", "first", "SUCCESS"),
        ("try:\n    dbutils.notebook.exit('left')\nexcept Exception:\n    pass\n1 / 0", "left", "SUCCESS"),
        ("import sys\nsys.exit(0)", None, "SUCCESS"),
        ("import sys\nsys.exit('no')", None, "FAILED"),
        ("# MAGIC %md\n# MAGIC # A title\n# COMMAND ----------\n3", "3", "SUCCESS"),
        ("# MAGIC %sql\n# MAGIC SELECT count(*) AS n FROM vendors;", "n\n0  3", "SUCCESS"),
        ("# DBTITLE 1,Named\n'named'", "named", "SUCCESS"),
        ("# MAGIC %run ./other", None, "FAILED"),
        ("execute_sql('SELECT 1 AS a, 2 AS a').rows", "[(1, 2)]", "SUCCESS"),
        ("execute_sql('SELECT 1 AS a WHERE false').rows", "[]", "SUCCESS"),
        ("execute_sql('SELECT nonsense')", None, "FAILED"),
        ("dbutils.widgets.text('a', 'default')\ndbutils.widgets.get('a')", "default", "SUCCESS"),
        ("dbutils.widgets.get('unknown')", None, "FAILED"),
        ("import os\nsorted(name for name in os.environ if 'TOKEN' in name or 'KEY' in name)", "[]", "SUCCESS"),
    ],
)
def test_what_notebooks_may_hold(
    jobs: LocalJobs, notebooks: Path, source: str, result: str | None, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_TOKEN", "must not be seen")
    run = ran(jobs, notebooks, source)
    assert run.result_state == state
    assert run.result == result or (run.result or "").strip().endswith(str(result))


def test_a_jupyter_notebook_is_a_job_too(jobs: LocalJobs, notebooks: Path) -> None:
    markdown = {"cell_type": "markdown", "source": ["# Adds up\n", "slowly"]}
    code = {"cell_type": "code", "source": ["x = 20\n", "x + 22"]}
    (notebooks / "adds.ipynb").write_text(json.dumps({"cells": [markdown, code]}))
    assert "- adds: Adds up" in jobs.about
    assert done(jobs, jobs.start(JobOrder("x", "t1", "token", {"notebook": "adds.ipynb"}))).result == "42"


def test_a_great_result_is_cut_and_says_so(jobs: LocalJobs, notebooks: Path) -> None:
    run = ran(jobs, notebooks, "'x' * 3_000_000")
    assert run.result_truncated
    assert len(run.result) == 1_000_000


def test_an_unknown_notebook_and_an_empty_folder_are_named(invoke: Invoke, notebooks: Path, jobs: LocalJobs) -> None:
    nothing = invoke(START, {"user_request": "x"})
    assert (nothing.status, "there is no notebook in" in nothing.text) == ("error", True)
    (notebooks / "good.py").write_text(f"{HEADER}1")
    (notebooks / "plain.py").write_text("print('no notebook')")
    (notebooks / "broken.ipynb").write_text("{")
    assert "- broken: a notebook that can't be read" in jobs.about
    for name in ("../good", "plain", "nowhere"):
        message = invoke(START, {"user_request": "x", "notebook_params": {"notebook": name}})
        assert message.status == "error"
        assert "there are broken, good" in message.text


def test_a_place_that_can_not_hold_runs_is_named(notebooks: Path, tmp_path: Path) -> None:
    (notebooks / "good.py").write_text(f"{HEADER}1")
    (tmp_path / "file").write_text("no folder")
    jobs = LocalJobs(notebooks, tmp_path / "file", JobData(tmp_path))
    with pytest.raises(JobsUnavailable, match="can't be written: Not a directory"):
        jobs.start(JobOrder("x", "t1", "token"))


def test_looking_at_a_run_never_keeps_it_from_starting(jobs: LocalJobs, notebooks: Path, tmp_path: Path) -> None:
    (notebooks / "once.py").write_text(f"{HEADER}'done'")
    run_id = jobs.start(JobOrder("x", "t1", "token"))
    done(jobs, run_id)
    folder = tmp_path / "jobs" / run_id
    (folder / "state.json").unlink()
    lock = os.open(folder / "lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    threading.Timer(0.3, os.close, [lock]).start()
    jobs.start(JobOrder("x", "t1", "token"))
    assert done(jobs, run_id).result == "done"
    until(lambda: not is_alive(folder))


@pytest.mark.parametrize("name", ["profile_tables", "count_values"])
def test_the_example_jobs_work_on_any_data(
    name: str, tmp_path: Path, warehouse_home: Path, data: Path, warehouse: object
) -> None:
    jobs = LocalJobs(EXAMPLES, tmp_path / "jobs", JobData(warehouse_home, sample=False, paths=[data]))
    run = done(jobs, jobs.start(JobOrder("Look at everything", "t1", name, {"notebook": name})))
    assert run.result_state == "SUCCESS", run.error
    expected = {"profile_tables": '"files.data.orders", "rows": 60', "count_values": "different values"}
    assert expected[name] in run.result


@pytest.mark.parametrize(
    ("cell", "expected"),
    [("%sql SELECT 1", ("sql", "SELECT 1")), ("%md\n# x", ("md", "# x")), ("x % 3", None), ("print('%s')", None)],
)
def test_magics_are_told_from_python(cell: str, expected: tuple[str, str] | None) -> None:
    assert magic(cell) == expected


def test_a_source_notebook_is_split_at_its_marks() -> None:
    mark = "\n# COMMAND ----------\n"
    source = f"{HEADER}a = 1\n{mark}\n# MAGIC %sql\n# MAGIC SELECT 1\n{mark}# DBTITLE 1,T\nb = 2\n"
    assert cells(source, is_ipynb=False) == ["a = 1", "%sql\nSELECT 1", "b = 2"]
