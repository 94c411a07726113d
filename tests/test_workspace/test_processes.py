"""A task's process has what a real one has, and no more: each of these a wrong product would have passed before."""

import io
import json
import shutil
from pathlib import Path

import pytest
from databricks.sdk.service.compute import Environment, Library
from databricks.sdk.service.jobs import JobEnvironment, NotebookTask, PythonWheelTask, SubmitTask, TaskDependency

from tests.test_workspace.runs import ended, notebook, once, value
from tests.workspace import mounts
from tests.workspace.fixtures import Place, Target
from tests.workspace.wheel import make_wheel
from tests.workspace.workspace import Workspace

pytestmark = pytest.mark.workspace


def uploaded(target: Target, place: Place, wheel: Path) -> str:
    path = f"{place.volume}/{wheel.name}"
    target.client().files.upload(path, io.BytesIO(wheel.read_bytes()), overwrite=True)
    return path


def environment(*dependencies: str) -> list[JobEnvironment]:
    return [JobEnvironment("own", Environment(environment_version="4", dependencies=list(dependencies)))]


def test_the_checkout_and_undeclared_packages_are_not_there(target: Target, place: Place) -> None:
    path = notebook(
        target,
        place,
        "main",
        "import importlib.util, json\n"
        "names = ['tests', 'agent', 'graph', 'langgraph', 'duckdb', 'pytest', 'pandas', 'databricks.sdk', 'pyspark']",
        "dbutils.notebook.exit(json.dumps([n for n in names if importlib.util.find_spec(n)]))",
    )
    run = target.client().jobs.submit(tasks=[once(path)])
    assert json.loads(value(target, run.run_id)) == ["pandas", "databricks.sdk", "pyspark"]


def test_a_wheel_brings_itself_and_what_it_requires(target: Target, place: Place, tmp_path: Path) -> None:
    text = "import duckdb\n\ndef answer():\n    return duckdb.sql('SELECT 42').fetchall()[0][0]\n"
    wheel = make_wheel(tmp_path, "stand-in-own", {"own/__init__.py": text}, requires=("duckdb>=1",))
    path = notebook(target, place, "main", "import own, sys", "dbutils.notebook.exit(f'{own.answer()} {own.__file__}')")
    run = target.client().jobs.submit(
        tasks=[once(path, environment_key="own")], environments=environment(uploaded(target, place, wheel))
    )
    answer, _, file = value(target, run.run_id).partition(" ")
    assert answer == "42"
    assert "site-packages/own" in file


def test_a_wheel_task_gets_its_arguments(ws: Workspace, target: Target, place: Place, tmp_path: Path) -> None:
    text = (
        "import sys\nfrom pyspark.sql import SparkSession\nfrom databricks.sdk.runtime import dbutils\n"
        "def main():\n    n = SparkSession.builder.getOrCreate().range(3).count()\n"
        "    print(sys.argv[1:], n, dbutils.secrets.listScopes() is not None)\n"
    )
    wheel = make_wheel(tmp_path, "stand-in-job", {"own_job.py": text}, scripts={"own-job": "own_job:main"})
    task = PythonWheelTask("stand-in-job", "own-job", parameters=["--level", "1"])
    run = target.client().jobs.submit(
        tasks=[SubmitTask("a", python_wheel_task=task, environment_key="own", disable_auto_optimization=True)],
        environments=environment(uploaded(target, place, wheel)),
    )
    left = target.client().jobs.get_run_output(ended(target, run.run_id).tasks[0].run_id)
    assert left.error is None, left.error_trace
    assert "['--level', '1'] 3 True" in left.logs


@pytest.mark.parametrize("dependency", ["no-such-package-at-all", "pandas>=99", "/Volumes/main/nowhere/files/x.whl"])
def test_what_cant_be_installed_ends_the_run_before_it_begins(
    ws: Workspace, target: Target, place: Place, dependency: str
) -> None:
    path = notebook(target, place, "main", "print(1)")
    run_id = (
        target.client()
        .jobs.submit(tasks=[once(path, environment_key="own")], environments=environment(dependency))
        .run_id
    )
    run = ended(target, run_id)
    assert run.state.life_cycle_state.value == "INTERNAL_ERROR"
    assert run.status.termination_details.code.value == "LIBRARY_INSTALLATION_ERROR"
    assert ws.journal.count("task_started", run=run_id) == 0


def test_libraries_on_a_cluster(ws: Workspace, target: Target, place: Place, tmp_path: Path) -> None:
    ws.clusters.add("stand-in-libraries", spark_version="15.4.x-scala2.12")
    wheel = make_wheel(tmp_path, "stand-in-lib", {"own_lib.py": "NAME = 'own'\n"})
    path = notebook(
        target, place, "main", "import os, own_lib\ndbutils.notebook.exit(os.environ['DATABRICKS_RUNTIME_VERSION'])"
    )
    task = once(path, existing_cluster_id="stand-in-libraries", libraries=[Library(whl=uploaded(target, place, wheel))])
    assert value(target, target.client().jobs.submit(tasks=[task]).run_id) == "15.4"


