"""The names that an analyst's code finds, in this process: enough to run it over a text without an agent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas
from jsonschema import Draft202012Validator
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage

LEAF_CHARS = 16_000


class Context:
    """A text, read line by line each time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[str]:
        with self._path.open(encoding="utf-8") as file:
            yield from (line.rstrip("\n") for line in file)

    def chunks(self, lines: int) -> Iterator[str]:
        assert lines == 1
        return iter(self)

    def search(self, pattern: str) -> list[tuple[int, str]]:
        return [(number, line) for number, line in enumerate(self) if re.search(pattern, line)]


class Namespace:
    """Runs an analyst's code with `reader` for its models. `handed` is what it gave to `answer`."""

    def __init__(self, text: Path, reader: BaseChatModel) -> None:
        self._reader = reader
        self._text = text
        self.handed: list[Any] = []

    def run(self, code: str) -> Any:
        names = {
            "context": Context(self._text),
            "llm_map": self.llm_map,
            "llm_query": self.llm_query,
            "answer": self.handed.append,
        }
        exec(code, names)
        (value,) = self.handed
        return json.loads(json.dumps(value))

    def llm_map(self, items: Iterable[str], instruction: str, schema: Mapping[str, Any]) -> pandas.DataFrame:
        with ThreadPoolExecutor(4) as pool:
            replies = pool.map(lambda leaf: self._read(leaf, instruction), leaves(items))
            records = [record for reply in replies for record in reply]
        fits = Draft202012Validator(schema)
        for record in records:
            fits.validate(record)
        return pandas.DataFrame(records).set_index("key")

    def llm_query(self, prompt: str, schema: Mapping[str, Any]) -> Any:
        answered = json.loads(self._reader.invoke([HumanMessage(prompt)]).text)
        Draft202012Validator(schema).validate(answered)
        return answered

    def _read(self, leaf: list[str], instruction: str) -> list[dict[str, Any]]:
        return json.loads(self._reader.invoke([HumanMessage("\n".join([instruction, *leaf]))]).text)


def leaves(items: Iterable[str]) -> Iterator[list[str]]:
    leaf: list[str] = []
    for key, item in enumerate(items):
        line = json.dumps({"key": key, "item": item})
        if sum(map(len, leaf)) + len(line) > LEAF_CHARS:
            yield leaf
            leaf = []
        leaf.append(line)
    yield leaf
