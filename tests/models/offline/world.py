"""Questions asked of the offline model; the code that it writes runs on a real DuckDB, reported as the graph does."""

from __future__ import annotations

import contextlib
import io
import json
import re
import traceback
from collections.abc import Sequence
from datetime import date
from typing import Any

import duckdb
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from agent.data.warehouse import Column, Table
from agent.execution.inside.output import as_json, output_of
from agent.execution.inside.sql_client import SqlResult
from agent.models.offline import OfflineModel
from agent.prompts import AgentPrompts
from graph.blob import parse_blob
from graph.reading.report import report
from graph.types import DELEGATE, Capsule, ExecutionResult

TODAY = date(2026, 11, 21)
LISTED = (
    "SELECT database_name, schema_name, table_name, list(column_name ORDER BY column_index), "
    "list(data_type ORDER BY column_index) FROM duckdb_columns() "
    "WHERE NOT internal AND schema_name <> 'information_schema' "
    "GROUP BY ALL ORDER BY ALL"
)


class World:
    """A database and a text, and a model that is asked about them. `results` are those of the last question."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, context: Any = None, catalogs: Sequence[str] = ("files",)
    ):
        self.connection = connection
        self.context = context
        self.tables = tuple(
            Table(
                catalog, schema, name, tuple(map(Column, names, types)), 3, "sample" if catalog == "sample" else "x.csv"
            )
            for catalog, schema, name, names, types in connection.execute(LISTED).fetchall()
            if catalog in catalogs
        )
        self.model = OfflineModel(tables=lambda: self.tables, has_text=context is not None, today=lambda: TODAY)
        self.results: list[ExecutionResult] = []
        self.codes: list[str] = []

    def execute_sql(self, sql: str, preview_rows: int = 20) -> SqlResult:
        found = self.connection.execute(sql)
        rows = found.fetchall()
        shown = rows[:preview_rows]
        return SqlResult([d[0] for d in found.description], shown, None, len(rows) > len(shown), len(rows), "s1")

    def run(self, code: str) -> ExecutionResult:
        names: dict[str, Any] = {"execute_sql": self.execute_sql, "context": self.context}
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out):
                exec(code, names)
        except duckdb.Error as error:
            trace = traceback.format_exc()
            return ExecutionResult(
                "failed", "", "r", 1, "", "", 0.1, out.getvalue(), error=str(error), error_trace=trace
            )
        return ExecutionResult("success", "", "r", 1, "", "", 0.1, out.getvalue(), output=as_json(output_of(names)))

    def ask(self, *questions: str) -> AIMessage:
        """The reply to the last of the questions, which are asked on one thread."""
        messages: list[Any] = [SystemMessage(AgentPrompts().analyst(Capsule(), {}))]
        for question in questions:
            messages.append(HumanMessage(question))
            self.results, self.codes = [], []
            while (reply := self.model.invoke(messages)).tool_calls:
                messages += [reply, *map(self.answer, reply.tool_calls)]
            messages.append(reply)
        return reply

    def answer(self, call: Any) -> ToolMessage:
        self.codes.append(parse_blob(call["args"]["code"]).code)
        self.results.append(self.run(self.codes[-1]))
        status = "success" if self.results[-1].status == "success" else "error"
        text = report("art_0123456789ab", self.results[-1])
        return ToolMessage(text, tool_call_id=call["id"], name=DELEGATE, status=status)

    def figures(self) -> list[tuple[Any, ...]]:
        """The rows that the first delegation brought back; a search's number of lines."""
        [result] = [json.loads(result.output or "{}") for result in self.results[:1]] or [{}]
        if set(result["rows"][0] if result.get("rows") else ()) <= {"text", "lines"} and "matching_lines" in result:
            return [(result["matching_lines"],)]
        return [tuple(row.values()) for row in result.get("rows", [])]


def same(found: Sequence[tuple[Any, ...]], truth: Sequence[tuple[Any, ...]], beginning: bool) -> bool:
    """Whether the rows are the truth, in any order; or begin with it."""
    plain = [[plainly(row) for row in rows] for rows in (found, truth)]
    if beginning:
        return plain[0][: len(plain[1])] == plain[1]
    shown = min(len(plain[1]), 80 // max(len(truth[0]) if truth else 1, 1), 40)
    return shown <= len(plain[0]) and set(plain[0]) <= set(plain[1])


def plainly(row: Sequence[Any]) -> tuple[str, ...]:
    return tuple(str(round(v, 2)) if isinstance(v, float) else re.sub(r"\.0$", "", str(v)) for v in row)
