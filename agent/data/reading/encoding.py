"""Which letters a file's bytes stand for, and what is made of bytes that stand for none."""

from __future__ import annotations

import codecs
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SHOWN = {
    "cp1252": "Windows-1252",
    "mac_roman": "Mac Roman",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "utf-32": "UTF-32",
}
PROBE = 1 << 18
FOREIGN = 0.25
"""From this share of bytes above ASCII on, a text that is not UTF-8 is not in Latin letters."""


@dataclass
class Strays:
    """Bytes that the encoding does not know: how many were read as Windows-1252, and how many as nothing known."""

    mended: int = 0
    lost: int = 0


@dataclass(frozen=True)
class Encoding:
    name: str
    strays: Strays = field(default_factory=Strays, compare=False)

    @property
    def is_utf8(self) -> bool:
        return self.name in ("utf-8", "utf-8-sig")

    @property
    def notes(self) -> tuple[str, ...]:
        """What is odd about the text as far as it was read."""
        notes = [] if self.is_utf8 else [f"{SHOWN.get(self.name, self.name)} text"]
        if self.strays.mended:
            notes.append(f"{_bytes(self.strays.mended)} not UTF-8 read as Windows-1252")
        if self.strays.lost:
            notes.append(f"{_bytes(self.strays.lost)} undecodable replaced by \ufffd")
        return tuple(notes)

    @contextmanager
    def open(self, raw: BinaryIO) -> Iterator[io.TextIOWrapper]:
        """The text with its own line ends; strays are counted as they are met, one text at a time in a thread."""
        _reading.encoding = self
        text = io.TextIOWrapper(raw, encoding=self.name, errors=MENDED, newline="")
        try:
            yield text
        finally:
            text.detach()


def _bytes(count: int) -> str:
    return f"{count:,} byte{'' if count == 1 else 's'}"


_reading = threading.local()
MENDED = "mended"


def _mend(error: UnicodeError) -> tuple[str, int]:
    """Within UTF-8, what Windows-1252 makes of the bytes: they are mostly from there."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    encoding: Encoding = _reading.encoding
    bad = error.object[error.start : error.end]
    text = bad.decode("cp1252", errors="replace") if encoding.is_utf8 else "\ufffd"
    unknown = text.count("\ufffd")
    encoding.strays.lost += unknown
    encoding.strays.mended += len(text) - unknown
    return text, error.end


codecs.register_error(MENDED, _mend)


def find_encoding(head: bytes) -> Encoding:
    """By the mark at the beginning, else by what `head` can be read as."""
    for mark, name in MARKS:
        if head.startswith(mark):
            return Encoding(name)
    if wide := _wide(head):
        return Encoding(wide)
    valid, invalid = _utf8_counts(head)
    if not invalid or valid > invalid:
        return Encoding("utf-8")
    return Encoding(_single_byte(head))


def looks_binary(head: bytes) -> bool:
    if any(head.startswith(mark) for mark, _ in MARKS) or _wide(head):
        return False
    return b"\0" in head


def _wide(head: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of Latin text is zero."""
    probe = head[: 4096 & ~1]
    if len(probe) < 4 or b"\0" not in probe:
        return None
    even, odd = probe[::2].count(0), probe[1::2].count(0)
    half = len(probe) // 2
    if odd > 0.7 * half and even < 0.1 * half:
        return "utf-16-le"
    if even > 0.7 * half and odd < 0.1 * half:
        return "utf-16-be"
    return None


def _utf8_counts(head: bytes) -> tuple[int, int]:
    """How many letters beyond ASCII are UTF-8, and how many bytes are not. A letter cut off at the end is neither."""
    good = bad = 0
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    start = 0
    while start < len(head):
        try:
            text = decoder.decode(head[start:])
            return good + _beyond_ascii(text), bad
        except UnicodeDecodeError as error:
            good += _beyond_ascii(head[start : start + error.start].decode("utf-8"))
            start += max(error.end, error.start + 1)
            bad += 1
            decoder.reset()
        if bad > 500:
            break
    return good, bad


def _beyond_ascii(text: str) -> int:
    return len(text) - len(text.encode("ascii", "ignore"))


def _single_byte(head: bytes) -> str:
    high = sum(byte > 0x7F for byte in head)
    if high > FOREIGN * max(1, len(head) - head.count(b",") - head.count(b";")):
        from charset_normalizer import from_bytes

        best = from_bytes(head[:65_536]).best()
        if best is not None and best.encoding not in ("ascii", "utf_8"):
            return best.encoding
    return min(("cp1252", "mac_roman"), key=lambda name: _oddness(head, name))


def _oddness(head: bytes, name: str) -> int:
    """How many letters stand where no language of Latin letters has them: a capital or a sign within a word."""
    text = head.decode(name, errors="replace")
    odd = 0
    for place, letter in enumerate(text):
        if letter <= "\x7f":
            continue
        before, after = text[place - 1 : place], text[place + 1 : place + 2]
        if letter == "\ufffd" or letter < "\xa0":
            odd += 3
        elif letter.isalpha():
            odd += letter.isupper() and before.islower()
        elif letter not in "’‘'\xad\u2013\u2014\xa0·…":
            odd += before.isalpha() and after.isalpha()
    return odd
