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
_MAX_EARLY, _MAX_EARLY_BYTES = 64, 1 << 16


class Writing:
    """The calls of `put_writes` that are under way."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    def __enter__(self) -> None:
        with self._changed:
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def wait(self, seconds: float = 1.0) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._count, seconds)


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
    writing: Writing = field(default_factory=Writing)
    size: int = 0


class Tips:
    """The places used last, at most 64 MB of them."""

    def __init__(self, most: int = _MAX_BYTES) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._tips: OrderedDict[Place, Tip] = OrderedDict()
        self._early: OrderedDict[Place, tuple[str, Base]] = OrderedDict()
        self._bytes = 0

    def get(self, place: Place) -> Tip | None:
        with self._lock:
            return self._tips.get(place)

    def put(self, place: Place, tip: Tip) -> None:
        with self._lock:
            self._drop(place)
            early_id, early = self._early.pop(place, ("", None))
            if early_id == tip.id and tip.base is None:
                tip.base = early
            tip.size = _size(tip)
            if tip.size > self._most:
                return
            self._tips[place] = tip
            self._bytes += tip.size
            while len(self._tips) > _MAX_PLACES or self._bytes > self._most:
                self._drop(next(iter(self._tips)))

    def based(self, place: Place, checkpoint_id: str, base: Base) -> None:
        """The largest row that was written to a checkpoint; it may come before the checkpoint."""
        with self._lock:
            tip = self._tips.get(place)
            if tip is None or tip.id != checkpoint_id:
                if len(base.plain) <= _MAX_EARLY_BYTES:
                    self._early[place] = (checkpoint_id, base)
                if len(self._early) > _MAX_EARLY:
                    self._early.popitem(last=False)
            elif len(base.plain) > (len(tip.base.plain) if tip.base else 0):
                self._bytes -= tip.size
                tip.base = base
                tip.size = _size(tip)
                self._bytes += tip.size

    def forget(self, thread_id: str) -> None:
        with self._lock:
            for place in [p for p in {**self._tips, **self._early} if p.thread_id == thread_id]:
                self._drop(place)
                self._early.pop(place, None)

    def _drop(self, place: Place) -> None:
        dropped = self._tips.pop(place, None)
        if dropped is not None:
            self._bytes -= dropped.size


def _size(tip: Tip) -> int:
    lists = sum([2 * known.size + _LIST_BYTES * len(known.elements) for known in tip.lists.values()])
    base = len(tip.base.plain) if tip.base else 0
    return _TIP_BYTES + len(tip.head) + base + lists + sum(map(len, tip.values.values()))
