"""The same names where a run can't reach its host: an endpoint is asked directly, within an allowance."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.responses import JSONResponse, Response

from agent.artifacts.folder import FolderArtifacts
from agent.artifacts.readings import FolderReadings
from agent.artifacts.values import FolderValues
from agent.execution.host import Kept
from agent.execution.inside import endpoint as endpoints
from agent.execution.inside.endpoint import Endpoint, Unanswered
from agent.execution.inside.namespace import Place, names
from agent.execution.job.host import JobHost
from agent.models.scripted import ScriptedModel
from graph.budget import Limits
from graph.context import ReadingAllowance
from graph.errors import BudgetExceeded
from graph.types import Artifact
from tests.execution.conftest import OpenBench
from tests.graph.world import World
from tests.models.server import ChatServer, no_choices, serving, slow, status, text, web_page

ODD = {"type": "object", "properties": {"odd": {"type": "boolean"}}, "required": ["odd"]}


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with serving() as served:
        yield served


def sorter(body: dict[str, Any]) -> Response:
    lines = [json.loads(line) for line in body["messages"][-1]["content"].splitlines() if line.startswith('{"key"')]
    records = [{"key": one["key"], "odd": int(one["item"]) % 2 == 1} for one in lines]
    message = {"role": "assistant", "content": json.dumps(records)}
    usage = {"prompt_tokens": 100, "completion_tokens": 10}
    return JSONResponse({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})


@pytest.fixture
def job(server: ChatServer, tmp_path: Path):
    """The namespace of a job's code and its host, for an allowance of so many tokens."""
    artifacts = FolderArtifacts(tmp_path / "artifacts")
    kept = Kept(artifacts, FolderValues(tmp_path / "values"))

    def opened(tokens: int = 100_000, number: int = 1, **given: Any) -> tuple[dict[str, Any], JobHost]:
        artifact_id = f"art_{number:012x}"
        artifact = Artifact(artifact_id, "t", "r", number, "pass", None, artifacts.folder(artifact_id))
        artifacts.write(artifact)
        allowance = ReadingAllowance("sub", tokens, 4_000, 10, 4)
        url = f"{server.url}/v1/chat/completions"
        asked = Endpoint(url, "sub", lambda: {"Authorization": "Bearer job"}, tokens, seconds=5)
        host = JobHost(allowance, asked, kept, artifact, FolderReadings(tmp_path / "values").of("t"), **given)
        return names(Place("run", number, None, None), "code.py", host.line, None), host

    return opened


def test_a_job_maps_its_items_under_its_own_identity_and_says_what_it_spent(server: ChatServer, job):
    server.will(sorter)
    seen, host = job()
    read = seen["llm_map"]([str(n) for n in range(35)], "Odd?", ODD)
    assert read["odd"].tolist() == [n % 2 == 1 for n in range(35)]
    assert len(server.asked) == 4
    assert set(server.keys) == {"Bearer job"}
    assert host.report() == {"input_tokens": 400, "output_tokens": 40, "calls": 4}
    assert seen["budget"]()["tokens_left"] == 100_000 - 440
    again, later = job(number=2)
    again["llm_map"]([str(n) for n in range(35)], "Odd?", ODD)
    assert later.report()["calls"] == 0


def test_an_allowance_that_is_used_up_is_an_error_of_the_items_that_were_left(server: ChatServer, job):
    server.will(sorter)
    seen, host = job(tokens=1_500)
    read = seen["llm_map"]([str(n) for n in range(400)], "Odd?", ODD)
    assert read["error"].isna().sum() >= 10
    assert "the run's allowance of 1,500 tokens is used up" in read["error"].iloc[-1]
    assert sum(host.report().values()) <= 1_700


def test_a_busy_endpoint_is_asked_again_and_a_refusal_is_not(server: ChatServer, job, monkeypatch):
    monkeypatch.setattr(endpoints, "FIRST_PAUSE", 0.01)
    server.will(status(429, headers={"Retry-After": "0"}), status(503), text("Ada"))
    seen, _ = job()
    assert seen["llm_query"]("Who?") == "Ada"
    assert len(server.asked) == 3
    server.will(status(401))
    with pytest.raises(seen["AskError"], match="HTTP 401"):
        seen["llm_query"]("Who was it?")
    assert len(server.asked) == 1


@pytest.mark.parametrize("broken", [web_page, no_choices, text(" "), lambda body: JSONResponse([])])
def test_an_answer_that_is_none_is_said_to_be_none(server: ChatServer, job, broken):
    server.will(broken)
    seen, _ = job()
    with pytest.raises(seen["AskError"], match="endpoint's"):
        seen["llm_query"]("Who?")


def test_an_endpoint_that_is_not_there_is_said_to_be_away(monkeypatch):
    monkeypatch.setattr(endpoints, "FIRST_PAUSE", 0.01)
    with pytest.raises(Unanswered, match="can't be reached"):
        Endpoint("http://127.0.0.1:9/v1", "m", dict, 10_000).ask("a", "b")
    with pytest.raises(ValueError, match="not reached by https"):
        Endpoint("http://example.com/v1", "m", dict, 10_000)


def test_an_endpoint_that_takes_too_long_is_given_up(server: ChatServer, monkeypatch):
    monkeypatch.setattr(endpoints, "RETRIES", 0)
    server.will(slow(2.0, text("late")))
    with pytest.raises(Unanswered):
        Endpoint(f"{server.url}/v1/chat/completions", "m", dict, 10_000, seconds=0.2).ask("a", "b")


def test_values_answers_and_artifacts_are_the_same_as_elsewhere(job):
    told: list[tuple[int, int]] = []
    seen, _ = job(told=lambda done, total: told.append((done, total)))
    seen["save"]("rates", {"EUR": 1})
    seen["answer"]([1, 2, 3])
    seen["progress"](1, 4)
    later, _ = job(number=2)
    assert later["load"]("rates") == {"EUR": 1}
    assert later["artifact"]("art_000000000001").files == ["answer.json"]
    assert json.loads(later["artifact"]("art_000000000001").open("answer.json")) == [1, 2, 3]
    assert told == [(1, 4)]
    with pytest.raises(seen["SqlError"], match="sql is not answered in a job"):
        seen["execute_sql"]("SELECT 1")


def test_the_allowance_is_reserved_before_and_settled_by_the_report_or_whole(open_bench: OpenBench):
    world = World(ScriptedModel(), limits=Limits(max_tokens=100_000))
    bench = open_bench(world=world)
    for report, spent in (
        ({"input_tokens": 30, "output_tokens": 12, "calls": 1}, 42),
        (None, None),
        ({"input_tokens": "many"}, None),
    ):
        ctx = replace(world.context(), artifacts=bench.artifacts)
        world.context = lambda ctx=ctx: ctx  # type: ignore[method-assign]
        host = bench.host(bench.artifact("pass"))
        before = ctx.ledger.spent
        allowance = host.allowance()
        assert 0 < allowance.tokens <= 50_000
        host.settle(report)
        after = ctx.ledger.spent
        used = after.input_tokens + after.output_tokens - before.input_tokens - before.output_tokens
        assert used == (allowance.tokens if spent is None else spent)


def test_without_anything_left_there_is_no_allowance(open_bench: OpenBench):
    bench = open_bench(world=World(ScriptedModel(), limits=Limits(max_tokens=1)))
    with pytest.raises(BudgetExceeded, match="max_tokens"):
        bench.host(bench.artifact("pass")).allowance()
