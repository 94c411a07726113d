"""Every kind of fault, as it reaches the real client."""

import io
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.errors import (
    DatabricksError,
    InternalError,
    OperationTimeout,
    PermissionDenied,
    TemporarilyUnavailable,
    TooManyRequests,
    Unauthenticated,
)
from databricks.sdk.service.jobs import NotebookTask, SubmitTask
from databricks.sdk.service.sql import Disposition, Format

from tests.workspace import faults
from tests.workspace.fixtures import Place, Target
from tests.workspace.workspace import Workspace

pytestmark = pytest.mark.workspace
ME = "/api/2.0/preview/scim/v2/Me"


def client(ws: Workspace, **settings: object) -> WorkspaceClient:
    """A client that gives up soon."""
    chosen = {"retry_timeout_seconds": 1, "http_timeout_seconds": 5, **settings}
    return WorkspaceClient(config=Config(host=ws.url, token=ws.token, **chosen))


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.status(500), InternalError),
        (faults.status(502), DatabricksError),
        (faults.status(504), DatabricksError),
        (faults.expired_token(401), Unauthenticated),
        (faults.expired_token(403), PermissionDenied),
        (faults.truncated(), requests.exceptions.RequestException),
        (faults.malformed(), ValueError),
    ],
)
def test_what_the_client_does_not_retry(ws: Workspace, fault: faults.Fault, error: type[Exception]) -> None:
    ws.faults.on(ME, fault)
    with pytest.raises(error):
        client(ws).current_user.me()
    assert client(ws).current_user.me().user_name == ws.user


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.reset(), (OSError, TimeoutError)),
        (faults.status(503), (TemporarilyUnavailable, TimeoutError)),
        (faults.too_many_requests(0), (TooManyRequests, TimeoutError)),
        (faults.hang(20), (OperationTimeout, OSError, TimeoutError)),
    ],
)
def test_what_lasts_reaches_the_caller(
    ws: Workspace, fault: faults.Fault, error: type[Exception] | tuple[type[Exception], ...]
) -> None:
    with ws.faults.during(ME, fault), pytest.raises(error):
        client(ws, http_timeout_seconds=1).current_user.me()
    assert any(struck[2] == fault for struck in ws.faults.struck)


@pytest.mark.parametrize("fault", [faults.reset(), faults.status(503), faults.too_many_requests(0)])
def test_what_passes_is_retried(ws: Workspace, fault: faults.Fault) -> None:
    ws.faults.on(ME, fault)
    assert client(ws, retry_timeout_seconds=20).current_user.me().user_name == ws.user


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_arrives_in_both_forms(ws: Workspace, as_date: bool) -> None:
    ws.faults.on(ME, faults.too_many_requests(2, as_date=as_date))
    answer = requests.get(ws.url + ME, headers={"Authorization": f"Bearer {ws.token}"}, timeout=5)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"].endswith("GMT") is as_date


def test_retry_after_is_waited_for(ws: Workspace) -> None:
    ws.faults.on(ME, faults.too_many_requests(2))
    started = time.monotonic()
    client(ws, retry_timeout_seconds=20).current_user.me()
    assert time.monotonic() - started >= 2


def test_an_empty_body(ws: Workspace) -> None:
    ws.faults.on(ME, faults.empty())
    assert client(ws).current_user.me().user_name is None


def test_the_handshake_is_exempt(ws: Workspace) -> None:
    with ws.faults.during("*", faults.status(500)):
        made = client(ws)
        assert made.config.host == ws.url
        with pytest.raises(InternalError):
            made.current_user.me()


def test_a_rule_may_let_some_pass_and_strike_often(ws: Workspace) -> None:
    ws.faults.on(ME, faults.status(500), skip=1, times=2)
    assert client(ws).current_user.me().user_name == ws.user
    for _ in range(2):
        with pytest.raises(InternalError):
            client(ws).current_user.me()
    assert client(ws).current_user.me().user_name == ws.user


