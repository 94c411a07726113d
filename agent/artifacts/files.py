"""Files in folders that a run could have written to: read as a stranger's, reached without following a link."""

from __future__ import annotations

import codecs
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from uuid import uuid4

PIECE = 1 << 20
LARGEST = 64 << 20
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Unreadable(Exception):
    """There is something, and it is not a plain file of a sane content."""


@contextmanager
def opened(folder: Path, name: str) -> Iterator[BinaryIO]:
    """A plain file in the folder or below it. Raises FileNotFoundError, and Unreadable for what is anything else."""
    try:
        descriptor = _descend(folder, PurePosixPath(name).parts)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise Unreadable(f"{name} can't be opened as a file: {error}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unreadable(f"{name} is no plain file")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def _descend(folder: Path, parts: tuple[str, ...]) -> int:
    at = os.open(folder, FOLDER)
    for place, part in enumerate(parts):
        above = at
        try:
            if part in ("", ".", "..") or "/" in part:
                raise ValueError(f"{part!r} is no name")
            at = os.open(part, FOLDER if place < len(parts) - 1 else FILE, dir_fd=above)
        finally:
            os.close(above)
    return at


def read_bytes(folder: Path, name: str, most: int = LARGEST) -> bytes:
    """Raises FileNotFoundError, Unreadable."""
    with opened(folder, name) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise Unreadable(f"{name} is larger than {most:,} bytes")
    return data


def read_text(folder: Path, name: str) -> str | None:
    """None when it is not there. Raises Unreadable."""
    try:
        return read_bytes(folder, name).decode("utf-8", "replace")
    except FileNotFoundError:
        return None


def read_object(folder: Path, name: str) -> dict[str, Any] | None:
    """A JSON object; None when it is not there. Raises Unreadable."""
    text = read_text(folder, name)
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{name} holds no JSON: {error}") from error
    if not isinstance(value, dict):
        raise Unreadable(f"{name} holds no JSON object")
    return value


def pieces_of(folder: Path, name: str) -> Iterator[str]:
    """The text in pieces that split no letter; nothing when it is not there. Raises Unreadable."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    try:
        with opened(folder, name) as file:
            while data := file.read(PIECE):
                yield decoder.decode(data)
    except FileNotFoundError:
        return
    if rest := decoder.decode(b"", final=True):
        yield rest


def size_of(folder: Path, name: str) -> int:
    """Bytes; 0 for what is not there or is no plain file."""
    try:
        with opened(folder, name) as file:
            return os.fstat(file.fileno()).st_size
    except (FileNotFoundError, Unreadable):
        return 0


def names_below(folder: Path, most: int = 1_000) -> tuple[str, ...]:
    """Plain files in the folder and below it, by name, without links, hidden ones and what lies behind links."""
    found: list[str] = []
    for at, folders, files in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(at, name)
            if not name.startswith(".") and stat.S_ISREG(path.lstat().st_mode):
                found.append(str(path.relative_to(folder)))
        if len(found) >= most:
            break
    return tuple(sorted(found[:most]))


def write_text(folder: Path, name: str, content: str) -> None:
    write_bytes(folder, name, content.encode("utf-8", "backslashreplace"))


def write_bytes(folder: Path, name: str, content: bytes) -> None:
    """Whole or not at all, also for a reader at the same moment. What stood under the name, whatever it was, goes."""
    at = os.open(folder, FOLDER)
    draft = f".{name}.{uuid4().hex}"
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=at)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            _replace(folder, draft, name, at)
        except BaseException:
            os.unlink(draft, dir_fd=at)
            raise
    finally:
        os.close(at)


def _replace(folder: Path, draft: str, name: str, at: int) -> None:
    try:
        os.replace(draft, name, src_dir_fd=at, dst_dir_fd=at)
    except IsADirectoryError:
        shutil.rmtree(folder / name)
        os.replace(draft, name, src_dir_fd=at, dst_dir_fd=at)


def append_line(folder: Path, name: str, line: str) -> None:
    """At the end of a plain file, which is made. Raises Unreadable for what is none."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(folder / name, flags, 0o644)
    except OSError as error:
        raise Unreadable(f"{name} can't be written to: {error}") from error
    with os.fdopen(descriptor, "a", encoding="utf-8") as file:
        file.write(f"{line}\n")
