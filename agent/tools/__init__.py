"""What the analyst can call. A new tool is a file and a line in TOOLS."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.tools.delegate_code_results import delegate_code_results
from agent.tools.exit_loop import exit_loop
from agent.tools.metadata_keyword_search import metadata_keyword_search
from agent.tools.poll_databricks_job import poll_databricks_job
from agent.tools.query_genie import query_genie
from agent.tools.save_artifact_to_volumes import save_artifact_to_volumes
from agent.tools.services import ToolServices
from agent.tools.start_databricks_job import start_databricks_job
from agent.tools.terminate_databricks_job import terminate_databricks_job

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

TOOLS: dict[str, Callable[[ToolServices], BaseTool]] = {
    "delegate_code_results": delegate_code_results,
    "exit_loop": exit_loop,
    "metadata_keyword_search": metadata_keyword_search,
    "query_genie": query_genie,
    "save_artifact_to_volumes": save_artifact_to_volumes,
    "start_databricks_job": start_databricks_job,
    "poll_databricks_job": poll_databricks_job,
    "terminate_databricks_job": terminate_databricks_job,
}


def build_tools(services: ToolServices) -> dict[str, BaseTool]:
    return {name: build(services) for name, build in TOOLS.items()}
