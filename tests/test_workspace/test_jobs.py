"""Jobs 2.2 with databricks-sdk: real processes behind them."""

import base64
import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from databricks.sdk.errors import BadRequest, InvalidParameterValue, NotFound
from databricks.sdk.service.compute import Environment
from databricks.sdk.service.jobs import (
    JobEnvironment,
    JobParameterDefinition,
    NotebookTask,
    Run,
    RunIf,
    RunLifeCycleState,
    RunLifecycleStateV2State,
    RunResultState,
    SparkPythonTask,
    SubmitTask,
    Task,
    TaskDependency,
)
from databricks.sdk.service.workspace import ImportFormat, Language

from tests.workspace.fixtures import Place, Target
from tests.workspace.workspace import Workspace

pytestmark = pytest.mark.workspace
HEADER = "# Databricks notebook source\n"
CELL = "\n# COMMAND ----------\n"


def notebook(target: Target, place: Place, name: str, *cells: str) -> str:
    """A notebook in Databricks's source format; its path."""
    path = f"{place.directory}/{name}"
    source = HEADER + CELL.join(cells)
    content = base64.b64encode(source.encode()).decode()
    target.client().workspace.import_(
        path, content=content, format=ImportFormat.SOURCE, language=Language.PYTHON, overwrite=True
    )
    return path


def submit(target: Target, *tasks: SubmitTask, **settings: object) -> Run:
    """Run tasks once and wait."""
    return target.client().jobs.submit(run_name="stand-in test", tasks=list(tasks), **settings).result()


def output(target: Target, run: Run, index: int = 0) -> object:
    return target.client().jobs.get_run_output(run.tasks[index].run_id)


def test_a_notebook_gets_its_parameters_and_gives_its_result(target: Target, place: Place) -> None:
    path = notebook(
        target,
        place,
        "main",
        "dbutils.widgets.text('who', 'nobody')\nprint('working')",
        "# MAGIC %md\n# MAGIC # A title",
        "# MAGIC %pip install -q pandas",
        "dbutils.notebook.exit('hello ' + dbutils.widgets.get('who'))",
        "raise RuntimeError('never reached')",
    )
    run = submit(target, SubmitTask("a", notebook_task=NotebookTask(path, base_parameters={"who": "you"})))
    assert (run.state.life_cycle_state, run.state.result_state) == (
        RunLifeCycleState.TERMINATED,
        RunResultState.SUCCESS,
    )
    assert run.status.state == RunLifecycleStateV2State.TERMINATED
    assert output(target, run).notebook_output.result == "hello you"


def test_a_notebook_has_spark_sql_and_what_it_runs(target: Target, place: Place) -> None:
    notebook(target, place, "names", "answer = 42")
    notebook(target, place, "child", "dbutils.notebook.exit('child got ' + dbutils.widgets.get('x'))")
    path = notebook(
        target,
        place,
        "main",
        "# MAGIC %run ./names",
        f"spark.range(7).write.saveAsTable('{place.table('t')}')",
        f"# MAGIC %sql\n# MAGIC SELECT count(*) AS n FROM {place.table('t')}",
        "import json\nn = _sqldf.collect()[0].n\ndisplay(_sqldf)",
        "child = dbutils.notebook.run('child', 60, {'x': '1'})",
        "dbutils.notebook.exit(json.dumps([answer, n, child]))",
    )
    run = submit(target, SubmitTask("a", notebook_task=NotebookTask(path)))
    assert json.loads(output(target, run).notebook_output.result) == [42, 7, "child got 1"]


def test_secrets_and_files_in_a_notebook(target: Target, place: Place) -> None:
    client, scope = target.client(), place.schema
    client.secrets.create_scope(scope)
    try:
        client.secrets.put_secret(scope, "key", string_value="s3cret")
        path = notebook(
            target,
            place,
            "main",
            f"value = dbutils.secrets.get('{scope}', 'key')",
            f"open('{place.volume}/out.txt', 'w').write(value[::-1])",
            f"names = [f.name for f in dbutils.fs.ls('{place.volume}')]",
            "dbutils.notebook.exit(','.join(names))",
        )
        run = submit(target, SubmitTask("a", notebook_task=NotebookTask(path)))
        assert output(target, run).notebook_output.result == "out.txt"
        assert client.files.download(f"{place.volume}/out.txt").contents.read() == b"terc3s"
    finally:
        client.secrets.delete_scope(scope)


