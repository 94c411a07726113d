"""What a saver remembers of the checkpoints it saw last, so that the next one is a small addition."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

from langgraph.checkpoint.base import ChannelVersions

from checkpointers.encoding import Base
from checkpointers.lists import StoredList
from checkpointers.records import Place
from checkpointers.ropes import Rope, Row


class At(NamedTuple):
    """The item of a row that holds a value."""

    row: Row
    item: int


# How a checkpoint refers to a value: the value itself, where it stands, or where a list's elements are.
Ref = bytes | At | Rope

_MAX_PLACES = 1024
_MAX_BYTES = 64 << 20
_LIST_BYTES = 700  # of an element, besides its bytes twice: packed, and as the strings that its fingerprint holds
_TIP_BYTES = 4096


@dataclass(slots=True)
class Tip:
    """A checkpoint as it is stored in the row `number`; `values` are the packed bytes of those that aren't lists.

    `base` is a row in which the next step's new values may stand already: the input, or what a task wrote.
    """

    number: int
    id: str
    versions: ChannelVersions
    refs: dict[str, Ref]
    head: bytes = b""
    metadata: bytes = b""
    values: dict[str, bytes] = field(default_factory=dict)
    lists: dict[str, StoredList] = field(default_factory=dict)
    base: Base | None = None
    size: int = 0


class Tips:
    """The places used last, at most 64 MB of them."""

    def __init__(self, most: int = _MAX_BYTES) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._tips: OrderedDict[Place, Tip] = OrderedDict()
        self._bytes = 0

    def get(self, place: Place) -> Tip | None:
        with self._lock:
            return self._tips.get(place)

    def put(self, place: Place, tip: Tip) -> None:
        tip.size = _size(tip)
        with self._lock:
            self._drop(place)
            if tip.size > self._most:
                return
            self._tips[place] = tip
            self._bytes += tip.size
            while len(self._tips) > _MAX_PLACES or self._bytes > self._most:
                self._drop(next(iter(self._tips)))

    def based(self, place: Place, tip: Tip, base: Base) -> None:
        """The largest row that was written to the tip since."""
        with self._lock:
            if self._tips.get(place) is tip and len(base.plain) > (len(tip.base.plain) if tip.base else 0):
                self._bytes -= tip.size
                tip.base = base
                tip.size = _size(tip)
                self._bytes += tip.size

    def forget(self, thread_id: str) -> None:
        with self._lock:
            for place in [p for p in self._tips if p.thread_id == thread_id]:
                self._drop(place)

    def _drop(self, place: Place) -> None:
        dropped = self._tips.pop(place, None)
        if dropped is not None:
            self._bytes -= dropped.size


def _size(tip: Tip) -> int:
    lists = sum([2 * known.size + _LIST_BYTES * len(known.elements) for known in tip.lists.values()])
    base = len(tip.base.plain) if tip.base else 0
    return _TIP_BYTES + len(tip.head) + base + lists + sum(map(len, tip.values.values()))
