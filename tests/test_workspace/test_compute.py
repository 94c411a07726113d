"""Concurrency, queues, compute and what breaks beneath a run."""

import io

import pytest
from databricks.sdk.errors import BadRequest, DatabricksError, InvalidParameterValue
from databricks.sdk.service.compute import Environment
from databricks.sdk.service.jobs import (
    CronSchedule,
    JobEnvironment,
    JobSettings,
    NotebookTask,
    PauseStatus,
    QueueSettings,
    RunLifeCycleState,
    RunResultState,
    SparkPythonTask,
    SubmitTask,
    Task,
    TaskDependency,
)

from tests.test_workspace.runs import ended, job, notebook, once, until, value
from tests.workspace.fixtures import Place, Target
from tests.workspace.workspace import Workspace

pytestmark = pytest.mark.workspace


def waiting(place: Place) -> str:
    """A cell that goes on until a file is there."""
    return f"import os, time\nwhile not os.path.exists('{place.volume}/go'):\n    time.sleep(0.05)"


def go(target: Target, place: Place) -> None:
    target.client().files.upload(f"{place.volume}/go", io.BytesIO(b"x"))


def test_a_second_run_of_a_job_is_skipped(ws: Workspace, target: Target, place: Place) -> None:
    made, jobs = job(target, notebook(target, place, "main", waiting(place))), target.client().jobs
    first = jobs.run_now(made.job_id)
    second = jobs.get_run(jobs.run_now(made.job_id).run_id)
    assert second.state.life_cycle_state == RunLifeCycleState.SKIPPED
    assert second.state.result_state == RunResultState.MAXIMUM_CONCURRENT_RUNS_REACHED
    assert second.status.termination_details.code.value == "MAX_CONCURRENT_RUNS_EXCEEDED"
    go(target, place)
    assert ended(target, first.run_id).state.result_state == RunResultState.SUCCESS
    assert ws.journal.count("task_started", run=second.run_id) == 0


def test_a_queue_lets_runs_wait_in_their_order(target: Target, place: Place) -> None:
    path = notebook(target, place, "main", waiting(place), "dbutils.notebook.exit(str(time.time()))")
    made, jobs = job(target, path, queue=QueueSettings(True)), target.client().jobs
    runs = [jobs.run_now(made.job_id).run_id for _ in range(3)]
    third = jobs.get_run(runs[2])
    assert third.state.life_cycle_state == RunLifeCycleState.QUEUED
    assert third.status.queue_details.code.value == "MAX_CONCURRENT_RUNS_REACHED"
    jobs.cancel_run(runs[1])
    assert ended(target, runs[1]).state.result_state == RunResultState.CANCELED
    go(target, place)
    assert float(value(target, runs[0])) < float(value(target, runs[2]))


def test_as_many_run_at_once_as_the_job_says(ws: Workspace, target: Target, place: Place) -> None:
    made = job(target, notebook(target, place, "main", waiting(place)), max_concurrent_runs=2)
    jobs = target.client().jobs
    runs = [jobs.run_now(made.job_id).run_id for _ in range(3)]
    until(lambda: all(ws.journal.count("task_started", run=run) for run in runs[:2]))
    assert jobs.get_run(runs[2]).state.life_cycle_state == RunLifeCycleState.SKIPPED
    go(target, place)
    assert {ended(target, run).state.result_state for run in runs[:2]} == {RunResultState.SUCCESS}


BAD = [
    (
        SubmitTask("a", notebook_task=NotebookTask("/x"), existing_cluster_id="none"),
        None,
        "Cluster none does not exist",
    ),
    (SubmitTask("a", notebook_task=NotebookTask("/x"), environment_key="e"), None, "Environment 'e'.*not defined"),
    (SubmitTask("a", spark_python_task=SparkPythonTask("/x.py")), None, "environment_key is required"),
    (
        SubmitTask("a", notebook_task=NotebookTask("/x"), environment_key="e"),
        [JobEnvironment("e", Environment())],
        "environment_version",
    ),
]


@pytest.mark.parametrize(("task", "environments", "message"), BAD)
def test_compute_that_is_not_there_is_refused(
    target: Target, task: SubmitTask, environments: list[JobEnvironment] | None, message: str
) -> None:
    with pytest.raises((BadRequest, InvalidParameterValue), match=message):
        target.client().jobs.submit(tasks=[task], environments=environments)


def test_a_job_cluster_must_be_defined(target: Target) -> None:
    with pytest.raises((BadRequest, InvalidParameterValue), match="Job cluster 'c' is not defined"):
        target.client().jobs.create(tasks=[Task("a", notebook_task=NotebookTask("/x"), job_cluster_key="c")])


def test_a_cluster_that_does_not_start_is_an_internal_error(ws: Workspace, target: Target, place: Place) -> None:
    ws.clusters.add("stand-in-broken")
    ws.clusters.break_start("stand-in-broken", "no capacity")
    task = once(notebook(target, place, "main", "print(1)"), existing_cluster_id="stand-in-broken")
    run = ended(target, target.client().jobs.submit(tasks=[task]).run_id)
    assert run.state.life_cycle_state == RunLifeCycleState.INTERNAL_ERROR
    assert run.status.termination_details.code.value == "CLUSTER_ERROR"
    assert "no capacity" in run.state.state_message


