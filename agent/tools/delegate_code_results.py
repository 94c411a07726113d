"""Hand code over to be run, and its output to be read. The graph runs it; this is only what the model is shown."""

from __future__ import annotations

from langchain_core.tools import BaseTool, ToolException
from pydantic import BaseModel, Field

from agent.tools.services import ToolServices
from agent.tools.structured import make_tool
from graph.types import DELEGATE

DESCRIPTION = """\
Run Python where the data is and get back what matters of its output. Send one text: first, between triple quotes, \
what to look for in the output, then the code:

'''List the five vendors with the highest totals, and anything odd about them.'''
df = execute_sql("SELECT vendor, sum(amount) AS total FROM purchase_orders GROUP BY vendor", as_pandas=True).df
print(df.sort_values("total", ascending=False).head(20).to_string())

What is printed, and the value of `result`, is read; long output is digested by the instruction, and code that \
fails comes back with its traceback. Several calls in one reply run at the same time. \
Each starts afresh: names are not kept."""


class Arguments(BaseModel):
    code: str = Field(description="An optional '''instruction''' for reading the output, then Python code")


def delegate_code_results(services: ToolServices) -> BaseTool:
    return make_tool(DELEGATE, DESCRIPTION, Arguments, refuse)


def refuse(code: str) -> str:
    raise ToolException(f"{DELEGATE} is run by the graph as a delegation and can't be invoked by itself.")
