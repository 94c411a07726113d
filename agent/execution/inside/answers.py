"""Answers that are not typed again: the value itself goes to the person."""

from __future__ import annotations

import io
import json
import mimetypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from agent.execution.inside.line import Line, pieces_of, upload
from agent.execution.inside.sql_client import SqlResult
from agent.execution.inside.values import as_frame, is_frame, plain

EXCEL = 1_048_576
"""Rows of a sheet."""


class Answers:
    def __init__(self, line: Line) -> None:
        self._line = line

    def answer(self, value: Any, name: str | None = None) -> None:
        """Give the person a value, under your closing words: a text, JSON, a frame, a figure or a file (a Path).

        `name` ends as the file should: a frame is a CSV, and a workbook as `….xlsx`. A second answer of the same name
        takes the place of the first.
        """
        with formed(value, name) as (file, named, shape):
            held = upload(self._line, pieces_of(file))
        media = mimetypes.guess_type(named)[0] or "application/octet-stream"
        self._line.ask("answer", upload=held, name=named, media_type=media, shape=shape)


@contextmanager
def formed(value: Any, name: str | None) -> Iterator[tuple[BinaryIO, str, str]]:
    """The value's bytes as a file, its name, and what it is in a few words."""
    if isinstance(value, SqlResult):
        if value.df is None and value.truncated:
            raise TypeError("the result holds the first rows only: ask for all with as_pandas=True")
        value = as_frame(value)
    if isinstance(value, Path):
        with value.open("rb") as file:
            yield file, name or value.name, f"a file of {value.stat().st_size:,} bytes"
    elif is_frame(value):
        named = name or "answer.csv"
        yield io.BytesIO(table(value, named)), named, f"{len(value):,} rows × {len(value.columns)} columns"
    elif hasattr(value, "savefig"):
        drawn = io.BytesIO()
        value.savefig(drawn, format="png", dpi=150)
        yield io.BytesIO(drawn.getvalue()), name or "answer.png", "a figure"
    elif isinstance(value, str):
        yield io.BytesIO(value.encode("utf-8", "replace")), name or "answer.txt", f"a text of {len(value):,} characters"
    else:
        text = json.dumps(value, default=plain, ensure_ascii=False)
        size = f"{len(value):,} elements" if isinstance(value, (list, tuple, dict)) else "a value"
        yield io.BytesIO(text.encode("utf-8", "replace")), name or "answer.json", size


def table(frame: Any, name: str) -> bytes:
    """A frame as CSV, or as the workbook or JSON that its name asks for. An index without a name is left out."""
    indexed = any(level is not None for level in frame.index.names)
    if name.lower().endswith(".xlsx"):
        if len(frame) >= EXCEL:
            raise TypeError(f"a sheet has at most {EXCEL - 1:,} rows: answer with a .csv")
        book = io.BytesIO()
        frame.to_excel(book, index=indexed)
        return book.getvalue()
    if name.lower().endswith(".json"):
        return str(frame.reset_index(drop=not indexed).to_json(orient="records", date_format="iso")).encode()
    return str(frame.to_csv(index=indexed)).encode()
