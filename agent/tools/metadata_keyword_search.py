"""Find tables and columns by a keyword."""

from __future__ import annotations

from langchain_core.tools import BaseTool, ToolException
from pydantic import BaseModel, Field

from agent.tools.services import Matches, Operator, TableType, ToolServices
from agent.tools.structured import make_tool
from graph.errors import AgentError

NAME = "metadata_keyword_search"
SHOWN = 5

DESCRIPTION = f"""\
Find tables and columns whose catalog, schema, table, column or type is like a keyword, whatever the case. `|` \
separates alternatives (with NOT LIKE all of them must be absent); `%` is put around a keyword that has none. Shows \
{SHOWN} columns and how many there are."""


class Arguments(BaseModel):
    keyword: str = Field(
        min_length=1, max_length=500, description="What to look for, such as 'vendor' or 'amount|price'"
    )
    table_type: TableType | None = Field(None, description="Only tables (BASE TABLE) or only views (VIEW)")
    operator: Operator = Field("LIKE", description="NOT LIKE finds the columns that don't match")


def metadata_keyword_search(services: ToolServices) -> BaseTool:
    def search(keyword: str, table_type: TableType | None = None, operator: Operator = "LIKE") -> str:
        try:
            return report(keyword, services.catalog.search(keyword, table_type, operator, limit=SHOWN))
        except AgentError as error:
            raise ToolException(f"The catalog could not be searched: {error}") from error

    return make_tool(NAME, DESCRIPTION, Arguments, search)


def report(keyword: str, matches: Matches) -> str:
    lines = [
        f"{catalog}.{schema}.{table} ({kind}): {column} {of}"
        for catalog, schema, table, kind, column, of in matches.rows
    ]
    count = f"{matches.total} columns match {keyword!r}"
    query = f"Query: {' '.join(matches.sql.split())}"
    return "\n".join([f"{count}, {len(lines)} shown:" if lines else f"{count}.", *lines, query, hint(matches)])


def hint(matches: Matches) -> str:
    if matches.total == 0:
        return "Try a shorter keyword, or alternatives with |."
    if matches.total > len(matches.rows):
        return "Refine the keyword, or delegate code that queries information_schema.columns to see them all."
    return "That is all."
