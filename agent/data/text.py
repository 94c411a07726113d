"""Text that was handed over with `--text`: which files `context` is made of."""

from __future__ import annotations

from pathlib import Path

from agent.execution.inside.context import Text
from graph.errors import InvalidRequest

PROBE = 8192


def open_text(path: Path) -> Text:
    """The file, or every text file in the folder; raises InvalidRequest when there is none."""
    if path.is_file():
        return Text((path.resolve(),))
    if not path.is_dir():
        raise InvalidRequest(f"there is no file or folder {path}: check the path after --text")
    files = tuple(sorted(file.resolve() for file in path.rglob("*") if _is_text(file, path)))
    if not files:
        raise InvalidRequest(f"no text files in {path}: name a file or another folder after --text")
    return Text(files)


def _is_text(file: Path, root: Path) -> bool:
    if any(part.startswith(".") for part in file.relative_to(root).parts) or not file.is_file():
        return False
    with file.open("rb") as opened:
        return b"\0" not in opened.read(PROBE)
