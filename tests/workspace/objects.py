"""Workspace objects: notebooks, files and directories under `/Workspace` (the prefix may be left out)."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.workspace.errors import already_exists, bad_request, not_found
from tests.workspace.journal import Journal
from tests.workspace.paths import inside

Language = Literal["PYTHON", "SQL", "SCALA", "R"]
HEADERS = {
    "PYTHON": "# Databricks notebook source",
    "SQL": "-- Databricks notebook source",
    "SCALA": "// Databricks notebook source",
    "R": "# Databricks notebook source",
}
SUFFIXES = {"PYTHON": ".py", "SQL": ".sql", "SCALA": ".scala", "R": ".r"}


@dataclass(frozen=True)
class Notebook:
    """A notebook: it has no suffix in the workspace, so its language and format are kept apart."""

    language: Language
    is_jupyter: bool = False


class Objects:
    """The tree. A notebook's text lies in the file of its name, as its source or as Jupyter's JSON."""

    def __init__(self, root: Path, journal: Journal) -> None:
        self.root = root
        self.root.mkdir(parents=True)
        self._journal = journal
        self._notebooks: dict[Path, Notebook] = {}
        self._ids: dict[Path, int] = {}

    def place(self, path: str) -> Path:
        """Where a path lies."""
        if not path.startswith("/"):
            raise bad_request(f"Path ({path}) doesn't start with '/'")
        return inside(self.root, path.removeprefix("/Workspace"))

    def existing(self, path: str) -> Path:
        """The place of something that is there."""
        target = self.place(path)
        if not target.exists():
            raise not_found(f"Path ({path}) doesn't exist.")
        return target

    def notebook(self, target: Path) -> Notebook | None:
        """What kind of notebook it is, if it is one."""
        return self._notebooks.get(target)

    def write(self, path: str, data: bytes, notebook: Notebook | None, *, overwrite: bool) -> None:
        """A notebook or a file."""
        target = self.place(path)
        if not target.parent.is_dir():
            raise not_found(f"The parent folder ({Path(path).parent}) does not exist.")
        if target.is_dir():
            raise bad_request(f"Path ({path}) is a directory")
        if target.exists() and not overwrite:
            raise already_exists(f"Path ({path}) already exists.")
        target.write_bytes(data)
        self._notebooks.pop(target, None)
        if notebook:
            self._notebooks[target] = notebook
        self._journal.write("object_changed", path, bytes=len(data))

    def make_directories(self, path: str) -> None:
        """A directory and those above it."""
        target = self.place(path)
        if target.is_file():
            raise already_exists(f"Path ({path}) already exists and is not a directory.")
        target.mkdir(parents=True, exist_ok=True)

    def delete(self, path: str, *, recursive: bool) -> None:
        """A file, a notebook, an empty directory, or with `recursive` any directory."""
        target = self.existing(path)
        if target.is_file():
            target.unlink()
        elif any(target.iterdir()) and not recursive:
            raise bad_request(f"Folder ({path}) is not empty", "DIRECTORY_NOT_EMPTY")
        else:
            shutil.rmtree(target)
        self._journal.write("object_changed", path, deleted=True)

    def object_id(self, target: Path) -> int:
        """A number that stays."""
        return self._ids.setdefault(target, 1000 + len(self._ids))
