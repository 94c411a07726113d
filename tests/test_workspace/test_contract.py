"""Every route of the stand-in against the service definitions of the installed databricks-sdk."""

import re

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import DatabricksError, NotFound
from databricks.sdk.service import jobs, sql
from fastapi.routing import APIRoute

from tests.workspace.contract import is_outside, lossless, matching, violations
from tests.workspace.front import Exchange
from tests.workspace.routes import SERVICES
from tests.workspace.workspace import Workspace

ROUTES = sorted(
    (method, route.path)
    for service in SERVICES
    for route in service.api.routes
    if isinstance(route, APIRoute)
    for method in route.methods
)
_EXAMPLES = {"version": "2.0", "path:path": "/Volumes/a/b/c/d", "name:path": "projects/p/branches/b"}


def example(path: str) -> str:
    """A path that a route would serve."""
    return re.sub(r"\{([^}]+)\}", lambda hole: _EXAMPLES.get(hole[1], "1"), path)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_is_one_of_databricks(method: str, path: str) -> None:
    known = matching(method, example(path))
    assert known or is_outside(method, example(path))


def exchange(path: str, response: object, **more: object) -> Exchange:
    given = {"method": "GET", "query": {}, "request": None, "status": 200, "route": path, **more}
    return Exchange(path=path, response=response, **given)


def test_the_contract_sees_an_invented_response_key() -> None:
    found = violations(exchange("/api/2.2/jobs/runs/get", {"run_id": 1, "runid": 2}, query={"run_id": ["1"]}))
    assert found == ["GET /api/2.2/jobs/runs/get: $.runid is not known to the SDK: 2"]


def test_the_contract_sees_a_wrong_enumeration_and_type() -> None:
    state = {"life_cycle_state": "TERMINATED", "result_state": "SUCESS"}
    assert list(lossless(jobs.Run, {"run_id": 1, "state": state})) == [
        "$.state.result_state is not known to the SDK: 'SUCESS'"
    ]
    assert list(lossless(sql.StatementResponse, {"statement_id": "x", "status": {"state": "SUCCEEDED"}})) == []


def test_the_contract_sees_an_unknown_request_key_and_query() -> None:
    sent = exchange(
        "/api/2.2/jobs/runs/cancel", {}, method="POST", request={"run_id": 1, "why": "x"}, query={"q": ["1"]}
    )
    assert len(violations(sent)) == 2


def test_the_contract_sees_a_listing_item() -> None:
    found = violations(exchange("/api/2.1/unity-catalog/catalogs", {"catalogs": [{"name": "a", "nom": "b"}]}))
    assert found == ["GET /api/2.1/unity-catalog/catalogs: $.catalogs[0].nom is not known to the SDK: 'b'"]


def test_an_unknown_route_is_a_404_that_the_fixture_would_fail_on(ws: Workspace) -> None:
    before = len(ws.exchanges)
    client = WorkspaceClient(host=ws.url, token=ws.token)
    with pytest.raises(NotFound, match="No API found"):
        next(iter(client.dashboards.list()))
    found = [line for exchange in ws.exchanges[before:] for line in violations(exchange)]
    del ws.exchanges[before:]
    assert found == ["GET /api/2.0/preview/sql/dashboards: the stand-in has no such route"]


def test_a_field_that_is_not_covered_is_refused_by_name(ws: Workspace) -> None:
    client = WorkspaceClient(host=ws.url, token=ws.token)
    with pytest.raises(DatabricksError, match="does not cover the request field"):
        client.statement_execution.execute_statement("SELECT 1", ws.warehouse_id, byte_limit=5)


def test_a_query_parameter_that_is_not_honoured_is_refused_by_name(ws: Workspace) -> None:
    client = WorkspaceClient(host=ws.url, token=ws.token)
    with pytest.raises(DatabricksError, match="does not cover the query parameter"):
        list(client.jobs.list_runs(start_time_from=1))
