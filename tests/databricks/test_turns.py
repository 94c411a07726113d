"""The whole mode in one turn: delegations on Spark, Genie and a job at the same time, killed, and resumed elsewhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from databricks.sdk.service.jobs import NotebookTask, Task

from tests.databricks.bench import ROOT, Deployed
from tests.test_workspace.runs import notebook
from tests.workspace.fixtures import Place, Target
from tests.workspace.lakebase import ENDPOINT
from tests.workspace.workspace import Workspace

Events = Iterator[dict[str, Any]]


@pytest.fixture
def asked(ws: Workspace, target: Target, place: Place, deployed: Deployed) -> dict[str, Any]:
    """A table of ten orders, a Genie space over it, a background job, and the settings that name them."""
    client = target.client()
    table = place.table("orders")
    client.statement_execution.execute_statement(
        f"CREATE TABLE {table} AS SELECT id FROM range(1, 11)", ws.warehouse_id, wait_timeout="30s"
    )
    space = f"space_{uuid4().hex[:8]}"
    ws.genie.add_space(space, "Orders", catalog=place.catalog, schema=place.schema)
    ws.genie.answer(space, "how many", sql="SELECT count(*) AS orders FROM orders")
    path = notebook(target, place, "nightly", "dbutils.notebook.exit(dbutils.widgets.get('user_request'))")
    job = client.jobs.create(name="nightly", tasks=[Task("count", notebook_task=NotebookTask(path))])
    settings = {
        "mode": "databricks",
        "databricks": {"volume": deployed.volume},
        "data": {"catalog": place.catalog, "schema": place.schema, "warehouse_id": ws.warehouse_id},
        "execution": {"notebook": deployed.notebook, "wheel": deployed.wheel},
        "lakebase_endpoint_name": ENDPOINT,
        "databricks_job_id": str(job.job_id),
        "genie": {"space_id": space},
        "tracing": {"enabled": "false"},
    }
    return {"settings": settings, "table": table, "seconds": 3, "thread": f"t-{uuid4().hex[:8]}", "request": "r1"}


@contextmanager
def turn(ws: Workspace, asked: dict[str, Any], home: Path) -> Iterator[tuple[subprocess.Popen[str], Events]]:
    """A process that works on the turn, and its events. Its home is empty when it begins."""
    given = {**asked, "settings": {**asked["settings"], "home": str(home)}}
    with Path(f"{home}.log").open("w") as log:
        with subprocess.Popen(
            [sys.executable, "-m", "tests.databricks.one_turn"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **ws.env, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
        ) as process:
            assert process.stdin
            assert process.stdout
            process.stdin.write(json.dumps(given))
            process.stdin.close()
            try:
                yield process, map(json.loads, process.stdout)
            finally:
                process.kill()


def told(event: dict[str, Any]) -> str:
    parts = (event["event"], event.get("name"), event.get("artifact_id"), event.get("stage"), event.get("status"))
    return f"{event['at']:.2f} " + " ".join(str(part) for part in parts if part)


def executing(seen: list[dict[str, Any]]) -> int:
    return sum(event["event"] == "StageReached" and event["status"] == "executing" for event in seen)


def answered(seen: list[dict[str, Any]]) -> list[str]:
    return [event["name"] for event in seen if event["event"] == "CallAnswered"]


def test_all_at_once_killed_and_resumed_from_an_empty_home(
    ws: Workspace, asked: dict[str, Any], tmp_path: Path
) -> None:
    began = ws.journal.count("run_started")
    questions = ws.journal.count("genie_asked")
    seen: list[dict[str, Any]] = []
    with turn(ws, asked, tmp_path / "first") as (process, events):
        for event in events:
            seen.append(event)
            if executing(seen) == 2 and {"query_genie", "start_databricks_job"} <= set(answered(seen)):
                break
        process.send_signal(signal.SIGKILL)
        process.wait()
    print("", *map(told, seen), "killed with -9", sep="\n")
    assert executing(seen) == 2, (tmp_path / "first.log").read_text()[-3000:]
    with turn(ws, asked, tmp_path / "second") as (_, events):
        rest = list(events)
    print(*(told(event) for event in rest if event["event"] != "Token"), sep="\n")
    result = rest[-1]["result"]
    assert rest[0]["resumed"]
    assert result["status"] == "success", result
    assert set(answered(rest)) <= {"delegate_code_results", "query_genie", "start_databricks_job"}
    delegations = [event["content"] for event in rest if event.get("name") == "delegate_code_results"]
    assert len(delegations) == 2
    assert all('"rows": 5' in content for content in delegations), delegations
    assert ws.journal.count("run_started") - began == 3
    asked_of_genie = ws.journal.count("genie_asked") - questions
    assert asked_of_genie in (1, 2), "an answer that was not saved before the kill is asked for once more"
    assert not list((tmp_path / "second").rglob("*")), "nothing is kept on the machine"
