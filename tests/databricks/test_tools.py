"""Genie, jobs, catalog, files and secrets of a workspace, as the analyst's tools ask for them."""

from __future__ import annotations

import threading
from uuid import uuid4

import pytest
from databricks.sdk.service.jobs import NotebookTask, Task

from agent.platforms.databricks.catalog import UnityCatalog
from agent.platforms.databricks.genie import NoGenie, SpaceGenie
from agent.platforms.databricks.jobs import WorkspaceJobs
from agent.platforms.databricks.secrets import find_secrets
from agent.platforms.databricks.volumes import SavedFiles
from agent.tools.services import FileRefused, GenieUnavailable, JobOrder, JobsUnavailable
from agent.workspace.files import VolumeFiles
from agent.workspace.statements import Statements
from checkpointers import Saver
from tests.test_workspace.runs import ended, notebook
from tests.workspace import faults
from tests.workspace.fixtures import Place, Target
from tests.workspace.workspace import Workspace


@pytest.fixture
def space(ws: Workspace) -> str:
    space_id = f"space_{uuid4().hex[:8]}"
    ws.genie.add_space(space_id, "Sales")
    ws.genie.answer(space_id, "how many", sql="SELECT id, id * 2 AS twice FROM range(3)", text="Three.")
    return space_id


@pytest.fixture
def genie(target: Target, space: str, saver: Saver) -> SpaceGenie:
    return SpaceGenie(target.client, space, saver)


def test_genie_answers_with_text_sql_and_rows_and_goes_on_in_the_threads_conversation(
    ws: Workspace, genie: SpaceGenie, space: str
) -> None:
    answer = genie.ask("How many are there?", "t1")
    assert answer.text == "Three."
    assert answer.sql == "SELECT id, id * 2 AS twice FROM range(3)"
    assert (answer.columns, answer.row_count, len(answer.rows)) == (("id", "twice"), 3, 3)
    genie.ask("And how many now?", "t1")
    genie.ask("How many here?", "t2")
    found = [known for known in ws.genie.conversations.values() if known.space == space]
    assert sorted(len(one.messages) for one in found) == [1, 2]


def test_a_conversation_that_is_gone_is_begun_anew(ws: Workspace, genie: SpaceGenie, space: str) -> None:
    genie.ask("How many are there?", "t1")
    for known in [one.id for one in ws.genie.conversations.values() if one.space == space]:
        del ws.genie.conversations[known]
    assert genie.ask("How many are there?", "t1").text == "Three."


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"sql": "SELECT nothing FROM nowhere"}, "it failed"),
        ({"error": "no idea"}, "no idea"),
        ({"text": "x", "ends": "CANCELLED"}, "cancelled"),
    ],
)
def test_each_bad_end_of_a_question_is_said(
    ws: Workspace, genie: SpaceGenie, space: str, answer: dict[str, str], told: str
) -> None:
    ws.genie.answer(space, "bad", **answer)
    with pytest.raises(GenieUnavailable, match=told):
        genie.ask("bad", "t1")


def test_a_result_that_expired_is_asked_for_again(ws: Workspace, genie: SpaceGenie, space: str) -> None:
    ws.genie.answer(space, "old", sql="SELECT 1 AS one", ends="QUERY_RESULT_EXPIRED")
    assert genie.ask("old", "t1").rows == (("1",),)


def test_a_question_that_never_ends_is_left_when_the_request_is_cancelled(
    ws: Workspace, genie: SpaceGenie, space: str
) -> None:
    ws.genie.answer(space, "slow", text="Late.", stuck="ASKING_AI")
    cancelled = threading.Event()
    threading.Timer(0.2, cancelled.set).start()
    with pytest.raises(GenieUnavailable, match="cancelled"):
        genie.ask("slow", "t1", cancelled)


def test_a_rate_limit_waits(ws: Workspace, genie: SpaceGenie, space: str) -> None:
    ws.faults.on(f"/api/2.0/genie/spaces/{space}/start-conversation", faults.too_many_requests(0), times=2)
    assert genie.ask("How many are there?", "t1").text == "Three."