def test_a_jupyter_notebook(target: Target, place: Place) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title"], "metadata": {}},
        {"cell_type": "code", "source": ["x = 20\n", "x += 1"], "metadata": {}, "outputs": [], "execution_count": None},
        {"cell_type": "code", "source": ["dbutils.notebook.exit(x * 2)"], "metadata": {}, "outputs": []},
    ]
    text = json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    path = f"{place.directory}/jupyter"
    target.client().workspace.import_(
        path, content=base64.b64encode(text.encode()).decode(), format=ImportFormat.JUPYTER
    )
    run = submit(target, SubmitTask("a", notebook_task=NotebookTask(path)))
    assert output(target, run).notebook_output.result == "42"


def test_a_failing_notebook_ends_with_its_trace(target: Target, place: Place) -> None:
    path = notebook(target, place, "main", "print('before')", "def f():\n    return 1 / 0\nf()")
    run = submit(target, SubmitTask("a", notebook_task=NotebookTask(path)))
    assert run.state.result_state == RunResultState.FAILED
    left = output(target, run)
    assert "ZeroDivisionError: division by zero" in left.error
    assert "return 1 / 0" in left.error_trace


def test_a_python_file_gets_arguments_and_leaves_logs(target: Target, place: Place) -> None:
    script = b"import sys\nprint('args', sys.argv[1:])\nsys.exit(0)\n"
    target.client().files.upload(f"{place.volume}/script.py", io.BytesIO(script))
    task = SparkPythonTask(f"{place.volume}/script.py", parameters=["a", "{{task.name}}"])
    plain = JobEnvironment("plain", Environment(environment_version="4"))
    run = submit(target, SubmitTask("first", spark_python_task=task, environment_key="plain"), environments=[plain])
    assert run.state.result_state == RunResultState.SUCCESS
    assert "args ['a', 'first']" in output(target, run).logs


def test_tasks_wait_for_each_other_and_fail_together(target: Target, place: Place) -> None:
    good = NotebookTask(notebook(target, place, "good", "print(1)"))
    bad = NotebookTask(notebook(target, place, "bad", "raise ValueError('no')"))
    run = submit(
        target,
        SubmitTask("bad", notebook_task=bad),
        SubmitTask("good", notebook_task=good),
        SubmitTask("after_bad", notebook_task=good, depends_on=[TaskDependency("bad")]),
        SubmitTask("anyway", notebook_task=good, depends_on=[TaskDependency("bad")], run_if=RunIf.ALL_DONE),
        SubmitTask("after_good", notebook_task=good, depends_on=[TaskDependency("good")]),
    )
    results = {task.task_key: task.state.result_state for task in run.tasks}
    assert results == {
        "bad": RunResultState.FAILED,
        "good": RunResultState.SUCCESS,
        "after_bad": RunResultState.UPSTREAM_FAILED,
        "anyway": RunResultState.SUCCESS,
        "after_good": RunResultState.SUCCESS,
    }
    assert run.state.result_state == RunResultState.FAILED


def test_a_job_with_parameters(target: Target, place: Place) -> None:
    path = notebook(target, place, "main", "dbutils.notebook.exit(dbutils.widgets.get('day'))")
    client = target.client()
    task = Task("a", notebook_task=NotebookTask(path, base_parameters={"day": "{{job.parameters.day}}"}))
    name = f"{place.schema} job"
    job = client.jobs.create(name=name, tasks=[task], parameters=[JobParameterDefinition("day", "monday")])
    try:
        assert [known.job_id for known in client.jobs.list(name=name)] == [job.job_id]
        assert client.jobs.get(job.job_id).settings.tasks[0].task_key == "a"
        run = client.jobs.run_now(job.job_id, job_parameters={"day": "friday"}).result()
        assert output(target, run).notebook_output.result == "friday"
        assert [known.run_id for known in client.jobs.list_runs(job_id=job.job_id)] == [run.run_id]
    finally:
        client.jobs.delete(job.job_id)
    with pytest.raises(NotFound):
        client.jobs.get(job.job_id)


def test_the_same_token_is_the_same_run(ws: Workspace, target: Target, place: Place) -> None:
    path = notebook(target, place, "main", "print(1)")
    jobs, token = target.client().jobs, f"{place.schema}-token"
    first = jobs.submit(tasks=[SubmitTask("a", notebook_task=NotebookTask(path))], idempotency_token=token)
    again = jobs.submit(tasks=[SubmitTask("a", notebook_task=NotebookTask(path))], idempotency_token=token)
    assert first.run_id == again.run_id
    first.result()
    assert ws.journal.count("run_started", token=token) == 1
    assert ws.journal.count("task_started", run=first.run_id) == 1


