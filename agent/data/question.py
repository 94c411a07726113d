"""A question too long to be read is data: it is kept as a text, and the model sees how it begins and ends."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from agent.data.source import DataSource
from agent.data.text import open_text
from graph.errors import InvalidRequest

LONGEST_QUESTION = 20_000
"""Characters that the model reads as they are."""

SHOWN_CHARS = 2_000
"""Of a longer one, of its beginning and of its end: the question itself may stand at either."""


class LongQuestions:
    """The texts of one home, in a folder for each thread and in that one for each request."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def keep(self, text: str, thread_id: str, request_id: str, source: DataSource) -> tuple[str, DataSource]:
        """What the model is asked instead, and the source with the text after those that it had.

        The same request is kept once. Raises InvalidRequest when it can't be kept.
        """
        folder = self._folder(thread_id) / short_hash(request_id)
        if not folder.exists():
            earlier = open_text(Path(source.text)).paths if source.text else ()
            with draft_of(folder) as draft:
                for place, path in enumerate(earlier):
                    (draft / f"{place:04}-{path.name}").symlink_to(path)
                write_private(draft / f"{len(earlier):04}-message.txt", text)
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


@contextmanager
def draft_of(folder: Path) -> Iterator[Path]:
    """A draft that takes its place whole or not at all. Raises InvalidRequest."""
    draft = folder.with_name(f".{folder.name}.{uuid4().hex}")
    try:
        draft.mkdir(parents=True, mode=0o700)
        yield draft
        draft.rename(folder)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise InvalidRequest(f"The message is too long, and can't be kept in {folder}: {error.strerror}") from error


def write_private(path: Path, text: str) -> None:
    """Others on the machine stay out."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)