def test_a_space_that_is_not_there_is_named(target: Target, saver: Saver) -> None:
    with pytest.raises(GenieUnavailable, match=r"genie\.space_id"):
        SpaceGenie(target.client, "nowhere", saver).ask("How many?", "t1")
    with pytest.raises(GenieUnavailable, match=r"genie\.space_id"):
        NoGenie().ask("How many?", "t1")


@pytest.fixture
def jobs(target: Target, place: Place, saver: Saver) -> WorkspaceJobs:
    path = notebook(target, place, "job", "dbutils.notebook.exit('did ' + dbutils.widgets.get('user_request'))")
    made = target.client().jobs.create(name="job", tasks=[Task("only", notebook_task=NotebookTask(path))])
    return WorkspaceJobs(target.client, made.job_id, saver)


def test_a_job_is_started_once_looked_at_and_owned_by_its_thread(
    ws: Workspace, target: Target, jobs: WorkspaceJobs
) -> None:
    order = JobOrder("count", "t1", uuid4().hex)
    ws.faults.on("/api/2.2/jobs/run-now", faults.reset(after=True))
    run_id = jobs.start(order)
    assert jobs.start(order) == run_id
    assert jobs.owns(run_id, "t1")
    assert not jobs.owns(run_id, "t2")
    assert not jobs.owns("../1", "t1")
    ended(target, int(run_id))
    run = jobs.poll(run_id)
    assert (run.result_state, run.result, run.tasks[0].task_key) == ("SUCCESS", "did count", "only")
    assert run.run_page_url.endswith(run_id)


def test_a_job_is_ended(ws: Workspace, jobs: WorkspaceJobs) -> None:
    with ws.jobs.hold("QUEUED"):
        run_id = jobs.start(JobOrder("count", "t1", uuid4().hex))
        assert jobs.cancel(run_id).result_state == "CANCELED"


def test_a_job_that_is_not_there_is_named(target: Target, saver: Saver) -> None:
    for job_id in (None, 987_654):
        with pytest.raises(JobsUnavailable, match="databricks_job_id"):
            WorkspaceJobs(target.client, job_id, saver).start(JobOrder("count", "t1", uuid4().hex))


def test_the_catalog_is_searched_with_bound_words(target: Target, place: Place) -> None:
    client = target.client()
    for table in ("orders", "customers"):
        client.statement_execution.execute_statement(
            f"CREATE TABLE {place.table(table)} (id INT, region STRING)", target.warehouse_id, wait_timeout="30s"
        )
    statements = Statements(target.client, target.warehouse_id)
    catalog = UnityCatalog(lambda: statements, place.catalog, place.schema)
    assert [table.name for table in catalog.tables()] == ["customers", "orders"]
    assert [column.name for column in catalog.tables()[0].columns] == ["id", "region"]
    found = catalog.search("REGION", limit=1)
    assert (len(found.rows), found.total) == (1, 2)
    assert catalog.search("region|id", operator="NOT LIKE").total == 0
    assert catalog.search("orders").total == 2
    assert catalog.search("x' OR '1'='1").total == 0


def test_files_are_saved_in_the_volume_and_nowhere_else(target: Target, place: Place) -> None:
    saved = SavedFiles(VolumeFiles(target.client, f"{place.volume}/saved"))
    assert saved.save("reports/a.md", "ä") == f"{place.volume}/saved/reports/a.md"
    assert target.client().files.download(f"{place.volume}/saved/reports/a.md").contents.read() == "ä".encode()
    with pytest.raises(FileRefused):
        saved.save("../a.md", "x")


def test_a_key_comes_from_the_environment_and_then_from_the_scope(ws: Workspace, target: Target) -> None:
    scope = f"scope{uuid4().hex[:8]}"
    ws.secrets.create_scope(scope)
    ws.secrets.put(scope, "OPENAI_API_KEY", b"from the scope")
    first = {"HF_TOKEN": "from the environment"}.get
    secrets = find_secrets(first, target.client, scope)
    assert secrets("HF_TOKEN") == "from the environment"
    assert secrets("OPENAI_API_KEY") == "from the scope"
    assert secrets("NOTHING") is None
    assert find_secrets(first, target.client, None)("OPENAI_API_KEY") is None