@pytest.mark.parametrize("code", ["INTERNAL_ERROR", "CLUSTER_ERROR", "LIBRARY_INSTALLATION_ERROR"])
def test_the_platform_breaks_on_demand(ws: Workspace, target: Target, place: Place, code: str) -> None:
    path = notebook(target, place, "main", "print(1)")
    ws.jobs.break_next(code)
    run = ended(target, target.client().jobs.submit(tasks=[once(path)]).run_id)
    assert run.state.life_cycle_state == RunLifeCycleState.INTERNAL_ERROR
    assert (run.state.result_state, run.status.termination_details.code.value) == (RunResultState.FAILED, code)
    assert ended(target, target.client().jobs.submit(tasks=[once(path)]).run_id).state.result_state.value == "SUCCESS"


def test_a_driver_is_lost_while_it_works(ws: Workspace, target: Target, place: Place) -> None:
    path = notebook(target, place, "main", f"open('{place.volume}/begun', 'w').close()", "import time\ntime.sleep(600)")
    ws.jobs.break_next("DRIVER_ERROR", after=2)
    run = ended(target, target.client().jobs.submit(tasks=[once(path)]).run_id)
    assert run.status.termination_details.code.value == "DRIVER_ERROR"
    assert [entry.name for entry in target.client().files.list_directory_contents(place.volume)] == ["begun"]


@pytest.mark.parametrize(("switched_off", "attempts"), [(False, 2), (True, 1)])
def test_serverless_tries_again_unless_that_is_switched_off(
    ws: Workspace, target: Target, place: Place, switched_off: bool, attempts: int
) -> None:
    task = NotebookTask(notebook(target, place, "main", "raise OSError('no')"))
    asked = SubmitTask("a", notebook_task=task, max_retries=0, disable_auto_optimization=switched_off)
    run = ended(target, target.client().jobs.submit(tasks=[asked]).run_id)
    assert run.state.result_state == RunResultState.FAILED
    assert ws.journal.count("task_started", run=run.run_id) == attempts


def test_parameters_end_at_ten_thousand_characters(target: Target, place: Place) -> None:
    made = job(target, notebook(target, place, "main", "print(1)"))
    with pytest.raises((BadRequest, InvalidParameterValue), match="10000 bytes"):
        target.client().jobs.run_now(made.job_id, notebook_params={"code": "x" * 10_001})


def test_a_payload_over_the_limit_is_refused(target: Target) -> None:
    with pytest.raises(DatabricksError, match="exceeds the limit"):
        target.client().jobs.submit(
            tasks=[SubmitTask("a", notebook_task=NotebookTask("/x", {"code": "x" * (11 * 1024 * 1024)}))]
        )


def test_a_job_is_updated_and_reset(target: Target, place: Place) -> None:
    path, jobs = (
        notebook(target, place, "main", "dbutils.notebook.exit(dbutils.widgets.get('x'))"),
        target.client().jobs,
    )
    made = job(target, path, max_concurrent_runs=3, tags={"a": "1"})
    more = Task("b", notebook_task=NotebookTask(path, {"x": "new"}))
    jobs.update(made.job_id, new_settings=JobSettings(name="renamed", tasks=[more]), fields_to_remove=["tags"])
    settings = jobs.get(made.job_id).settings
    assert (settings.name, settings.max_concurrent_runs, settings.tags) == ("renamed", 3, None)
    assert [task.task_key for task in settings.tasks] == ["a", "b"]
    jobs.reset(made.job_id, JobSettings(name="reset", tasks=[more]))
    settings = jobs.get(made.job_id).settings
    assert (settings.name, settings.max_concurrent_runs, len(settings.tasks)) == ("reset", None, 1)
    assert value(target, jobs.run_now(made.job_id).run_id) == "new"


def test_a_repair_runs_what_failed_and_what_comes_after(ws: Workspace, target: Target, place: Place) -> None:
    good = notebook(target, place, "good", "print(1)")
    bad = notebook(target, place, "bad", f"import os\nassert os.path.exists('{place.volume}/go')")
    run = target.client().jobs.submit(
        tasks=[
            SubmitTask("before", notebook_task=NotebookTask(good)),
            SubmitTask(
                "bad",
                notebook_task=NotebookTask(bad),
                depends_on=[TaskDependency("before")],
                disable_auto_optimization=True,
            ),
            SubmitTask("after", notebook_task=NotebookTask(good), depends_on=[TaskDependency("bad")]),
        ]
    )
    assert ended(target, run.run_id).state.result_state == RunResultState.FAILED
    go(target, place)
    target.client().jobs.repair_run(run.run_id, rerun_all_failed_tasks=True)
    again = ended(target, run.run_id)
    assert {task.task_key: task.state.result_state.value for task in again.tasks} == dict.fromkeys(
        ("before", "bad", "after"), "SUCCESS"
    )
    assert ws.journal.count("task_started", run=run.run_id, key="before") == 1
    assert len(target.client().jobs.get_run(run.run_id, include_history=True).repair_history) == 1


def test_a_schedule_fires_unless_it_is_paused(ws: Workspace, target: Target, place: Place) -> None:
    path, jobs = notebook(target, place, "main", "print(1)"), target.client().jobs
    made = job(target, path, schedule=CronSchedule("0 0 6 * * ?", "UTC", PauseStatus.PAUSED))
    assert ws.jobs.fire(made.job_id) is None
    jobs.update(made.job_id, new_settings=JobSettings(schedule=CronSchedule("0 0 6 * * ?", "UTC")))
    run = ws.jobs.fire(made.job_id)
    assert run is not None
    assert ended(target, run.id).trigger.value == "PERIODIC"
    with pytest.raises((BadRequest, InvalidParameterValue), match="cron"):
        jobs.update(made.job_id, new_settings=JobSettings(schedule=CronSchedule("every day", "UTC")))
