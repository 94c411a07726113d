"""What a DuckDB store has in memory: rows that aren't in the tables yet, and each place's newest checkpoint."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import ormsgpack

from checkpointers.records import NewRow, Place, Saved, Written

_HOT = 4_096


class Row(NamedTuple):
    """As in the tables: `part` is 0 for a checkpoint, else the number; rows that are only pointed at have no id."""

    thread_id: str
    ns: str
    number: int
    id: str
    part: int
    parent: str | None
    metadata: bytes
    data: bytes

    @classmethod
    def of(cls, new: NewRow, number: int) -> Row:
        part = 0 if new.is_checkpoint else number
        return cls(*new.place, number, new.id, part, new.parent, new.metadata, new.data)

    @property
    def place(self) -> Place:
        return Place(self.thread_id, self.ns)

    def hidden(self) -> Row:
        return self._replace(id="", part=self.number, parent=None)

    def packed(self) -> bytes:
        return ormsgpack.packb(tuple(self))


@dataclass
class _Newest:
    row: Row
    writes: list[Written] = field(default_factory=list)

    def saved(self) -> Saved:
        row = self.row
        return Saved(row.place, row.number, row.id, row.parent, row.metadata, row.data, list(self.writes))


class Recent:
    """Whoever uses it holds the store's lock. `known` has the newest checkpoint's id of every place."""

    def __init__(self) -> None:
        self.known: dict[Place, str] = {}
        self.pending: list[Row] = []
        self.again: set[tuple[Place, str]] = set()  # checkpoints that the tables may have already
        self._newest: OrderedDict[Place, _Newest] = OrderedDict()
        self._early: dict[tuple[Place, str], list[Written]] = {}  # writes that came before their checkpoint

    def add(self, row: Row) -> None:
        self.pending.append(row)
        if row.part:
            self._add_writes(row)
        else:
            self._add_checkpoint(row)

    def _add_writes(self, row: Row) -> None:
        newest = self._newest.get(row.place)
        if newest and newest.row.id == row.id:
            newest.writes.append(Written(row.number, row.data))
        elif row.id > self.known.setdefault(row.place, ""):
            self._early.setdefault((row.place, row.id), []).append(Written(row.number, row.data))

    def _add_checkpoint(self, row: Row) -> None:
        place, newest = row.place, self._newest.get(row.place)
        if row.id > self.known.get(place, ""):
            self.known[place] = row.id
            self.warm(row, self._early.pop((place, row.id), []))
            return
        self.again.add((place, row.id))
        if newest and newest.row.id == row.id:
            newest.row = row

    def warm(self, row: Row, writes: list[Written]) -> None:
        self._newest[row.place] = _Newest(row, writes)
        self._newest.move_to_end(row.place)
        while len(self._newest) > _HOT:
            self._newest.popitem(last=False)

    def newest(self, place: Place) -> Saved | None:
        found = self._newest.get(place)
        return found.saved() if found else None

    def holds(self, place: Place, number: int, checkpoint_id: str) -> bool:
        """Whether this checkpoint is there for sure."""
        found = self._newest.get(place)
        return found is not None and (found.row.number, found.row.id) == (number, checkpoint_id)

    def waits(self, place: Place) -> bool:
        return any(row.thread_id == place.thread_id and row.ns == place.ns for row in self.pending)

    def settled(self, moved: Iterable[Row], again: Collection[tuple[Place, str]]) -> list[Row]:
        """Rows as they go into the tables: of several with one id the last is the checkpoint."""
        rows = list(moved)
        last = {(row.place, row.id): row.number for row in rows if row.part == 0}
        return [row if row.part or last[row.place, row.id] == row.number else row.hidden() for row in rows]

    def forget(self, thread_id: str) -> list[Place]:
        """Nothing of this thread is known any more; its places."""
        places = [place for place in self.known if place.thread_id == thread_id]
        for place in places:
            del self.known[place]
            self._newest.pop(place, None)
        for early in [key for key in self._early if key[0].thread_id == thread_id]:
            del self._early[early]
        return places
