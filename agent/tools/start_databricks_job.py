"""Start a long job in the background."""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from typing import Annotated, Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolCallId, ToolException
from pydantic import BaseModel, Field

from agent.tools.services import JobOrder, ToolServices
from agent.tools.structured import begin_once, make_tool, thread_of
from graph.errors import AgentError

NAME = "start_databricks_job"


class Arguments(BaseModel):
    user_request: str = Field(min_length=1, description="The user's request, handed to the job as it is")
    notebook_params: dict[str, Any] | None = Field(None, description="More parameters for the notebook, by name")
    tool_call_id: Annotated[str, InjectedToolCallId]


def start_databricks_job(services: ToolServices) -> BaseTool:
    def answer(
        user_request: str, tool_call_id: str, config: RunnableConfig, notebook_params: dict[str, Any] | None = None
    ) -> str:
        parameters = {name: str(value) for name, value in (notebook_params or {}).items()}
        token = token_of(config, tool_call_id, user_request, parameters)
        try:
            order = JobOrder(user_request, thread_of(config), token, parameters)
            start = partial(services.jobs.start, order)
            run_id = begin_once(config, f"job {token}", start, partial(services.jobs.find, token))
        except AgentError as error:
            raise ToolException(f"The job was not started: {error}") from error
        return f"Job started successfully. Run ID: {run_id}. You can check the status later."

    description = f"""\
Start a long-running job for the user's request and end the turn with its run id; the job goes on by itself and can be \
looked at with poll_databricks_job later. {services.jobs.about}"""
    return make_tool(NAME, description, Arguments, answer, return_direct=True)


def token_of(config: RunnableConfig, call_id: str, request: str, parameters: dict[str, str]) -> str:
    """The same for a call that is made again after a crash. Models repeat call ids in later turns; steps differ."""
    place = (config.get("metadata") or {}).get("langgraph_step", "")
    parts = (thread_of(config), str(place), call_id, request, str(sorted(parameters.items())))
    return sha256("\x00".join(parts).encode(errors="surrogatepass")).hexdigest()
