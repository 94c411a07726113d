"""What generated code finds when it starts, in one place: the notebook's first cell and the prompt are made from it."""

from __future__ import annotations

import datetime
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.execution.inside.answers import Answers
from agent.execution.inside.artifacts import Artifacts
from agent.execution.inside.line import AskError, Line
from agent.execution.inside.models import Models
from agent.execution.inside.request import Request
from agent.execution.inside.sql_client import SqlClient, SqlError
from agent.execution.inside.values import Values


@dataclass(frozen=True)
class Place:
    """Which run this is and where its unqualified table names are looked up first."""

    run_id: str
    iteration: int
    catalog: str | None
    schema: str | None


DESCRIBED: Mapping[str, str] = {
    "execute_sql": """\
execute_sql(sql, as_pandas=False, preview_rows=20, catalog=None, schema=None) gives an object with .columns, .rows \
(all rows as tuples; past 10,000 walking them is an error), .row_count, .truncated, and with as_pandas=True .df (all \
rows). Printed, it shows preview_rows rows.""",
    "llm_map": """\
llm_map(items, instruction, schema=None, context=None): fresh models read every item (rows, lines, documents, slices) \
and give a frame of typed records in the items' order, with their keys as index. For what must be understood: \
read = llm_map(df["text"], "Which kind of complaint is it?", {"type": "object", "properties": {"kind": {"enum": \
["price", "delay", "other"]}}, "required": ["kind"]}); df.join(read)["kind"].value_counts(). Column `error` says why \
an item could not be read. What can be matched or computed is code's.""",
    "llm_query": """\
llm_query(prompt, schema=None) asks one question; llm_query_batched(prompts, schema=None) many at the same time.""",
    "save": """\
save("name", value) keeps a frame or a JSON value for later delegations; load("name") gives it back.""",
    "artifact": """\
artifact("art_…") opens an earlier one of this thread: .result, .text, .notes (what readers wrote down), .figures, \
.files, .open(name).""",
    "answer": """\
answer(value, name=None) hands the person the value itself (a text, JSON, a frame, a figure, a Path) with your closing \
words; name="….xlsx" makes a workbook. Never type out long results: answer with them.""",
    "progress": """\
progress(done, total) tells how far long code is; budget() what is left for models.""",
    "place": """\
catalog, schema (where unqualified table names are looked up), run_id, iteration, os, sys, json, datetime, Path.""",
}
"""What the analyst reads of each name, or family of names."""

CONTEXT = """\
context, the text that was handed over; it may be far longer than memory. `for line in context`, context[3:9], \
len(context) in lines, context.describe(), context.search(regex, limit=None) for (number, line) pairs, \
context.chunks(tokens=… or lines=… or documents=True, overlap=0) for slices as items of llm_map; context.files \
has each file as such a text by itself, context.paths their paths, context.text is the whole."""
"""The same of `context`, where there is one."""


def names(place: Place, file: str, line: Line, context: object) -> dict[str, Any]:
    """The module dict of a run. `context` is None when no text was handed over, `file` where the code lies."""
    models, values, request = Models(line), Values(line), Request(line)
    return {
        "__name__": "__main__",
        "__file__": file,
        "execute_sql": SqlClient(line).execute_sql,
        "SqlError": SqlError,
        "llm_map": models.llm_map,
        "llm_query": models.llm_query,
        "llm_query_batched": models.llm_query_batched,
        "AskError": AskError,
        "save": values.save,
        "load": values.load,
        "artifact": Artifacts(line).artifact,
        "answer": Answers(line).answer,
        "progress": request.progress,
        "budget": request.budget,
        "context": context,
        "catalog": place.catalog,
        "schema": place.schema,
        "run_id": place.run_id,
        "iteration": place.iteration,
        "os": os,
        "sys": sys,
        "json": json,
        "datetime": datetime,
        "Path": Path,
        "exit": sys.exit,
        "quit": sys.exit,
    }
