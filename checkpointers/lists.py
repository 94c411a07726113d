"""A list that is saved again and again: what stands in an earlier row is pointed at, only what is new is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from checkpointers import ropes
from checkpointers.encoding import Codec, RawList
from checkpointers.fingerprints import Fingerprint, watched
from checkpointers.ropes import SELF, Entry, Rope, Row

_MAX_PIECES = 64


@dataclass(frozen=True, slots=True)
class StoredList:
    """A list as it is stored: `rope` says where, `elements` are its packed elements."""

    rope: Rope
    elements: list[bytes]
    mark: Fingerprint | None
    size: int

    def settled(self, row: Row) -> StoredList:
        """After it was saved in this row."""
        if not any(entry.row == SELF for entry in self.rope):
            return self
        return StoredList(ropes.resolved(self.rope, row), self.elements, self.mark, self.size)


Spans = Callable[[Rope], list[Entry]]


class ListWriter:
    """`items` is what the row that is being written holds: new elements and pages are added to it."""

    def __init__(self, codec: Codec, items: list[Any], spans: Spans, *, watch: bool) -> None:
        self._codec, self._items, self._spans, self._watch = codec, items, spans, watch

    def stored(self, value: Any, known: StoredList | None) -> StoredList | None:
        """None for what is no list, or a list whose elements can't be told apart."""
        if isinstance(value, RawList):
            return self._changed(value.elements, None, known)
        if type(value) is not list or not self._codec.strict:
            return None
        value = value.copy()  # at once: another thread may be appending to it
        if known is not None and known.mark is not None and self._watch and known.mark.begins(value):
            return self._grown(value[len(known.elements) :], known, known.mark)
        elements, mark = self._packed(value)
        return None if elements is None else self._changed(elements, mark, known)

    def _packed(self, value: list[Any]) -> tuple[list[bytes] | None, Fingerprint | None]:
        return (self._watch and watched(value)) or (self._codec.elements(value), None)

    def _grown(self, more: list[Any], known: StoredList, mark: Fingerprint) -> StoredList | None:
        """The known list, unchanged, and more at its end."""
        if not more:
            return known
        elements, more_mark = self._packed(more)
        if elements is None:
            return None
        rope = self._written(known.rope, elements)
        size = known.size + sum(map(len, elements))
        return StoredList(rope, known.elements + elements, more_mark and mark.extended(more_mark), size)

    def _changed(self, new: list[bytes], mark: Fingerprint | None, known: StoredList | None) -> StoredList:
        old = known.elements if known else []
        kept = _common(old, new)
        rope, at = ropes.prefix(known.rope, kept) if known else ((), 0)
        if known and at < len(old) and at < len(new):
            pieces = _pieces(old, new, at)
            reused = any(piece[0] == _OLD for piece in pieces)
            rope = self._pieced(rope, pieces, new, self._spans(known.rope) if reused else [])
        else:
            rope = self._written(rope, new[at:])
        return StoredList(rope, new, mark, sum(map(len, new)))

    def _pieced(self, rope: Rope, pieces: list[tuple[int, int, int]], new: list[bytes], old: list[Entry]) -> Rope:
        for source, start, stop in pieces:
            if source == _NEW:
                rope = self._written(rope, new[start:stop])
            else:
                for span in ropes.cut(old, start, stop):
                    rope = ropes.appended(rope, span, self._items)
        return rope

    def _written(self, rope: Rope, elements: Sequence[bytes]) -> Rope:
        if not elements:
            return rope
        self._items.extend(elements)
        entry = Entry(SELF, len(self._items) - len(elements), len(elements), 0)
        return ropes.appended(rope, entry, self._items)


_OLD, _NEW = 0, 1


def _common(old: Sequence[bytes], new: Sequence[bytes]) -> int:
    """How many elements the two begin with in common."""
    both = min(len(old), len(new))
    if old[:both] == new[:both]:
        return both
    low, high = 0, both
    while low < high:
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _pieces(old: Sequence[bytes], new: Sequence[bytes], start: int) -> list[tuple[int, int, int]]:
    """`new` from `start` on as stretches (source, start, stop) of the old list, or of itself where it is new."""
    where = {element: position for position, element in reversed(list(enumerate(old)))}
    pieces: list[tuple[int, int, int]] = []
    for index in range(start, len(new)):
        source, position = _OLD, where.get(new[index], -1)
        if pieces and pieces[-1][0] == _OLD and old[pieces[-1][2] : pieces[-1][2] + 1] == [new[index]]:
            position = pieces[-1][2]
        if position < 0:
            source, position = _NEW, index
        if pieces and pieces[-1][0] == source and pieces[-1][2] == position:
            pieces[-1] = (source, pieces[-1][1], position + 1)
        else:
            pieces.append((source, position, position + 1))
    return pieces if len(pieces) <= _MAX_PIECES else [(_NEW, start, len(new))]
