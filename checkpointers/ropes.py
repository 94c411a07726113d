"""A list as a rope: entries that point at where its elements stand, in rows that never change.

At level 0 an entry is `size` items of a row, from `item` on, one element each. Above it is one item, a page: the rope
of `size` elements. A step that appends writes its new elements into its own row and one entry more; when a level has
eight entries they become a page. So a list of any length takes a few entries in each checkpoint, and no row is ever
written to by two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

SELF = 0
FANOUT = 8

Row = int | str


class Entry(NamedTuple):
    row: Row  # SELF in the row that is being written
    item: int
    size: int
    level: int


Rope = tuple[Entry, ...]
Items = Sequence[Any]
Load = Callable[[Iterable[Row]], Mapping[Row, Items]]


def appended(rope: Sequence[Entry], entry: Entry, items: list[Any]) -> Rope:
    """The rope and one entry more. Pages go to the `items` of the row that is being written."""
    entries = [*rope, entry]
    while len(entries) >= FANOUT and entries[-FANOUT].level == entries[-1].level:
        page = entries[-FANOUT:]
        items.append(packable(page))
        entries[-FANOUT:] = [Entry(SELF, len(items) - 1, sum([e.size for e in page]), page[0].level + 1)]
    return tuple(entries)


def prefix(rope: Rope, length: int) -> tuple[Rope, int]:
    """The whole entries among the first `length` elements, and how many elements they are."""
    found, at = [], 0
    for entry in rope:
        if at + entry.size > length:
            break
        found.append(entry)
        at += entry.size
    return tuple(found), at


def spans(rope: Rope, load: Load) -> list[Entry]:
    """The entries of level 0, in order; pages are loaded, all of one level at a time."""
    entries = list(rope)
    while any(entry.level for entry in entries):
        top = max(entry.level for entry in entries)
        rows = load({entry.row for entry in entries if entry.level == top})
        entries = [below for entry in entries for below in (_page(entry, rows) if entry.level == top else (entry,))]
    return entries


def _page(entry: Entry, rows: Mapping[Row, Items]) -> Rope:
    return resolved(unpacked(rows[entry.row][entry.item]), entry.row)


def elements(rope: Rope, load: Load) -> list[bytes]:
    found = spans(rope, load)
    rows = load({span.row for span in found})
    return [element for span in found for element in rows[span.row][span.item : span.item + span.size]]


def touched(rope: Rope, load: Load, seen: set[tuple[Row, int]]) -> Iterator[tuple[Row, range]]:
    """The rows and items without which the rope can't be read, but for the pages that were `seen`."""
    pages = [entry for entry in rope if entry.level and (entry.row, entry.item) not in seen]
    yield from ((entry.row, range(entry.item, entry.item + entry.size)) for entry in rope if not entry.level)
    rows = load({entry.row for entry in pages}) if pages else {}
    for entry in pages:
        seen.add((entry.row, entry.item))
        yield entry.row, range(entry.item, entry.item + 1)
        yield from touched(_page(entry, rows), load, seen)


def cut(found: Iterable[Entry], start: int, stop: int) -> list[Entry]:
    """The spans of the elements `start` to `stop`."""
    out, at = [], 0
    for span in found:
        low, high = max(start - at, 0), min(stop - at, span.size)
        if low < high:
            out.append(span._replace(item=span.item + low, size=high - low))
        at += span.size
    return out


def resolved(rope: Sequence[Entry], row: Row) -> Rope:
    """With the row's name in place of SELF."""
    return tuple([entry if entry[0] != SELF else Entry(row, *entry[1:]) for entry in rope])


def packable(rope: Sequence[Entry]) -> list[Any]:
    return [value for entry in rope for value in entry]


def unpacked(values: Sequence[Any]) -> Rope:
    return tuple([Entry(*values[i : i + 4]) for i in range(0, len(values), 4)])
