"""Text that comes through a pipe: the question itself, or what a question is about."""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile

from agent.home import make_home
from graph.errors import InvalidRequest

FOLDER = "piped"
PIECE = 1 << 20
FIRST_SECONDS = 1.0
MOST_SECONDS = 10.0
"""How long a pipe may say nothing: a program may have inherited one that nobody writes to."""


def keep_piped(home: Path, note: Callable[[str], None]) -> Path | None:
    """The file below home that now holds what was piped; None when nothing was. The same text is kept once."""
    if not is_piped(note):
        return None
    folder = make_home(home) / FOLDER
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        return copy_into(folder)
    except OSError as error:
        raise InvalidRequest(f"What was piped can't be kept in {folder}: {error.strerror}; set home.") from error


def is_piped(note: Callable[[str], None]) -> bool:
    """Whether a file, or a pipe in which something is, stands on standard input."""
    try:
        descriptor = sys.stdin.fileno()
        mode = os.fstat(descriptor).st_mode
    except (OSError, ValueError):
        return False
    if stat.S_ISREG(mode):
        return True
    if not stat.S_ISFIFO(mode):
        return False
    if not has_begun(descriptor, FIRST_SECONDS):
        note("Waiting for the text from the pipe …")
        if not has_begun(descriptor, MOST_SECONDS - FIRST_SECONDS):
            note(f"Nothing came through the pipe in {MOST_SECONDS:.0f} s; asking without it.")
            return False
    return True


def has_begun(descriptor: int, seconds: float) -> bool:
    return bool(select.select([descriptor], [], [], seconds)[0])


def copy_into(folder: Path) -> Path | None:
    mark, size = sha256(), 0
    with NamedTemporaryFile(dir=folder, prefix=".", delete=False) as draft:
        path = Path(draft.name)
        try:
            while piece := sys.stdin.buffer.read(PIECE):
                mark.update(piece)
                size += len(piece)
                draft.write(piece)
            draft.flush()
            return path.rename(folder / f"{mark.hexdigest()[:16]}.txt") if size else None
        finally:
            path.unlink(missing_ok=True)
