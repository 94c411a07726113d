"""`context` in generated code: text that was handed over, read when asked for, at any size."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import overload

BYTES_PER_TOKEN = 3
"""Fewer than any text has; a chunk of so many tokens is surely no larger."""
SHOWN_LINES, SHOWN_CHARS, SHOWN_FILES = 5, 200, 10
STRIDE = 1024
"""Every how many lines a position is remembered, so that slices need not read from the start."""

WIDE = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


class Text:
    """The lines of one file, or of a folder's text files in the order of their names; `files` has each by itself.

    Iterating yields lines without their ends; `len` counts lines; `context[3]` is a line and `context[3:9]` a list of
    lines. UTF-16 is known by its mark; of the rest what is not UTF-8 is read as Windows-1252, line by line. Nothing is
    kept but the positions of some lines.
    """

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self.paths = paths
        self._length: int | None = None
        self._marks: list[tuple[int, int]] = []

    @property
    def files(self) -> list[Text]:
        """Each file as a text of its own, in the order of `paths`."""
        return [Text((path,)) for path in self.paths]

    @property
    def text(self) -> str:
        """The whole text, with its line ends."""
        return "".join(map(_read, self.paths))

    @property
    def bytes(self) -> int:
        """The size on disk."""
        return sum(path.stat().st_size for path in self.paths)

    def chunks(
        self, tokens: int | None = None, lines: int | None = None, documents: bool = False, overlap: int = 0
    ) -> Iterator[str]:
        """Slices of the text, as items of llm_map: of at most `tokens` tokens at line ends, of `lines` lines, or whole
        files. `overlap` is how many lines a slice repeats of the one before.
        """
        if sum((tokens is not None, lines is not None, documents)) != 1:
            raise ValueError("give one of tokens=…, lines=… and documents=True")
        if documents:
            return map(_read, self.paths)
        most = lines if lines is not None else tokens
        if most is None or most < 1 or overlap < 0 or (lines is not None and overlap >= lines):
            raise ValueError("chunks have at least one line or token, and overlap by less than their lines")
        return self._windows(_one if lines is not None else _tokens, most, overlap)

    def search(self, pattern: str, flags: int = 0, limit: int | None = None) -> list[tuple[int, str]]:
        """The lines that the regular expression matches somewhere, with their numbers (from 0), at most `limit`."""
        return self.grep(pattern, flags, limit)

    def describe(self) -> str:
        """How large it is, of which files, and how it begins."""
        size, begins = self.bytes, []
        for line in itertools.islice(self, SHOWN_LINES):
            begins.append(line if len(line) <= SHOWN_CHARS else f"{line[:SHOWN_CHARS]}…")
        names = [f"  {path.name}: {path.stat().st_size:,} bytes" for path in self.paths[:SHOWN_FILES]]
        more = [f"  … and {len(self.paths) - SHOWN_FILES:,} files more"] if len(self.paths) > SHOWN_FILES else []
        head = (
            f"{size:,} bytes, about {size // BYTES_PER_TOKEN:,} tokens, {len(self):,} lines, {len(self.paths):,} files"
        )
        return "\n".join([head, *names, *more, "It begins:", *(f"  {line}" for line in begins)])

    def grep(self, pattern: str, flags: int = 0, limit: int | None = None) -> list[tuple[int, str]]:
        """The same as `search`."""
        wanted = re.compile(pattern, flags)
        found: list[tuple[int, str]] = []
        for number, line in enumerate(self):
            if limit is not None and len(found) >= limit:
                break
            if wanted.search(line):
                found.append((number, line))
        return found

    def __iter__(self) -> Iterator[str]:
        return self._lines(0, 0)

    def __len__(self) -> int:
        if self._length is None:
            self._length = self._survey()
        return self._length

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        wanted = range(len(self))[place]
        if isinstance(wanted, int):
            return self._between(wanted, wanted + 1)[0]
        if not wanted:
            return []
        low, high = min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1])
        lines = self._between(low, high + 1)
        return [lines[number - low] for number in wanted]

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        names = ", ".join(path.name for path in self.paths[:5])
        more = f" and {len(self.paths) - 5} more" if len(self.paths) > 5 else ""
        return f"<text of {self.bytes:,} bytes: {names}{more}>"

    def _windows(self, size: Callable[[str], int], most: int, overlap: int) -> Iterator[str]:
        """Lines together while they fit `most`; a line that is too large alone is a slice by itself."""
        held: list[str] = []
        room, fresh = most, 0
        for line in self:
            needed = size(line)
            if fresh and needed > room:
                yield "\n".join(held)
                held = held[-overlap:] if overlap else []
                room, fresh = most - sum(map(size, held)), 0
            held.append(line)
            room -= needed
            fresh += 1
        if fresh:
            yield "\n".join(held)

    def _survey(self) -> int:
        """Count the lines and remember where every STRIDE-th of them starts."""
        marks, number = [], 0
        for place, path in enumerate(self.paths):
            position = 0
            for _, size in _pieces(path, 0):
                if number % STRIDE == 0:
                    marks.append((place, position))
                position += size
                number += 1
        self._marks = marks
        return number

    def _between(self, low: int, high: int) -> list[str]:
        place, position = self._marks[low // STRIDE]
        lines = self._lines(place, position)
        for _ in range(low % STRIDE):
            next(lines)
        return [next(lines) for _ in range(high - low)]

    def _lines(self, place: int, position: int) -> Iterator[str]:
        for path in self.paths[place:]:
            for line, _ in _pieces(path, position):
                yield line.rstrip("\r\n")
            position = 0


def _one(line: str) -> int:
    return 1


def _tokens(line: str) -> int:
    """At least as many as a model counts, its line end included."""
    return -(-(len(line.encode("utf-8", "replace")) + 1) // BYTES_PER_TOKEN)


def _pieces(path: Path, position: int) -> Iterator[tuple[str, int]]:
    """Lines with their ends from the byte `position` on, and how many bytes each takes."""
    with path.open("rb") as file:
        wide = WIDE.get(file.read(2))
        file.seek(position)
        if wide is None:
            for raw in file:
                yield _decode(raw), len(raw)
            return
        text = io.TextIOWrapper(file, encoding=wide, errors="replace", newline="\n")
        try:
            for line in text:
                yield line.removeprefix("\ufeff"), len(line.encode(wide, "surrogatepass"))
        finally:
            text.detach()


def _read(path: Path) -> str:
    raw = path.read_bytes()
    wide = WIDE.get(raw[:2])
    return raw.decode(wide, errors="replace").removeprefix("\ufeff") if wide else _decode(raw)


def _decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        lines = raw.splitlines(keepends=True)
    return raw.decode("cp1252", errors="replace") if len(lines) < 2 else "".join(map(_decode, lines))
