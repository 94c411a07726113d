"""Exactly one run, whatever happens between its start and its end; and why there is none, by the setting to change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.compute import Environment
from databricks.sdk.service.jobs import JobEnvironment, NotebookTask, Task

from agent.artifacts.volume import VolumeArtifacts
from agent.execution.databricks_job import DatabricksJobBackend, Pace, Watched
from agent.execution.run import RunLimits
from agent.workspace.files import VolumeFiles
from checkpointers import Saver
from graph.errors import BackendUnavailable
from tests.databricks.bench import Bench, Deployed, Host, OpenBench
from tests.workspace import faults
from tests.workspace.fixtures import Target
from tests.workspace.workspace import Workspace

SUBMIT = "/api/2.2/jobs/runs/submit"


def started(ws: Workspace, bench: Bench, artifact_id: str) -> int:
    """How many runs of the workspace were started for an artifact."""
    runs = [run for run in ws.jobs.runs() if artifact_id in str(run.settings)]
    return len(runs)


@pytest.mark.parametrize(
    "fault",
    [
        faults.reset(after=True),
        faults.status(500, after=True),
        faults.status(504, after=True),
        faults.malformed(),
        faults.truncated(),
        faults.empty(),
        faults.status(500),
        faults.too_many_requests(0),
    ],
    ids=str,
)
def test_an_answer_that_is_lost_is_asked_for_again_and_one_run_starts(
    ws: Workspace, bench: Bench, fault: faults.Fault
) -> None:
    with ws.jobs.hold("QUEUED"):
        ws.faults.on(SUBMIT, fault, times=2)
        artifact, run_id = bench.start("result = 1")
        assert started(ws, bench, artifact.artifact_id) == 1
        assert bench.backend.poll(run_id) in ("queued", "running")
        bench.backend.cancel(run_id)
        assert bench.result(run_id).error == "the run was cancelled"


def test_no_clear_answer_at_all_is_an_error_and_asking_later_starts_one_run(
    ws: Workspace, bench: Bench, target: Target
) -> None:
    artifact = bench.artifact("result = 1")
    with ws.jobs.hold("QUEUED"):
        with ws.faults.during(SUBMIT, faults.empty()):
            with pytest.raises(BackendUnavailable, match="unknown"):
                bench.submit(artifact, "token")
        run_id = bench.submit(artifact, "token")
        assert started(ws, bench, artifact.artifact_id) == 1
        bench.backend.cancel(run_id)


class Killed(BaseException):
    """The process ends here."""


@dataclass(frozen=True)
class DyingFiles(VolumeFiles):
    """Ends the process before or after it writes a file of this name."""

    name: str = ""
    after: bool = False

    def write(self, name: str, data: bytes) -> None:
        if name.endswith(self.name) and not self.after:
            raise Killed
        super().write(name, data)
        if name.endswith(self.name):
            raise Killed


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", ["code.py", "meta.json", "notebook.ipynb", "order.json", "run.json"])
def test_killed_between_any_two_steps_there_is_one_run(
    ws: Workspace, bench: Bench, target: Target, saver: Saver, name: str, after: bool
) -> None:
    artifact = bench.artifact("result = 1")
    dying = DyingFiles(target.client, bench.artifacts.volume.root, name, after)
    compute = bench.backend._compute
    with ws.jobs.hold("QUEUED"):
        with pytest.raises(Killed):
            DatabricksJobBackend(VolumeArtifacts(dying), RunLimits(), saver, target.client, compute).submit(
                artifact, "token", Host()
            )
        ids = {bench.submit(artifact, "token"), bench.submit(artifact, "token of another attempt")}
        assert len(ids) == 1
        assert started(ws, bench, artifact.artifact_id) == 1
        bench.backend.cancel(ids.pop())


def test_a_run_is_found_again_from_another_machine(ws: Workspace, bench: Bench, open_bench: OpenBench) -> None:
    artifact, run_id = bench.start("import time\nprint('here', flush=True)\ntime.sleep(1)\nresult = 'there'")
    elsewhere = open_bench()
    assert elsewhere.backend.poll(run_id) == "running"
    assert elsewhere.result(run_id).output == '"there"'
    assert elsewhere.artifacts.result(artifact.artifact_id) == bench.result(run_id)
    files = {name for name, _ in bench.artifacts.volume.walk(artifact.artifact_id)}
    assert {"code.py", "order.json", "run.json", "started.json", "stdout.txt", "result.json", "notebook.ipynb"} <= files


def test_a_run_of_eight_seconds_is_looked_at_less_than_five_times() -> None:
    pace, at, looks = Pace(), 0.0, 0
    watched = Watched(1, pace.first)
    assert watched.due >= monotonic()
    pause = pace.first
    while at < 8:
        at, looks, pause = at + pause, looks + 1, min(pause * pace.growth, pace.longest)
    assert looks <= 5


@pytest.fixture
def executor(target: Target, deployed: Deployed) -> Callable[..., int]:
    """Makes a job of the executor's notebook."""

    def make(**settings: Any) -> int:
        task = Task(
            "executor",
            notebook_task=NotebookTask(deployed.notebook),
            environment_key="executor",
            disable_auto_optimization=True,
        )
        environments = [JobEnvironment("executor", Environment(environment_version="4"))]
        made = target.client().jobs.create(name="executor", tasks=[task], environments=environments, **settings)
        assert made.job_id is not None
        return made.job_id

    return make


