"""A folder into which a model may write: whatever it names, the file lands inside."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from agent.tools.services import FileRefused

MAX_NAME_BYTES, MAX_PARTS = 200, 8
PART = re.compile(r"[^\x00-\x1f\x7f/\\:*?\"<>|]+")
RESERVED = re.compile(r"(?i)(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?")


@dataclass(frozen=True)
class LocalVolumes:
    """Implements agent.tools.services.Volumes below `folder`."""

    folder: Path

    def save(self, filename: str, content: str) -> str:
        try:
            return str(write(self.folder, filename, content))
        except OSError as error:
            raise FileRefused(f"{filename} could not be saved: {error.strerror}.") from error


def write(folder: Path, filename: str, content: str) -> Path:
    """Write the file whole or not at all. Raises FileRefused, OSError."""
    *parents, name = parts_of(filename)
    place = make_folder(folder.resolve(), parents)
    target = place / name
    if target.is_dir():
        raise FileRefused(f"{filename!r} is a folder. Choose another name.")
    handle, temporary = tempfile.mkstemp(dir=place, prefix=".saving-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(content)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return target


def parts_of(filename: str) -> list[str]:
    parts = filename.strip().split("/")
    if len(parts) > MAX_PARTS:
        raise FileRefused(f"The file name has more than {MAX_PARTS} parts.")
    for part in parts:
        if reason := objection(part):
            raise FileRefused(f"{filename[:100]!r} can't be a file name: {reason}. Use one such as report.md.")
    return parts


def objection(part: str) -> str | None:
    if not part:
        return "it is absolute or has an empty part"
    if part.startswith("."):
        return "no part may begin with a dot"
    if not PART.fullmatch(part):
        return "it has characters that file names must not have"
    if part != part.strip() or part.endswith("."):
        return "a part begins with a blank, or ends with a blank or a dot"
    if RESERVED.fullmatch(part):
        return f"{part} is reserved"
    return "a part is too long" if len(part.encode(errors="surrogateescape")) > MAX_NAME_BYTES else None


def make_folder(root: Path, parents: list[str]) -> Path:
    """The folder for the file, made if missing. A link on the way could lead anywhere, so none is followed."""
    root.mkdir(parents=True, exist_ok=True)
    place = root
    for part in parents:
        place = place / part
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            raise FileRefused(f"{part!r} is no folder. Choose another name.")
        place.mkdir(exist_ok=True)
    return place
