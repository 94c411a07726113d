"""What becomes of a place's rows when some of its checkpoints go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from checkpointers import ropes
from checkpointers.encoding import Codec
from checkpointers.records import Kept, Place, Sweep, pointer
from checkpointers.ropes import Row
from checkpointers.steps import Body, StepReader
from checkpointers.tips import At

_BLANK = b""


def swept(place: Place, rows: Sequence[Kept], stays: Collection[str], reader: StepReader, codec: Codec) -> Sweep:
    """Rows that kept checkpoints point at stay without the rest of what they hold; all others go."""
    sweep = Sweep(place)
    there = {row.id for row in rows if row.is_checkpoint}
    # writes may come before their checkpoint
    alive = {row.number: row for row in rows if row.id and (row.id in stays or row.id not in there)}
    bases = {pointer(number) for number in alive}
    needed = _needed([row for row in alive.values() if row.is_checkpoint], reader)
    for row in rows:
        if row.number in alive:
            base = codec.base_of(row.data)
            if base is not None and base not in bases:
                sweep.rewritten[row.number] = codec.seal(reader.plain(pointer(row.number)))
            if row.is_checkpoint and row.parent is not None and row.parent not in stays:
                sweep.orphans.append(row.number)
        elif pointer(row.number) not in needed:
            sweep.gone.append(row.number)
        else:
            hidden = codec.seal(_only(needed[pointer(row.number)], reader.body(pointer(row.number))))
            if row.id or len(hidden) < len(row.data):
                sweep.hidden[row.number] = hidden
    return sweep


def _needed(checkpoints: Sequence[Kept], reader: StepReader) -> dict[int, set[int]]:
    """The items of each row that these checkpoints point at."""
    needed: defaultdict[int, set[int]] = defaultdict(set)
    pages: set[tuple[Row, int]] = set()
    for row in checkpoints:
        for ref in reader.body(pointer(row.number)).refs.values():
            if isinstance(ref, At):
                needed[int(ref.row)].add(ref.item)
            elif not isinstance(ref, bytes):
                for at, items in ropes.touched(ref, reader.load, pages):
                    needed[int(at)].update(items)
    return needed


def _only(items: Collection[int], body: Body) -> bytes:
    kept = [item if i in items else _BLANK for i, item in enumerate(body.items)]
    while kept and kept[-1] == _BLANK:
        kept.pop()
    return Body(b"", b"", {}, kept).packed()
