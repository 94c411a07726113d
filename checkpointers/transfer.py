"""One thread in one file, to keep or to carry to another store. Nothing in it is revived on the way.

The file is zstd over msgpack: a header, then the checkpoints of each place, oldest first. A list is written as how much
it shares with the checkpoint before, and what follows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import ormsgpack
import zstandard
from langgraph.checkpoint.base import writes_sort_key

from checkpointers.encoding import Raw, RawList
from checkpointers.errors import StoreError
from checkpointers.records import Place

FORMAT = "checkpointers-thread"
VERSION = 1
_MAX_BYTES = 1 << 32


class RawWrite(NamedTuple):
    task_path: str
    task_id: str
    idx: int
    channel: str
    data: bytes


def merged(blobs: Iterable[bytes]) -> list[RawWrite]:
    """What the calls of `put_writes` brought, in the order that LangGraph applies it.

    Of two writes with one index the first counts; errors, interrupts and answers (negative indexes) are replaced.
    """
    found: dict[tuple[str, int], RawWrite] = {}
    for blob in blobs:
        task_id, path, writes = ormsgpack.unpackb(blob)
        for index, channel, data in writes:
            if index < 0 or (task_id, index) not in found:
                found[task_id, index] = RawWrite(path, task_id, index, channel, data)
    return sorted(found.values(), key=lambda w: writes_sort_key(w.task_path, w.task_id, w.idx))


@dataclass(frozen=True, slots=True)
class RawCheckpoint:
    """A checkpoint whose values are still packed; `head` is the checkpoint without its values, packed too."""

    place: Place
    id: str
    parent: str | None
    metadata: Mapping[str, Any]
    head: bytes
    values: Mapping[str, Raw | RawList]
    writes: list[RawWrite] = field(default_factory=list)


class BadThreadFile(StoreError):
    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(f"{path} is no exported thread ({detail}); nothing was imported. Export the thread again.")


def write(path: Path, thread_id: str, checkpoints: Iterable[RawCheckpoint]) -> int:
    """How many checkpoints were written; the file appears whole or not at all."""
    records, before = [], _Before()
    for checkpoint in checkpoints:
        records.append(
            [
                checkpoint.place.ns,
                checkpoint.id,
                checkpoint.parent,
                json.dumps(checkpoint.metadata),
                checkpoint.head,
                {channel: before.shortened(channel, value) for channel, value in checkpoint.values.items()},
                [list(w) for w in checkpoint.writes],
            ]
        )
        before.now(checkpoint.values)
    header = {"format": FORMAT, "version": VERSION, "thread_id": thread_id}
    part = path.with_name(path.name + ".part")
    part.write_bytes(zstandard.compress(ormsgpack.packb([header, records]), 10))
    part.replace(path)
    return len(records)


def read(path: Path, thread_id: str | None = None) -> tuple[str, Iterator[RawCheckpoint]]:
    """The thread's id (the given one, or its old one) and its checkpoints."""
    try:
        packed = zstandard.ZstdDecompressor().decompress(path.read_bytes(), max_output_size=_MAX_BYTES)
        header, records = ormsgpack.unpackb(packed)
        known = header["format"] == FORMAT and header["version"] <= VERSION
    except (zstandard.ZstdError, ormsgpack.MsgpackDecodeError, ValueError, TypeError, KeyError) as error:
        raise BadThreadFile(path, str(error)) from error
    if not known:
        raise BadThreadFile(path, f"format {header['format']!r}, version {header['version']}")
    target = thread_id or str(header["thread_id"])
    return target, _restored(target, records)


def _restored(thread_id: str, records: list[Any]) -> Iterator[RawCheckpoint]:
    before = _Before()
    for ns, checkpoint_id, parent, metadata, head, values, writes in records:
        whole = {channel: before.whole(channel, short) for channel, short in values.items()}
        before.now(whole)
        place = Place(thread_id, ns)
        found = [RawWrite(*w) for w in writes]
        yield RawCheckpoint(place, checkpoint_id, parent, json.loads(metadata), head, whole, found)


class _Before:
    """The values of the checkpoint before."""

    def __init__(self) -> None:
        self._values: dict[str, Raw | RawList] = {}

    def now(self, values: Mapping[str, Raw | RawList]) -> None:
        self._values = dict(values)

    def shortened(self, channel: str, value: Raw | RawList) -> Any:
        known = self._values.get(channel)
        if isinstance(value, Raw):
            return None if isinstance(known, Raw) and known.data == value.data else value.data
        old = known.elements if isinstance(known, RawList) else []
        shared = len(old) if value.elements[: len(old)] == old else 0
        return [shared, value.elements[shared:]]

    def whole(self, channel: str, short: Any) -> Raw | RawList:
        known = self._values.get(channel)
        if short is None and isinstance(known, Raw):
            return known
        if isinstance(short, bytes):
            return Raw(short)
        shared, more = short
        old = known.elements[:shared] if isinstance(known, RawList) else []
        return RawList([*old, *more])
