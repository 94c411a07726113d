"""Files of our earlier versions: lists were runs of segments in lineages, values and writes had tables of their own.

Their tables were renamed to `earlier_…`; threads are taken over from them, one after another, when the file is opened.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import ormsgpack

from checkpointers.encoding import Codec, Raw, RawList
from checkpointers.errors import CorruptRow
from checkpointers.records import Place
from checkpointers.transfer import RawCheckpoint, merged

Execute = Callable[..., Any]
_TABLES = ("earlier_checkpoints", "earlier_segments", "earlier_values", "earlier_writes")


@dataclass(frozen=True)
class Earlier:
    """`joined` is what follows a table's name to give it the columns thread_id and ns."""

    tables: str
    joined: str = ""
    writes: str = "checkpoint"
    order: str = "rowid"

    def is_there(self, execute: Execute) -> bool:
        return ("earlier_checkpoints",) in execute(self.tables).fetchall()

    def threads(self, execute: Execute) -> list[str]:
        sql = f"SELECT DISTINCT thread_id FROM earlier_checkpoints {self.joined} ORDER BY thread_id"  # noqa: S608
        return [row[0] for row in execute(sql).fetchall()]

    def checkpoints(self, execute: Execute, thread_id: str, codec: Codec) -> Iterator[RawCheckpoint]:
        """A thread's checkpoints, oldest first in each place."""
        reader = _Reader(self, execute, codec)
        sql = self._select("ns, id, parent, metadata, body", "checkpoints", "thread_id=? ORDER BY ns, id")
        for ns, checkpoint_id, parent, metadata, body in execute(sql, [thread_id]).fetchall():
            place = Place(thread_id, ns)
            try:
                head, refs = ormsgpack.unpackb(codec.open(body), option=ormsgpack.OPT_NON_STR_KEYS)
                values = {channel: reader.value(place, ref) for channel, ref in refs.items()}
                writes = merged(map(codec.open, reader.writes(place, checkpoint_id)))
                yield RawCheckpoint(place, checkpoint_id, parent, _metadata(metadata, codec), head, values, writes)
            except (ValueError, KeyError) as error:
                what = f"checkpoint {checkpoint_id} of thread {thread_id!r}, saved by an earlier version,"
                raise CorruptRow("this file", what, str(error)) from error

    def removal(self, thread_id: str | None) -> tuple[str, ...]:
        """The statements that remove a thread's rows, or with None the empty tables."""
        if thread_id is None:
            return tuple(f"DROP TABLE {table}" for table in (*_TABLES, *(("earlier_places",) if self.joined else ())))
        where = "place IN (SELECT place FROM earlier_places WHERE thread_id=?)" if self.joined else "thread_id=?"
        return tuple(f"DELETE FROM {table} WHERE {where}" for table in _TABLES)  # noqa: S608 our own tables

    @staticmethod
    def journaled(payload: bytes, sequence: int) -> Iterator[tuple[str, list[Any]]]:
        """The statements that save a frame of the journal."""
        checkpoint, segments, values, writes = ormsgpack.unpackb(payload)
        for table, rows in (("segments", segments), ("values", values)):
            for place, *rest in rows:
                marks = ",".join("?" * (2 + len(rest)))
                yield f"INSERT INTO earlier_{table} VALUES({marks})", [*place, *rest]
        if writes:
            yield "INSERT INTO earlier_writes VALUES(?,?,?,?,?)", [*writes[0], writes[1], sequence, writes[2]]
        if checkpoint:
            place, checkpoint_id, *rest = checkpoint
            yield "DELETE FROM earlier_checkpoints WHERE thread_id=? AND ns=? AND id=?", [*place, checkpoint_id]
            yield "INSERT INTO earlier_checkpoints VALUES(?,?,?,?,?,?)", [*place, checkpoint_id, *rest]

    def _select(self, columns: str, table: str, where: str) -> str:
        return f"SELECT {columns} FROM earlier_{table} {self.joined} WHERE {where}"  # noqa: S608 our own texts


SQLITE = Earlier("SELECT name FROM sqlite_master", "JOIN earlier_places USING(place)", order="earlier_writes.rowid")
DUCKDB = Earlier("SELECT table_name FROM duckdb_tables()", writes="checkpoint_id", order="seq")


@dataclass
class _Reader:
    source: Earlier
    execute: Execute
    codec: Codec
    _lineages: dict[tuple[Place, int], list[bytes]] = field(default_factory=dict)

    def value(self, place: Place, ref: Any) -> Raw | RawList:
        if isinstance(ref, bytes):
            return Raw(ref)
        if isinstance(ref, int):
            sql = self.source._select("data", "values", "thread_id=? AND ns=? AND key=?")
            rows = self.execute(sql, [*place, ref]).fetchall()
            return Raw(self.codec.open(rows[0][0] if rows else b""))
        elements = [e for lineage, start, stop in ref for e in self._lineage(place, lineage)[start:stop]]
        if len(elements) != sum(stop - start for _, start, stop in ref):
            raise ValueError("elements of a list are gone")
        return RawList(elements)

    def _lineage(self, place: Place, lineage: int) -> list[bytes]:
        known = self._lineages.get((place, lineage))
        if known is None:
            sql = self.source._select("start, data", "segments", "thread_id=? AND ns=? AND lineage=? ORDER BY start")
            known = self._lineages[place, lineage] = []
            for start, data in self.execute(sql, [*place, lineage]).fetchall():
                known += [b""] * (start - len(known))
                known += ormsgpack.unpackb(self.codec.open(data))
        return known

    def writes(self, place: Place, checkpoint_id: str) -> list[bytes]:
        where = f"thread_id=? AND ns=? AND {self.source.writes}=? ORDER BY {self.source.order}"
        sql = self.source._select("data", "writes", where)
        return [row[0] for row in self.execute(sql, [*place, checkpoint_id]).fetchall()]


def _metadata(data: bytes, codec: Codec) -> Any:
    data = data if data[:1] == b"{" else codec.open(data)
    return json.loads(data) if data[:1] == b"{" else ormsgpack.unpackb(data)
