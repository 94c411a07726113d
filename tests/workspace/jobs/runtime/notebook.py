"""Notebooks: cells of Databricks's source format and of .ipynb, and the magics in them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

HEADER = "Databricks notebook source"
_SEPARATOR = re.compile(r"^(?:#|--) COMMAND -{10,}\s*$", re.MULTILINE)
_MAGIC_LINE = re.compile(r"^(?:#|--) MAGIC ?", re.MULTILINE)
_MAGIC = re.compile(r"%(\w+)[ \t]*(.*)", re.DOTALL)


@dataclass(frozen=True)
class Cell:
    """A cell: its number, its kind (`python`, `sql`, `run`, `md`, …), its text."""

    number: int
    kind: str
    text: str


def cells(source: str, *, default: str = "python") -> Iterator[Cell]:
    """The cells of a notebook in either format; empty ones are left out."""
    for number, text in enumerate(_texts(source), start=1):
        if text.strip():
            yield _cell(number, text.strip("\n"), default)


def _texts(source: str) -> list[str]:
    if source.lstrip().startswith("{"):
        return ["".join(cell["source"]) for cell in json.loads(source)["cells"] if cell["cell_type"] == "code"]
    first, _, rest = source.partition("\n")
    body = rest if first.strip("#- ").startswith(HEADER) else source
    return _SEPARATOR.split(body)


def _cell(number: int, text: str, default: str) -> Cell:
    lines = [line for line in text.splitlines() if not re.match(r"(?:#|--) DBTITLE", line)]
    text = "\n".join(lines).strip("\n")
    shown = _MAGIC_LINE.sub("", text) if _MAGIC_LINE.match(text) else text
    match = _MAGIC.match(shown)
    if match is None:
        return Cell(number, default, text)
    kind, rest = match[1], match[2].strip()
    return Cell(number, "python" if kind == "py" else kind, rest)