def test_the_runtime_signs_in_and_not_the_environment(ws: Workspace, target: Target, place: Place) -> None:
    path = notebook(
        target,
        place,
        "main",
        "import json, os, subprocess, sys\nfrom databricks.sdk import WorkspaceClient",
        "named = sorted(n for n in os.environ if n.startswith(('DATABRICKS_', 'SPARK_REMOTE')))",
        "client = WorkspaceClient()\nwho = [client.config.auth_type, client.current_user.me().user_name]",
        "code = 'from databricks.sdk import WorkspaceClient; WorkspaceClient().current_user.me()'",
        "child = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True)",
        "dbutils.notebook.exit(json.dumps([named, who, child.returncode, child.stderr[-300:]]))",
    )
    named, who, code, error = json.loads(value(target, target.client().jobs.submit(tasks=[once(path)]).run_id))
    assert named == ["DATABRICKS_RUNTIME_VERSION"]
    assert who == ["runtime", ws.user]
    assert code != 0
    assert "cannot configure default credentials" in error


def test_every_builder_gives_the_tasks_own_session(target: Target, place: Place) -> None:
    path = notebook(
        target,
        place,
        "main",
        "from pyspark.sql import SparkSession\nfrom databricks.connect import DatabricksSession",
        "same = [SparkSession.builder.getOrCreate() is spark, DatabricksSession.builder.getOrCreate() is spark]",
        "import subprocess, sys\n"
        "code = 'from pyspark.sql import SparkSession; SparkSession.builder.getOrCreate()'\n"
        "child = subprocess.run([sys.executable, '-c', code], capture_output=True).returncode",
        "dbutils.notebook.exit(f'{same} {child != 0}')",
    )
    assert value(target, target.client().jobs.submit(tasks=[once(path)]).run_id) == "[True, True] True"


def test_tasks_leave_values_for_each_other(target: Target, place: Place) -> None:
    leaves = notebook(target, place, "leaves", "dbutils.jobs.taskValues.set('n', {'rows': 3})")
    takes = notebook(
        target,
        place,
        "takes",
        "got = dbutils.jobs.taskValues.get(taskKey='first', key='n')['rows']",
        "missing = dbutils.jobs.taskValues.get(taskKey='first', key='other', default='none')",
        "dbutils.notebook.exit(f\"{got} {missing} {dbutils.widgets.get('given')}\")",
    )
    given = {"given": "{{tasks.first.values.n}}"}
    run = target.client().jobs.submit(
        tasks=[
            SubmitTask("first", notebook_task=NotebookTask(leaves)),
            SubmitTask("last", notebook_task=NotebookTask(takes, given), depends_on=[TaskDependency("first")]),
        ]
    )
    last = next(task for task in ended(target, run.run_id).tasks if task.task_key == "last")
    left = target.client().jobs.get_run_output(last.run_id)
    assert left.notebook_output.result == '3 none {"rows": 3}', left.error_trace


@pytest.mark.skipif(not mounts.available() or not shutil.which("cc"), reason="no mount namespaces, or no compiler")
def test_volumes_have_no_locks_links_or_appending(target: Target, place: Place) -> None:
    cell = f"""
import errno, fcntl, os, sqlite3
there, here = '{place.volume}', '.'
def refused(act):
    try:
        act()
    except OSError as error:
        return error.errno == errno.EOPNOTSUPP
    except sqlite3.Error:
        return 'sqlite'
    return 'done'
def tried(root):
    file = f'{{root}}/f'
    with open(file, 'w') as f:
        f.write('x')
        found = [refused(lambda: fcntl.flock(f, fcntl.LOCK_EX)), refused(lambda: fcntl.lockf(f, fcntl.LOCK_EX))]
    found.append(refused(lambda: os.link(file, f'{{root}}/g')))
    found.append(refused(lambda: os.symlink(file, f'{{root}}/h')))
    found.append(refused(lambda: open(file, 'a').close()))
    found.append(refused(lambda: sqlite3.connect(f'{{root}}/d').execute('CREATE TABLE t (a)')))
    os.replace(file, f'{{root}}/moved')
    return found
"""
    path = notebook(
        target, place, "main", cell, "import json\ndbutils.notebook.exit(json.dumps([tried(there), tried(here)]))"
    )
    there, here = json.loads(value(target, target.client().jobs.submit(tasks=[once(path)]).run_id))
    assert there == [True] * 5 + ["sqlite"]
    assert here == ["done"] * 6


def test_an_exit_value_ends_at_five_megabytes(target: Target, place: Place) -> None:
    path = notebook(target, place, "main", "dbutils.notebook.exit('é' * (3 * 1024 * 1024))")
    run = ended(target, target.client().jobs.submit(tasks=[once(path)]).run_id)
    left = target.client().jobs.get_run_output(run.tasks[0].run_id).notebook_output
    assert left.truncated
    assert len(left.result.encode()) <= 5 * 1024 * 1024