def test_a_listing_may_lag_behind(ws: Workspace, target: Target, place: Place) -> None:
    api = client(ws).secrets
    before = {scope.name for scope in api.list_scopes()}
    api.create_scope(place.schema)
    ws.faults.on("/api/2.0/secrets/scopes/list", faults.stale(), times=2)
    for _ in range(2):
        assert {scope.name for scope in api.list_scopes()} == before
    assert place.schema in {scope.name for scope in api.list_scopes()}
    api.delete_scope(place.schema)


@pytest.mark.parametrize("token", [None, "one-token"])
def test_a_lost_answer_runs_a_job_twice_without_a_token(
    ws: Workspace, target: Target, place: Place, token: str | None
) -> None:
    task = SubmitTask("a", notebook_task=NotebookTask(f"{place.directory}/none"))
    mark = f"{token}-{place.schema}" if token else None
    started = ws.journal.count("run_started")
    ws.faults.on("/api/2.2/jobs/runs/submit", faults.reset(after=True))
    client(ws, retry_timeout_seconds=20).jobs.submit(tasks=[task], idempotency_token=mark)
    assert ws.journal.count("run_started") - started == (1 if token else 2)


CLIENT = """
import io
import sys
from databricks.sdk import WorkspaceClient
client = WorkspaceClient(host=sys.argv[1], token=sys.argv[2])
print("ready", flush=True)
client.files.upload(sys.argv[3], io.BytesIO(b"x"))
"""


def test_the_journal_survives_the_clients_death(ws: Workspace, place: Place) -> None:
    path = f"{place.volume}/written"
    ws.faults.on(f"/api/2.0/fs/files{path}", faults.hang(30, after=True), method="PUT")
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", CLIENT, ws.url, ws.token, path], stdout=subprocess.PIPE
    )
    until(lambda: ws.journal.count("file_written", subject=path) == 1)
    process.kill()
    process.communicate()
    assert ws.journal.count("file_written", subject=path) == 1
    assert ws.journal.path.exists()


def test_sql_meets_faults_too(ws: Workspace, target: Target) -> None:
    ws.faults.on("/api/2.0/sql/statements*", faults.status(503))
    response = client(ws, retry_timeout_seconds=20).statement_execution.execute_statement("SELECT 1", ws.warehouse_id)
    assert response.result.data_array == [["1"]]


def test_a_result_link_expires_and_is_given_anew(ws: Workspace, target: Target) -> None:
    api = client(ws).statement_execution
    ws.link_seconds = -1
    external = {"disposition": Disposition.EXTERNAL_LINKS, "format": Format.ARROW_STREAM, "wait_timeout": "30s"}
    done = api.execute_statement("SELECT 1 AS one", ws.warehouse_id, **external)
    answer = requests.get(done.result.external_links[0].external_link, timeout=5)
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/xml")
    assert "expired" in answer.text
    ws.link_seconds = 900
    again = api.get_statement_result_chunk_n(done.statement_id, 0).external_links[0].external_link
    assert requests.get(again, timeout=5).status_code == 200


def test_storage_fails_where_a_rule_names_it_and_nowhere_else(ws: Workspace, target: Target, place: Place) -> None:
    files = target.client().files
    files.upload(f"{place.volume}/a", io.BytesIO(b"x"))
    with ws.faults.during("*", faults.status(500)):
        url = f"{ws.url}/_stand-in/files{place.volume}/a?expires={time.time() + 60}"
        assert requests.get(url, timeout=5).content == b"x"
    ws.faults.on(faults.FILES, faults.storage(503))
    answer = requests.get(url, timeout=5)
    assert (answer.status_code, answer.text) == (503, "<Error><Code>SlowDown</Code></Error>")


@pytest.mark.parametrize(
    ("code", "error_code"),
    [(400, "INVALID_PARAMETER_VALUE"), (403, "PERMISSION_DENIED"), (404, "RESOURCE_DOES_NOT_EXIST"), (429, None)],
)
def test_error_codes_fit_their_status(ws: Workspace, code: int, error_code: str | None) -> None:
    ws.faults.on(ME, faults.status(code))
    answer = requests.get(ws.url + ME, headers={"Authorization": f"Bearer {ws.token}"}, timeout=5)
    assert (answer.status_code, answer.json()["error_code"]) == (code, error_code or "REQUEST_LIMIT_EXCEEDED")


def until(done: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
