"""Look at a job that was started on this thread."""

from __future__ import annotations

import json
from dataclasses import asdict

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, ToolException
from pydantic import BaseModel, ConfigDict, Field

from agent.tools.services import JobRun, ToolServices
from agent.tools.structured import make_tool, thread_of
from graph.errors import AgentError

NAME = "poll_databricks_job"
DESCRIPTION = """\
Look at a job started on this thread: its state, its tasks, the address of its page and, when it is done, its result."""


class Arguments(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    run_id: str = Field(min_length=1, max_length=40, description="The run id that start_databricks_job answered with")


def poll_databricks_job(services: ToolServices) -> BaseTool:
    def poll(run_id: str, config: RunnableConfig) -> str:
        try:
            return describe_run(services.jobs.poll(own_run(services, run_id, config)))
        except AgentError as error:
            raise ToolException(f"Run {run_id} can't be looked at: {error}") from error

    return make_tool(NAME, DESCRIPTION, Arguments, poll)


def own_run(services: ToolServices, run_id: str, config: RunnableConfig) -> str:
    """The id of a run that this thread started; raises ToolException for any other."""
    wanted = run_id.strip()
    if not services.jobs.owns(wanted, thread_of(config)):
        raise ToolException(f"No run {wanted} was started on this thread. Use the run id that the start answered with.")
    return wanted


def describe_run(run: JobRun) -> str:
    return json.dumps(
        {name: value for name, value in asdict(run).items() if value not in (None, "", ())}, ensure_ascii=False
    )
