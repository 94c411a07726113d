"""End a job that was started on this thread."""

from __future__ import annotations

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, ToolException
from pydantic import BaseModel, ConfigDict, Field

from agent.tools.poll_databricks_job import describe_run, own_run
from agent.tools.services import ToolServices
from agent.tools.structured import make_tool
from graph.errors import AgentError

NAME = "terminate_databricks_job"
DESCRIPTION = "Cancel a job started on this thread. A job that has ended stays as it is."


class Arguments(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    run_id: str = Field(min_length=1, max_length=40, description="The run id of the job to cancel")


def terminate_databricks_job(services: ToolServices) -> BaseTool:
    def terminate(run_id: str, config: RunnableConfig) -> str:
        try:
            run = services.jobs.cancel(own_run(services, run_id, config))
        except AgentError as error:
            raise ToolException(f"Run {run_id} can't be cancelled: {error}") from error
        ended = "Job cancelled successfully." if run.result_state == "CANCELED" else "The job was not cancelled."
        return f"{ended} {describe_run(run)}"

    return make_tool(NAME, DESCRIPTION, Arguments, terminate)
