"""Ask a question about the tables in natural language."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, ToolException
from pydantic import BaseModel, Field

from agent.tools.services import GenieAnswer, ToolServices
from agent.tools.structured import cancellation, make_tool, thread_of
from graph.errors import AgentError

NAME = "query_genie"
SHOWN = 50
CELL_CHARS = 200


class Arguments(BaseModel):
    query: str = Field(min_length=1, description="A question about the data, in natural language")


def query_genie(services: ToolServices) -> BaseTool:
    def ask(query: str, config: RunnableConfig) -> str:
        try:
            return report(services.genie.ask(query, thread_of(config), cancellation()))
        except AgentError as error:
            raise ToolException(f"{services.genie_name} has no answer: {error}") from error

    description = f"""\
Ask {services.genie_name} a question in natural language. {services.genie_description.rstrip(".")}. Answers with the \
SQL that was run and its rows; a follow-up question may refer to earlier ones."""
    return make_tool(NAME, description, Arguments, ask)


def report(answer: GenieAnswer) -> str:
    """The answer, the SQL and the rows as a table."""
    parts = [answer.text] if answer.text else []
    if answer.sql:
        parts.append(f"SQL:\n```sql\n{answer.sql}\n```")
    if answer.columns:
        parts.append(f"{describe_count(answer)}\n{table(answer.columns, answer.rows[:SHOWN])}")
    return "\n\n".join(parts) or "There is no answer."


def describe_count(answer: GenieAnswer) -> str:
    shown = min(len(answer.rows), SHOWN)
    total = f"more than {answer.row_count}" if answer.truncated else str(answer.row_count)
    return f"Rows ({shown} of {total}):" if answer.truncated or shown < answer.row_count else f"Rows ({total}):"


def table(columns: tuple[str, ...], rows: tuple[tuple[Any, ...], ...]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join("| " + " | ".join(cell(value) for value in line) + " |" for line in lines)


def cell(value: Any) -> str:
    text = " ".join(str("" if value is None else value).split()).replace("|", "\\|")
    return text if len(text) <= CELL_CHARS else f"{text[: CELL_CHARS - 3]}..."
