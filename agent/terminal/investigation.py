"""A thread as one notebook: what was asked, what ran, what came of it, what was answered, what it cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graph.types import Usage

if TYPE_CHECKING:
    from agent.artifacts.protocol import Artifacts
    from agent.threads import Exchange

Cell = dict[str, Any]


def investigation(
    thread_id: str, turns: Sequence[Exchange], spent: Mapping[str, Usage], artifacts: Artifacts
) -> dict[str, Any]:
    """A notebook (nbformat 4.5) that runs again where the data is. An artifact that is gone is said to be."""
    from nbformat import v4

    cells = [said("title", f"# {turns[0].question if turns else 'An empty thread'}\n\nThread `{thread_id}`")]
    opened: list[str] = []
    for number, turn in enumerate(turns, 1):
        cells.append(said(f"question-{number}", f"## {number}. {turn.question}"))
        for artifact_id in turn.artifact_ids:
            for cell in cells_of(artifacts, artifact_id):
                is_setup = cell["id"] == f"setup-{artifact_id}"
                if not is_setup or gist(cell["source"]) != opened:
                    cells.append(cell)
                opened = gist(cell["source"]) if is_setup else opened
        cells.append(said(f"answer-{number}", f"**Answer**\n\n{turn.answer or '*none*'}\n\n{cost(turn, spent)}"))
    cells.append(said("cost", f"Cost of all turns: {words(sum(spent.values(), Usage()))}"))
    page = v4.new_notebook(metadata={"kernelspec": KERNEL, "thread_id": thread_id})  # type: ignore[no-untyped-call]
    return {**page, "cells": cells}


KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def cells_of(artifacts: Artifacts, artifact_id: str) -> list[Cell]:
    """The cells of its own notebook, with ids that are theirs alone, below its name."""
    path = Path(artifacts.folder(artifact_id), "notebook.ipynb")
    if not path.exists():
        return [said(f"gone-{artifact_id}", f"### {artifact_id}\n\n*Its folder is gone.*")]
    cells: list[Cell] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    own = [{**cell, "id": f"{cell['id']}-{artifact_id}"} for cell in cells]
    own[0] = {**own[0], "source": f"### {artifact_id}\n\n{own[0]['source']}"}
    return own


def gist(setup: str) -> list[str]:
    """What it opens, whichever run it was for: the same data is opened once."""
    return [line for line in setup.splitlines() if not line.strip().startswith(("'run_id'", "'iteration'"))]


def said(name: str, text: str) -> Cell:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": text}


def cost(turn: Exchange, spent: Mapping[str, Usage]) -> str:
    return f"_{words(spent[turn.request_id])}_" if turn.request_id in spent else ""


def words(usage: Usage) -> str:
    from agent.terminal.rendering import format_usage

    return format_usage(usage)
