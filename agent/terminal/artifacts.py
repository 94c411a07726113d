"""What delegations left, to look at. Only the folders are read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.terminal.options import Options, load
from agent.terminal.progress import cut, one_line, subject, visible
from agent.terminal.tables import show_rows
from graph.errors import InvalidRequest

if TYPE_CHECKING:
    from agent.artifacts.protocol import Artifacts, ArtifactSummary

PREFIX = "art_"
OUTPUT_LINES = 60
COLUMNS = ("artifact", "status", "seconds", "created", "thread", "about")


@contextmanager
def artifacts_of(options: Options) -> Iterator[Artifacts]:
    from agent.core import open_artifacts

    with open_artifacts(load(options).settings, secrets=os.environ.get) as artifacts:
        yield artifacts


def list_artifacts(options: Options, most: int) -> None:
    with artifacts_of(options) as artifacts:
        everything = artifacts.list()
    chosen = [one for one in everything if one.thread_id.startswith(options.thread or "")]
    show_rows(COLUMNS, rows(islice(chosen, most)), options.json)


def rows(summaries: Iterable[ArtifactSummary]) -> list[tuple[Any, ...]]:
    return [
        (
            one.artifact_id,
            one.status,
            None if one.duration_seconds is None else round(one.duration_seconds, 2),
            one.created[:16].replace("T", " "),
            one.thread_id,
            cut(one_line(one.instruction or subject(one.code)), 60),
        )
        for one in summaries
    ]


def find_artifact(store: Artifacts, text: str) -> ArtifactSummary:
    """The artifact with this id, or the only one whose id starts so, with or without `art_`. Raises InvalidRequest."""
    start = text if text.startswith(PREFIX) else f"{PREFIX}{text}"
    near = [one for one in store.list() if one.artifact_id.startswith(start)]
    if len(near) > 1:
        raise InvalidRequest(f"{len(near)} artifacts start with {text}; give more of the id")
    return near[0] if near else store.read(start)


def show(options: Options, text: str) -> None:
    with artifacts_of(options) as store:
        summary = find_artifact(store, text)
        if options.json:
            show_json(summary, store.folder(summary.artifact_id))
        else:
            show_summary(summary, store.folder(summary.artifact_id))


def show_json(summary: ArtifactSummary, folder: str) -> None:
    import json
    from dataclasses import asdict

    print(json.dumps({**asdict(summary), "folder": folder}, ensure_ascii=False))  # noqa: T201 - the command line


def show_summary(summary: ArtifactSummary, folder: str, console: Any = None) -> None:
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.syntax import Syntax
    from rich.text import Text

    console = console or Console(highlight=False)
    seconds = "" if summary.duration_seconds is None else f" in {summary.duration_seconds:.2f} s"
    console.print(Text(f"{summary.artifact_id}  {summary.status}{seconds}  thread {summary.thread_id}", style="bold"))
    console.print(Text(folder, style="dim"), soft_wrap=True)
    if summary.instruction:
        console.print(Markdown(visible(summary.instruction)))
    console.print(Syntax(visible(summary.code), "python", background_color="default", word_wrap=True))
    for title, body in outputs(summary):
        console.rule(title, align="left", style="dim")
        console.print(Text(preview(body)))


def outputs(summary: ArtifactSummary) -> list[tuple[str, str]]:
    result = summary.result
    parts = {
        "stdout": result.stdout if result else "",
        "stderr": result.stderr if result else "",
        "result": (result.output if result else None) or "",
        "error": (result.error_trace or result.error if result else None) or "",
        "digest": summary.digest or "",
    }
    return [(title, body) for title, body in parts.items() if body.strip()]


def preview(text: str) -> str:
    lines = visible(text).splitlines()
    more = [f"... ({len(lines) - OUTPUT_LINES} lines more in the folder) ..."] if len(lines) > OUTPUT_LINES else []
    return "\n".join([*lines[:OUTPUT_LINES], *more])


def open_(options: Options, text: str, figure: int | None = None) -> None:
    """With the desktop's program for it; where there is none, its path is what is wanted."""
    with artifacts_of(options) as store:
        summary = find_artifact(store, text)
        path = Path(store.folder(summary.artifact_id), chosen_file(summary, figure))
    print(path)  # noqa: T201 - the command line
    if sys.stdout.isatty():
        import typer

        if typer.launch(str(path)) != 0:
            hint = "jupyter lab <the path above>" if figure is None else "an image viewer with the path above"
            print(f"No program opens it here; try {hint}", file=sys.stderr)  # noqa: T201


def chosen_file(summary: ArtifactSummary, figure: int | None) -> str:
    if figure is None:
        return "notebook.ipynb"
    drawn = sorted(name for name in summary.files if name.startswith("figures/"))
    if figure > len(drawn):
        raise InvalidRequest(f"{summary.artifact_id} has {len(drawn)} figure{'s' * (len(drawn) != 1)}, not {figure}.")
    return drawn[figure - 1]
