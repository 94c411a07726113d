"""Lists as our own kind of blob: a rope, and the items that are new. Entries name other blobs by their version."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import ormsgpack

from checkpointers import ropes
from checkpointers.encoding import Codec
from checkpointers.ropes import Entry, Items, Rope, Row
from checkpointers.steps import Missing

ROPE = "rope"
SEGMENTS = "segments"  # of our earlier versions: runs of rows in checkpoint_segments


def sealed(codec: Codec, rope: Rope, items: list[Any]) -> bytes:
    return codec.seal(ormsgpack.packb([ropes.packable(rope), items]))


class BlobReader:
    """The lists of one channel. `fetch` reads blobs by their versions."""

    def __init__(self, codec: Codec, fetch: Callable[[Sequence[str]], Mapping[str, bytes]]) -> None:
        self._codec, self._fetch = codec, fetch
        self._ropes: dict[Row, Rope] = {}
        self._items: dict[Row, Items] = {}

    def know(self, version: str, blob: bytes) -> Rope:
        rope, items = ormsgpack.unpackb(self._codec.open(blob))
        self._ropes[version] = ropes.resolved(ropes.unpacked(rope), version)
        self._items[version] = items
        return self._ropes[version]

    def load(self, rows: Iterable[Row]) -> Mapping[Row, Items]:
        missing = [str(row) for row in rows if row not in self._items]
        found = self._fetch(missing) if missing else {}
        if len(found) < len(missing):
            raise Missing(f"a blob of version {min(set(missing) - set(found))} is gone")
        for version, blob in found.items():
            self.know(version, blob)
        return self._items

    def spans(self, rope: Rope) -> list[Entry]:
        return ropes.spans(rope, self.load)


def needed(
    named: Mapping[str, Iterable[str]], lists: Mapping[tuple[str, str], bytes], codec: Codec
) -> set[tuple[str, str]]:
    """The blobs, as (channel, version), that the `named` versions of each channel are made of."""
    found: set[tuple[str, str]] = set()
    for channel, versions in named.items():
        blobs = {version: blob for (of, version), blob in lists.items() if of == channel}
        reader = BlobReader(codec, lambda wanted, blobs=blobs: {v: blobs[v] for v in wanted if v in blobs})  # type: ignore[misc]
        seen: set[tuple[Row, int]] = set()
        for version in versions:
            found.add((channel, version))
            if version in blobs:
                rope = reader.know(version, blobs[version])
                found.update((channel, str(row)) for row, _ in ropes.touched(rope, reader.load, seen))
    return found
