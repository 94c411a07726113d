"""A question too long to be read is data: it is kept as a text, and the model sees how it begins and ends."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from agent.data.source import DataSource
from graph.errors import InvalidRequest

LONGEST_QUESTION = 20_000
"""Characters that the model reads as they are."""

SHOWN_CHARS = 2_000
"""Of a longer one, of its beginning and of its end: the question itself may stand at either."""


class LongQuestions:
    """The texts of one home, in a folder for each thread: a later one joins those that came before."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def keep(self, text: str, thread_id: str, request_id: str, source: DataSource) -> tuple[str, DataSource]:
        """What the model is asked instead, and the source with the text in it. The same request is kept once.

        Raises InvalidRequest when it can't be kept.
        """
        folder = self._folder(thread_id)
        if not list(folder.glob(f"*-{short_hash(request_id)}.txt")):
            write_private(folder / f"{len(list(folder.glob('*.txt'))):03}-{short_hash(request_id)}.txt", text)
        return describe(text), replace(source, text=str(folder))

    def forget(self, thread_id: str) -> None:
        shutil.rmtree(self._folder(thread_id), ignore_errors=True)

    def _folder(self, thread_id: str) -> Path:
        return self._root.absolute() / short_hash(thread_id)


def describe(text: str) -> str:
    lines = text.count("\n") + 1
    return (
        f"{text[:SHOWN_CHARS].rstrip()}\n\n"
        f"[… this message is {len(text):,} characters in {lines:,} lines, too long to be read here: all of it is in "
        f"`context`, and only its beginning and its end are shown …]\n\n"
        f"{text[-SHOWN_CHARS:].lstrip()}"
    )


def short_hash(name: str) -> str:
    return sha256(name.encode()).hexdigest()[:16]


def write_private(path: Path, text: str) -> None:
    """Whole or not at all; others on the machine stay out."""
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        draft.replace(path)
    except OSError as error:
        raise InvalidRequest(f"The message is too long and can't be kept in {path.parent}: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)
