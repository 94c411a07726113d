"""How much one reader is given: leaves that are small enough to be read well, at any size of the whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

BYTES_PER_TOKEN = 3
"""Of any text, on the safe side: models have 3 to 5 bytes of English a token, and fewer of digits and other scripts."""
HEADER_CHARS = 500
BODY = "\n---\n"
"""Between what a reader is told of a part and its text."""
COLUMNS = (
    re.compile(r"\s*\|\s*"),
    re.compile("\t"),
    re.compile(r"\s*,\s*"),
    re.compile(r"\s*;\s*"),
    re.compile(" {2,}"),
)
RULE = re.compile(r"[\s|+:=-]*-{2}[\s|+:=-]*")

Count = Callable[[str], int]
Packed = TypeVar("Packed")


def count_tokens(text: str) -> int:
    """At least as many as a model counts, by the size alone."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // BYTES_PER_TOKEN)


def cut(text: str, most: int, count: Count) -> Iterator[str]:
    """The text in slices of at most `most` tokens: at line ends where there are any, else at blanks, else anywhere."""
    at, width = 0, most * BYTES_PER_TOKEN
    while at < len(text):
        end = min(len(text), at + width)
        while count(text[at:end]) > most and end - at > 1:
            end = at + max(1, (end - at) * 2 // 3)
        if end < len(text):
            end = max(text.rfind("\n", at + 1, end), text.rfind(" ", at + (end - at) // 2, end)) + 1 or end
        yield text[at:end]
        at = end


def pack(items: Iterable[Packed], size: Callable[[Packed], int], most: int, many: int) -> Iterator[list[Packed]]:
    """Neighbours together, as many as fit `most` tokens and are at most `many`; what is too large alone."""
    held: list[Packed] = []
    room = most
    for item in items:
        needed = size(item)
        if held and (needed > room or len(held) >= many):
            yield held
            held, room = [], most
        held.append(item)
        room -= needed
    if held:
        yield held


@dataclass(frozen=True)
class Part:
    """A leaf of an output: lines `first` to `last` of `source`, counted from 1, under the table's header if it has one.

    `whole` is False for a slice of a line that is longer than a leaf.
    """

    source: str
    first: int
    last: int
    text: str
    header: str = ""
    whole: bool = True

    @property
    def lines(self) -> str:
        return f"line {self.first}" if self.first == self.last else f"lines {self.first}–{self.last}"


def parts_of(source: str, pieces: Iterable[str], most: int, count: Count) -> Iterator[Part]:
    """A stream of text as parts of at most `most` tokens with their headers. Blank lines at its end are left out."""
    header, held, first, number, room = "", list[str](), 1, 0, most
    opening: list[str] = []
    for number, line in enumerate(lines_of(pieces), 1):
        if len(opening) < 4:
            opening.append(line)
            header = find_header(opening) if count(line) <= most // 4 else header
        needed = count(line)
        if held and needed > room:
            yield part(source, first, held, header)
            held, first = [], number
            room = most - count(header)
        if needed > room:
            for slice_ in cut(line, max(1, room), count):
                yield Part(source, number, number, slice_, whole=False)
            first, room = number + 1, most - count(header)
            continue
        held.append(line)
        room -= needed
    if "".join(held).strip():
        yield part(source, first, held, header)


def part(source: str, first: int, lines: list[str], header: str) -> Part:
    """The header goes with all parts but the one that holds it."""
    return Part(source, first, first + len(lines) - 1, "".join(lines), header if first > 1 else "")


def lines_of(pieces: Iterable[str]) -> Iterator[str]:
    """Whole lines with their ends, from a text in pieces."""
    held: list[str] = []
    for piece in pieces:
        *whole, rest = piece.split("\n")
        for line in whole:
            held.append(line)
            yield "".join(held) + "\n"
            held.clear()
        if rest:
            held.append(rest)
    if held:
        yield "".join(held)


def find_header(lines: list[str]) -> str:
    """The first line when it names the columns of those below: as many of them, and words where they have numbers."""
    if len(lines) < 3 or len(lines[0]) > HEADER_CHARS:
        return ""
    rule = lines[1] if RULE.fullmatch(lines[1]) else ""
    below = lines[2:] if rule else lines[1:]
    for separator in COLUMNS:
        names = separator.split(lines[0].strip())
        widths = [len(separator.split(line.strip())) for line in below]
        if len(names) > 1 and all(width == len(names) for width in widths) and not any(map(is_number, names)):
            numbers = any(is_number(cell) for line in below for cell in separator.split(line.strip()))
            return lines[0] + rule if rule or numbers else ""
    return ""


def is_number(text: str) -> bool:
    return bool(re.fullmatch(r"[-+]?[\d.,:/ -]*\d[\d.,:%/ -]*", text))
