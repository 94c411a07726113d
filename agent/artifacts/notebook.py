"""A delegation as a Jupyter notebook (nbformat 4.5): names, instruction, code with its outputs and figures, digest."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graph.types import ExecutionResult

Cell = dict[str, Any]

ROOT = Path(__file__).parents[2]
SETUP = """\
# The data that the code below asked about, opened read-only, and the names that it found: execute_sql, context, ...
import sys

sys.path.append({root!r})
from agent.replay import open_data

globals().update(open_data({opening}))"""


@dataclass(frozen=True)
class Page:
    """`figures` are PNG bytes; `names` what the code saw besides modules."""

    instruction: str | None
    code: str
    iteration: int
    artifact_id: str
    names: Mapping[str, Any]
    result: ExecutionResult | None
    figures: tuple[bytes, ...]
    digest: str | None


def render(page: Page) -> dict[str, Any]:
    """The notebook as its JSON object. The code cell carries the tag `delegation`, the names' cell `setup`."""
    cells = [_markdown("instruction", page.instruction or "*No instruction was given for the results.*")]
    cells += [_code("setup", _setup(page), []), _code("delegation", page.code, _outputs(page))]
    if page.digest is not None:
        cells.append(_markdown("digest", f"## Digest\n\n{page.digest}"))
    return {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "artifact_id": page.artifact_id,
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _markdown(tag: str, text: str) -> Cell:
    return {"cell_type": "markdown", "id": tag, "metadata": {"tags": [tag]}, "source": text}


def _code(tag: str, source: str, outputs: list[dict[str, Any]]) -> Cell:
    return {
        "cell_type": "code",
        "id": tag,
        "metadata": {"tags": [tag]},
        "execution_count": None,
        "source": source,
        "outputs": outputs,
    }


def _setup(page: Page) -> str:
    """Opens the data again where it is known; else it says what the code found."""
    if "data" in page.names:
        return SETUP.format(root=str(ROOT), opening=_pretty(page.names["data"]))
    values = {"catalog": None, "schema": None, "run_id": "", "iteration": page.iteration, **page.names}
    lines = [
        "# What the code below found when it ran, besides execute_sql(sql, as_pandas, preview_rows, ...)",
        "# and context (the text of --text), which came from the host: bring your own to run it again.",
        "import datetime, json, os, sys",
        "from pathlib import Path",
        *(f"{name} = {value!r}" for name, value in values.items() if name.isidentifier()),
    ]
    return "\n".join(lines)


def _pretty(opening: Mapping[str, Any]) -> str:
    lines = "".join(f"    {name!r}: {value!r},\n" for name, value in opening.items())
    return f"{{\n{lines}}}"


def _outputs(page: Page) -> list[dict[str, Any]]:
    result = page.result
    if result is None:
        return []
    trace = result.error_trace or ""
    streams = (("stdout", result.stdout), ("stderr", result.stderr.removesuffix(trace) if trace else result.stderr))
    outputs: list[dict[str, Any]] = [
        {"output_type": "stream", "name": name, "text": text} for name, text in streams if text
    ]
    outputs += [_display(figure) for figure in page.figures]
    if result.output is not None:
        outputs.append(_value(result.output))
    if result.status == "failed":
        outputs.append(_error(result))
    return outputs


def _display(figure: bytes) -> dict[str, Any]:
    data = {"image/png": base64.b64encode(figure).decode(), "text/plain": "<figure>"}
    return {"output_type": "display_data", "data": data, "metadata": {}}


def _value(output: str) -> dict[str, Any]:
    return {"output_type": "display_data", "data": {"text/plain": output}, "metadata": {"tags": ["result"]}}


def _error(result: ExecutionResult) -> dict[str, Any]:
    name, _, value = (result.error or "failed").partition(": ")
    trace = result.error_trace or result.error or ""
    return {"output_type": "error", "ename": name, "evalue": value, "traceback": trace.splitlines()}
