"""A checkpoint as one row: its head, where its values are, and those that are new. And back from rows to values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import ormsgpack
from langgraph.checkpoint.base import ChannelVersions, Checkpoint

from checkpointers import ropes
from checkpointers.encoding import Codec, Raw, RawList
from checkpointers.lists import ListWriter
from checkpointers.records import pointer
from checkpointers.ropes import SELF, Entry, Items, Rope, Row
from checkpointers.tips import At, Ref, Tip

_PACK = ormsgpack.OPT_NON_STR_KEYS
_INLINE = 64


class Missing(Exception):
    """A row that another one points at isn't there."""


class Body(NamedTuple):
    """What a checkpoint's row holds. `items` are packed values, elements of lists, and pages of ropes."""

    head: bytes
    metadata: bytes
    refs: dict[str, Ref]
    items: list[Any]

    def packed(self) -> bytes:
        refs = {channel: _packable(ref) for channel, ref in self.refs.items()}
        return ormsgpack.packb([self.head, self.metadata, refs, self.items], option=_PACK)

    @classmethod
    def unpacked(cls, plain: bytes, row: Row) -> Body:
        head, metadata, refs, items = ormsgpack.unpackb(plain, option=_PACK)
        return cls(head, metadata, {channel: _resolved(_unpacked(ref), row) for channel, ref in refs.items()}, items)


def _packable(ref: Ref) -> Any:
    if isinstance(ref, bytes):
        return ref
    return list(ref) if isinstance(ref, At) else ropes.packable(ref)


def _unpacked(ref: Any) -> Ref:
    if isinstance(ref, bytes):
        return ref
    return At(*ref) if len(ref) == len(At._fields) else ropes.unpacked(ref)


def _resolved(ref: Ref, row: Row) -> Ref:
    if isinstance(ref, bytes):
        return ref
    if isinstance(ref, At):
        return ref._replace(row=row) if ref.row == SELF else ref
    return ropes.resolved(ref, row)


def settled(tip: Tip, number: int) -> Tip:
    """The tip after it was saved in the row of this number."""
    row = pointer(number)
    tip.number = number
    for channel, ref in tip.refs.items():
        if channel in tip.lists:
            tip.lists[channel] = settled_list = tip.lists[channel].settled(row)
            tip.refs[channel] = settled_list.rope
        elif isinstance(ref, At):
            tip.refs[channel] = _resolved(ref, row)
    return tip


class StepWriter:
    """Turns one checkpoint's values into refs, and the items that the refs need."""

    def __init__(self, codec: Codec, before: Tip | None, spans: Callable[[Rope], list[Entry]], *, watch: bool) -> None:
        self._codec, self._before = codec, before
        self.items: list[Any] = []
        self._lists = ListWriter(codec, self.items, spans, watch=watch)

    def encode(self, checkpoint: Checkpoint, metadata: bytes, new: ChannelVersions) -> Tip:
        head = {key: value for key, value in checkpoint.items() if key not in ("channel_values", "id")}
        versions = checkpoint["channel_versions"]
        tip = Tip(SELF, checkpoint["id"], dict(versions), {}, self._codec.dumps(head), metadata)
        for channel, value in checkpoint["channel_values"].items():
            if not self._carried(channel, versions, new, tip):
                tip.refs[channel] = self._ref(channel, value, tip)
        return tip

    def _carried(self, channel: str, versions: ChannelVersions, new: ChannelVersions, tip: Tip) -> bool:
        """A channel that has no new version stands where it stood before."""
        before = self._before
        if before is None or channel in new or channel not in before.refs:
            return False
        if before.versions.get(channel) != versions.get(channel):
            return False
        tip.refs[channel] = before.refs[channel]
        if channel in before.lists:
            tip.lists[channel] = before.lists[channel]
        if channel in before.values:
            tip.values[channel] = before.values[channel]
        return True

    def _ref(self, channel: str, value: Any, tip: Tip) -> Ref:
        known = self._before.lists.get(channel) if self._before else None
        listed = self._lists.stored(value, known)
        if listed is not None:
            tip.lists[channel] = listed
            return listed.rope
        data = self._codec.dumps(value)
        if len(data) <= _INLINE:
            return data
        tip.values[channel] = data
        self.items.append(data)
        return At(SELF, len(self.items) - 1)


class StepReader:
    """The rows of one place, each read and opened once."""

    def __init__(self, codec: Codec, fetch: Callable[[Sequence[int]], Mapping[int, bytes]]) -> None:
        self._codec, self._fetch = codec, fetch
        self._sealed: dict[int, bytes] = {}
        self._opened: dict[int, bytes] = {}
        self._bodies: dict[int, Body] = {}

    def know(self, row: int, sealed: bytes) -> None:
        self._sealed[row] = sealed

    def load(self, rows: Iterable[Row]) -> Mapping[Row, Items]:
        wanted = [int(row) for row in rows]
        self._read(wanted)
        return {row: self.body(row).items for row in wanted}

    def body(self, row: int) -> Body:
        found = self._bodies.get(row)
        if found is None:
            found = self._bodies[row] = Body.unpacked(self.plain(row), row)
        return found

    def plain(self, row: int) -> bytes:
        """What a row holds when opened."""
        found = self._opened.get(row)
        if found is None:
            self._read([row])
            found = self._opened[row] = self._codec.open(self._sealed[row], self.plain)
        return found

    def _read(self, rows: Iterable[int]) -> None:
        """Also the rows without which these can't be opened."""
        missing = sorted({row for row in rows if row not in self._sealed})
        while missing:
            found = self._fetch(missing)
            if len(found) < len(missing):
                raise Missing(f"row {min(set(missing) - set(found))} is gone")
            self._sealed.update(found)
            bases = {self._codec.base_of(sealed) for sealed in found.values()}
            missing = sorted(base for base in bases if base is not None and base not in self._sealed)

    def raw(self, ref: Ref) -> Raw | RawList:
        if isinstance(ref, bytes):
            return Raw(ref)
        if isinstance(ref, At):
            return Raw(self.load([ref.row])[ref.row][ref.item])
        return RawList(ropes.elements(ref, self.load))

    def spans(self, rope: Rope) -> list[Entry]:
        return ropes.spans(rope, self.load)
