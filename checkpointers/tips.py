"""What a saver remembers of the checkpoints it saw last, so that the next one is a small addition."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from langgraph.checkpoint.base import ChannelVersions

from checkpointers.fingerprints import Fingerprint
from checkpointers.records import Place, Run

# How a checkpoint's body refers to a value: the value itself, the key of a row, or where a list's elements lie.
Ref = bytes | int | tuple[Run, ...]

_MAX_PLACES = 1024
_MAX_BYTES = 64 << 20


@dataclass(slots=True)
class ListTip:
    """A list as it is stored. None of these are changed in place."""

    runs: tuple[Run, ...]
    elements: list[bytes]
    hashes: list[bytes]
    mark: Fingerprint | None
    size: int


@dataclass(slots=True)
class Tip:
    id: str
    versions: ChannelVersions
    refs: dict[str, Ref]
    lists: dict[str, ListTip] = field(default_factory=dict)
    size: int = 0
    head: bytes = b""
    body: bytes = b""  # as stored: when the row still holds these bytes, they needn't be opened again


class Tips:
    """The places used last, at most 64 MB of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tips: OrderedDict[Place, Tip] = OrderedDict()
        self._bytes = 0

    def get(self, place: Place) -> Tip | None:
        with self._lock:
            return self._tips.get(place)

    def put(self, place: Place, tip: Tip) -> None:
        tip.size = sum([known.size for known in tip.lists.values()])
        with self._lock:
            old = self._tips.pop(place, None)
            self._bytes += tip.size - (old.size if old else 0)
            self._tips[place] = tip
            while len(self._tips) > _MAX_PLACES or (self._bytes > _MAX_BYTES and len(self._tips) > 1):
                _, dropped = self._tips.popitem(last=False)
                self._bytes -= dropped.size

    def forget(self, thread_id: str) -> None:
        with self._lock:
            for place in [p for p in self._tips if p.thread_id == thread_id]:
                self._bytes -= self._tips.pop(place).size