def test_cancelling_kills_the_whole_process_group(ws: Workspace, target: Target, place: Place) -> None:
    path = notebook(
        target,
        place,
        "main",
        "import os, subprocess, sys, time",
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open('{place.volume}/pids', 'w').write(f'{{os.getpid()}} {{child.pid}}')",
        "time.sleep(600)",
    )
    client = target.client()
    run_id = client.jobs.submit(tasks=[SubmitTask("a", notebook_task=NotebookTask(path))]).run_id
    pids = Path(str(ws.volumes.root) + place.volume.removeprefix("/Volumes")) / "pids"
    until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    client.jobs.cancel_run(run_id)
    until(lambda: client.jobs.get_run(run_id).state.life_cycle_state == RunLifeCycleState.TERMINATED)
    run = client.jobs.get_run(run_id)
    assert run.state.result_state == RunResultState.CANCELED
    assert run.status.termination_details.code.value == "USER_CANCELED"
    until(lambda: not any(alive(int(pid)) for pid in pids.read_text().split()))
    client.jobs.cancel_run(run_id)


def test_a_timeout_keeps_what_was_printed(ws: Workspace, target: Target, place: Place) -> None:
    path = notebook(target, place, "main", "print('so far')\nimport time\ntime.sleep(600)")
    run = submit(target, SubmitTask("a", notebook_task=NotebookTask(path), timeout_seconds=4))
    assert run.state.result_state == RunResultState.TIMEDOUT
    assert "so far" in ws.jobs.log(run.tasks[0].run_id)
    assert output(target, run).logs is None


def test_retries_count_attempts(ws: Workspace, target: Target, place: Place) -> None:
    mark = f"{place.volume}/mark"
    cell = f"import os\nif not os.path.exists('{mark}'):\n    open('{mark}', 'w').close()\n    raise OSError('first')"
    path = notebook(target, place, "main", cell)
    run = submit(target, SubmitTask("a", notebook_task=NotebookTask(path), max_retries=2))
    assert run.state.result_state == RunResultState.SUCCESS
    assert run.tasks[0].attempt_number == 1
    assert ws.journal.count("task_started", subject=run.tasks[0].run_id) == 2


@pytest.mark.parametrize("state", ["QUEUED", "BLOCKED", "PENDING"])
def test_runs_wait_on_demand_and_can_be_cancelled(ws: Workspace, target: Target, place: Place, state: str) -> None:
    path, jobs = notebook(target, place, "main", "print(1)"), target.client().jobs
    with ws.jobs.hold(state):
        waiting = jobs.submit(tasks=[SubmitTask("a", notebook_task=NotebookTask(path))])
        cancelled = jobs.submit(tasks=[SubmitTask("a", notebook_task=NotebookTask(path))])
        shown = jobs.get_run(waiting.run_id)
        assert (shown.state.life_cycle_state.value, shown.status.state.value) == (state, state)
        jobs.cancel_run(cancelled.run_id)
        until(lambda: jobs.get_run(cancelled.run_id).state.result_state == RunResultState.CANCELED)
    assert waiting.result().state.result_state == RunResultState.SUCCESS
    assert ws.journal.count("task_started", run=cancelled.run_id) == 0


def test_the_output_of_a_whole_run_is_refused(target: Target, place: Place) -> None:
    path = notebook(target, place, "main", "print(1)")
    run = submit(target, SubmitTask("a", notebook_task=NotebookTask(path)))
    with pytest.raises((BadRequest, InvalidParameterValue), match="multiple tasks"):
        target.client().jobs.get_run_output(run.run_id)


def test_a_task_sees_nothing_of_the_hosts_environment(
    ws: Workspace, target: Target, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIVATE_TO_THE_HOST", "1")
    path = notebook(target, place, "main", "import os\ndbutils.notebook.exit(str('PRIVATE_TO_THE_HOST' in os.environ))")
    run = submit(target, SubmitTask("a", notebook_task=NotebookTask(path)))
    assert output(target, run).notebook_output.result == "False"


def test_a_task_field_that_is_not_covered_is_named(ws: Workspace, target: Target) -> None:
    from databricks.sdk.service.jobs import SqlTask

    run = submit(target, SubmitTask("a", sql_task=SqlTask(warehouse_id="x")))
    assert run.state.result_state == RunResultState.FAILED
    assert "does not cover the task field(s) sql_task" in output(target, run).error


def until(done: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
