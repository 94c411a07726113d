"""Save a text as a file for people to take away."""

from __future__ import annotations

from langchain_core.tools import BaseTool, ToolException
from pydantic import BaseModel, Field

from agent.tools.services import ToolServices
from agent.tools.structured import make_tool
from graph.errors import AgentError

NAME = "save_artifact_to_volumes"
MAX_CHARS = 5_000_000

DESCRIPTION = """\
Save a text, such as a report or a table in CSV or Markdown, as a file that stays after the conversation. A file of \
the same name is replaced. Answers with the file's path."""


class Arguments(BaseModel):
    filename: str = Field(description="A file name such as report.md, in a folder if you like: vendors/report.md")
    content: str = Field(max_length=MAX_CHARS, description="The file's text")


def save_artifact_to_volumes(services: ToolServices) -> BaseTool:
    def write(filename: str, content: str) -> str:
        try:
            path = services.volumes.save(filename, content)
        except AgentError as error:
            raise ToolException(str(error)) from error
        return f"Saved {len(content):,} characters to {path}."

    return make_tool(NAME, DESCRIPTION, Arguments, write)
