"""End the turn."""

from __future__ import annotations

from langchain_core.tools import BaseTool
from pydantic import BaseModel, Field

from agent.tools.services import ToolServices
from agent.tools.structured import make_tool
from graph.types import EXIT_LOOP

DESCRIPTION = "End the work on this request: it is done, or nothing more can be done. Say why in one sentence."


class Arguments(BaseModel):
    reason: str = Field("", description="Why the work ends here, in one sentence")


def exit_loop(services: ToolServices) -> BaseTool:
    return make_tool(EXIT_LOOP, DESCRIPTION, Arguments, leave, return_direct=True)


def leave(reason: str = "") -> str:
    return reason.strip() or "The work on this request was ended."
