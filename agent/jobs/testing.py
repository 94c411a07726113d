"""`rlm-test`: the agent asked a test task on the generated sample, and its answer held against the data."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from agent.jobs.parameters import CONFIG, Parameter, Values, complete, load
from agent.jobs.tasks import TASKS, TestTask, find_task, missing
from graph.errors import AgentError, InvalidRequest

if TYPE_CHECKING:
    from agent.config import Settings

PARAMETERS = (
    Parameter("TEST_LEVEL", f"1 to {len(TASKS)}", flag="--level"),
    Parameter("TEST_LIST", "list the tasks", "false", "--list", switch=True),
    Parameter("ADK_MAX_ITERATIONS", "limits.max_iterations", flag="--max-iterations"),
    CONFIG,
)


class WrongAnswer(AgentError):
    """The agent's answer lacks what the data says."""


@dataclass(frozen=True)
class Outcome:
    """`lacks` are the values of the right answer that the agent's has not."""

    task: TestTask
    answer: str
    lacks: Sequence[Any]


def run_test(given: Values) -> str:
    """Raises WrongAnswer with what is missing, InvalidRequest for a level that there is not."""
    values = complete(PARAMETERS, given)
    if values["TEST_LIST"] == "true":
        return "\n".join(
            f"{one.level:2}  {one.difficulty:6}  {one.story_points} points  {one.issue_key}: {one.summary}"
            for one in TASKS
        )
    if not values["TEST_LEVEL"].isdecimal():
        raise InvalidRequest("Which test: --level N, or --list.")
    outcome = try_task(load(values), find_task(int(values["TEST_LEVEL"])))
    if outcome.lacks:
        lacks = ", ".join(map(str, outcome.lacks))
        raise WrongAnswer(f"{outcome.task.issue_key}: wrong. The answer lacks {lacks}. It was: {outcome.answer}")
    return f"{outcome.answer}\n\n{outcome.task.issue_key}: right"


def try_task(settings: Settings, task: TestTask, **given: Any) -> Outcome:
    """Ask the agent on a new thread. The sample is this machine's, so the mode has to be local."""
    from agent.core import Request, open_agent
    from agent.data.source import describe_source

    if settings.mode != "local":
        raise InvalidRequest("The test tasks are about the generated sample, which is there in mode local.")
    sample = describe_source((), None, None, None, True)
    with open_agent(settings, **{"secrets": os.environ.get, **given}) as agent:
        request = Request(task.prompt(), thread_id=f"test-{task.level}-{uuid4().hex[:8]}", source=sample)
        result = agent.ask(request)
    answer = result.response_text or result.fatal_error_msg or ""
    return Outcome(task, answer, missing(answer, truth_of(settings, task)))


def truth_of(settings: Settings, task: TestTask) -> list[Any]:
    """What the data itself says."""
    from agent.data.warehouse import open_warehouse

    with open_warehouse(settings.home.absolute(), True, []) as warehouse:

        def query(sql: str) -> Sequence[Mapping[str, Any]]:
            rows: list[dict[str, Any]] = warehouse.query(sql, schema="all_silos").to_pylist()
            return rows

        return task.expected(query)
