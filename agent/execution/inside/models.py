"""Models as generated code asks them: typed records of many items, and answers to single questions."""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from agent.execution.inside.line import AskError, Line
from agent.execution.inside.schemas import as_given, as_schema
from agent.execution.inside.sql_client import SqlResult

if TYPE_CHECKING:
    import pandas

ESCAPED = 6
"""Bytes of a letter that is not ASCII, as JSON."""
MOST_BYTES = 4 * 1024 * 1024
MOST_ITEMS = 20_000
LONGEST = 500_000
"""Characters of an item that are sent at once."""

Row = tuple[int, Any, Any, str | None]
"""The item's number and key, its record, and why there is none."""


@dataclass(frozen=True)
class Piece:
    """An item on its way to the host, or a part of a very long one."""

    item: int
    key: Any
    text: str


class Models:
    """Each call is answered by fresh models without tools, which see the instruction and their items alone."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._maps = itertools.count(1)

    def llm_map(self, items: Any, instruction: str, schema: Any = None, context: str | None = None) -> pandas.DataFrame:
        """A record for each item, in their order: a frame with the schema's fields, indexed by the items' keys.

        Items are the rows of a frame, a mapping's values, or the elements of any iterable; their keys are the index,
        the mapping's keys or their numbers. `schema` is a JSON schema, a dataclass or a type; without one the answer
        is a text. `error` says why an item could not be read. An item longer than a leaf has a row for each `slice`.
        """
        threading.Thread(target=import_module, args=("pandas",), daemon=True).start()
        fields = as_schema(schema)
        asked: dict[str, Any] = {
            "map": next(self._maps),
            "instruction": instruction,
            "schema": fields,
            "context": context,
        }
        total = len(items) if hasattr(items, "__len__") else None
        rows: list[Row] = []
        done = 0
        for batch in batches(items_of(items)):
            texts = [piece.text for piece in batch]
            _, answer = self._line.ask("llm_map", items=texts, done=done, total=total, **asked)
            done += len(batch)
            for piece, readings in zip(batch, answer["records"], strict=True):
                rows += [(piece.item, piece.key, record, error) for record, error in readings]
        return framed(rows, list((fields or {}).get("properties") or ["answer"]))

    def llm_query(self, prompt: str, schema: Any = None, context: str | None = None) -> Any:
        """One answer: a text, or by `schema` a dict or an instance of the dataclass. Raises AskError."""
        (answered,) = self._ask([prompt], schema, context)
        if answered[1] is not None:
            raise AskError(answered[1])
        return answered[0]

    def llm_query_batched(self, prompts: Iterable[str], schema: Any = None, context: str | None = None) -> list[Any]:
        """The answers to many prompts, in their order, asked in parallel; None for one that could not be answered."""
        return [answer for answer, _ in self._ask(list(prompts), schema, context)]

    def _ask(self, prompts: Sequence[str], schema: Any, context: str | None) -> list[tuple[Any, str | None]]:
        fields = as_schema(schema)
        worded = [f"{context}\n\n{prompt}" if context else prompt for prompt in prompts]
        _, answer = self._line.ask("llm_query", prompts=worded, schema=fields)
        wrapped = fields is None or not ("properties" in fields or fields.get("type") == "object")
        return [
            (None if record is None else record["answer"] if wrapped else as_given(record, schema), error)
            for record, error in answer["answers"]
        ]


def items_of(items: Any) -> Iterator[tuple[Any, str]]:
    """Keys and texts. What is no text is sent as JSON."""
    kind = f"{type(items).__module__.partition('.')[0]}.{type(items).__name__}"
    if kind == "pandas.DataFrame":
        pairs: Iterable[Any] = zip(items.index, items.to_dict(orient="records"), strict=True)
    elif kind == "pandas.Series" or isinstance(items, Mapping):
        pairs = items.items()
    elif isinstance(items, SqlResult):
        if items.df is None and items.truncated:
            raise TypeError("the result holds the first rows only: ask for all with as_pandas=True and give its .df")
        frame = items.df
        rows = [dict(zip(items.columns, row, strict=True)) for row in items.rows]
        pairs = enumerate(rows) if frame is None else zip(frame.index, frame.to_dict(orient="records"), strict=True)
    elif isinstance(items, str):
        raise TypeError("items is one text: give a list of texts, or context.chunks(...) for slices of a long one")
    else:
        pairs = enumerate(items)
    for key, item in pairs:
        yield key, item if isinstance(item, str) else json.dumps(item, ensure_ascii=False, default=str)


def batches(items: Iterable[tuple[Any, str]]) -> Iterator[list[Piece]]:
    """As many as one request takes; a very long item in several pieces."""
    held: list[Piece] = []
    size = 0
    for number, (key, text) in enumerate(items):
        for at in range(0, max(1, len(text)), LONGEST):
            piece = text[at : at + LONGEST]
            needed = len(piece) if piece.isascii() else ESCAPED * len(piece)
            if held and (size + needed > MOST_BYTES or len(held) >= MOST_ITEMS):
                yield held
                held, size = [], 0
            held.append(Piece(number, key, piece))
            size += needed
    if held:
        yield held


def framed(rows: list[Row], names: list[str]) -> pandas.DataFrame:
    """A row for each reading; a column for slices only when an item had some."""
    import pandas

    columns: dict[str, list[Any]] = {name: [(record or {}).get(name) for _, _, record, _ in rows] for name in names}
    columns["error" if "error" not in names else "not_read"] = [error for *_, error in rows]
    index = pandas.Index([key for _, key, _, _ in rows], name="key", tupleize_cols=False)
    frame = pandas.DataFrame(columns, index=index)
    counts = Counter(item for item, *_ in rows)
    if len(counts) < len(rows):
        seen: Counter[int] = Counter()
        slices = []
        for item, *_ in rows:
            seen[item] += 1
            slices.append(f"{seen[item]}/{counts[item]}")
        frame.insert(0, "slice", slices)
    return frame