def test_the_executors_job_runs_it(open_bench: OpenBench, executor: Callable[..., int]) -> None:
    bench = open_bench(job_id=executor(), notebook=None)
    assert bench.run("result = spark.range(4).count()").output == "4"


def test_a_run_too_many_of_a_job_says_which_setting_to_raise(
    ws: Workspace, open_bench: OpenBench, executor: Callable[..., int]
) -> None:
    bench = open_bench(job_id=executor(), notebook=None)
    with ws.jobs.hold("PENDING"):
        _, first = bench.start("result = 1")
        result = bench.run("result = 2")
        bench.backend.cancel(first)
    assert result.status == "failed"
    assert "max_concurrent_runs" in str(result.error)
    assert "limits.max_parallel" in str(result.error)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("INTERNAL_ERROR", "the platform failed"),
        ("CLUSTER_ERROR", "execution.cluster_id"),
        ("LIBRARY_INSTALLATION_ERROR", "execution.wheel"),
        ("WORKSPACE_RUN_LIMIT_EXCEEDED", "quota"),
        ("STORAGE_ACCESS_ERROR", "databricks.volume"),
    ],
)
def test_what_the_platform_did_is_said_with_the_setting(ws: Workspace, bench: Bench, code: str, told: str) -> None:
    ws.jobs.break_next(code)
    result = bench.run("result = 1")
    assert result.status == "failed"
    assert code in str(result.error)
    assert told in str(result.error)


@pytest.mark.parametrize(
    ("compute", "told"),
    [
        ({"job_id": 999_999}, "execution.job_id"),
        ({"notebook": "/Users/nobody/executor"}, "execution.notebook"),
        ({"cluster_id": "no-cluster"}, "execution.cluster_id"),
    ],
    ids=["job", "notebook", "cluster"],
)
def test_compute_that_is_not_there_is_a_result_that_names_the_setting(
    open_bench: OpenBench, compute: dict[str, Any], told: str
) -> None:
    result = open_bench(**compute).run("result = 1")
    assert result.status == "failed"
    assert told in str(result.error)


def test_a_job_that_one_may_not_run_is_named(
    ws: Workspace, target: Target, open_bench: OpenBench, executor: Callable[..., int], saver: Saver
) -> None:
    bench = open_bench(job_id=executor(), notebook=None)
    nobody = ws.principals.add_user(f"nobody-{monotonic()}@example.com")
    client = WorkspaceClient(host=ws.url, token=ws.token_for(nobody.name))
    backend = DatabricksJobBackend(bench.artifacts, RunLimits(), saver, lambda: client, bench.backend._compute)
    run_id = backend.submit(bench.artifact("result = 1"), "token", Host())
    result = bench.result(run_id)
    assert "may not be used by who is signed in" in str(result.error)
    assert "execution.job_id" in str(result.error)


def test_a_volume_that_is_not_there_is_named(target: Target) -> None:
    files = VolumeFiles(target.client, "/Volumes/main/default/nowhere")
    with pytest.raises(BackendUnavailable, match=r"databricks\.volume"):
        files.write("x", b"x")


def test_code_that_leaves_the_process_loses_no_output(bench: Bench) -> None:
    result = bench.run("import os, sys\nprint('said', flush=True)\nos.write(2, b'whispered')\nos._exit(3)")
    assert (result.status, result.stdout, result.stderr) == ("failed", "said\n", "whispered")
    assert "without a result" in str(result.error)


def test_spark_is_not_stopped_and_a_sleep_ends_at_the_limit(open_bench: OpenBench) -> None:
    bench = open_bench(RunLimits(seconds=2.0))
    result = bench.run("spark.stop()\nprint(spark.range(2).count(), flush=True)\nimport time\ntime.sleep(600)")
    assert (result.status, result.timed_out, result.stdout) == ("failed", True, "2\n")
    assert "line 4" in str(result.error_trace)
    assert "spark.stop() is ignored" in result.stderr
