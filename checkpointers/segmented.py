"""A saver over a `Store`: a checkpoint is a small body that points at values and list segments stored once."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ormsgpack
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    PendingWrite,
    writes_sort_key,
)
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import INTERRUPT, TASKS

from checkpointers import lease as leases
from checkpointers import retention
from checkpointers.encoding import Codec, Raw, RawList
from checkpointers.errors import CorruptRow, LeaseLost, ThreadBusy
from checkpointers.lease import FileLocks, Hold
from checkpointers.records import (
    Batch,
    CheckpointRow,
    Compaction,
    LineageTaken,
    Listed,
    Place,
    Removal,
    Run,
    SegmentKey,
    SegmentRow,
    Selection,
    ThreadInfo,
    WritesRow,
)
from checkpointers.retention import Fact, Retention
from checkpointers.saver import Saver, tuple_config
from checkpointers.store import Store
from checkpointers.tips import Ref, Tip, Tips
from checkpointers.transfer import RawCheckpoint, RawWrite
from checkpointers.values import Missing, Reader, Writer, opened_elements, segment

_FAR = 1 << 60
_PACK = ormsgpack.OPT_NON_STR_KEYS
_STRICT = (
    ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_UUID
)
_JSON = b"{"
_SMALL_TYPES = (type(None), bool, int, float)


class SegmentedSaver(Saver):
    """`always_serialize` gives up the fingerprints: each list is serialized whole at each step, as others do."""

    def __init__(
        self,
        store: Store,
        locks: FileLocks,
        serde: SerializerProtocol,
        *,
        retention: Retention | None = None,
        always_serialize: bool = False,
    ) -> None:
        super().__init__(serde, retention)
        self.name = store.name
        self._store = store
        self._locks = locks
        self._tips = Tips()
        self._watch = not always_serialize
        self._puts: Counter[Place] = Counter()
        self.expire()

    def close(self) -> None:
        self._workers.close()
        self._store.close()

    # Saving

    def _put(
        self,
        place: Place,
        parent: str | None,
        checkpoint: Checkpoint,
        metadata: Mapping[str, Any],
        new: ChannelVersions,
    ) -> None:
        self._require_lease(place.thread_id)
        before = self._tip(place, parent) if parent else None
        try:
            tip = self._save(place, before, parent, checkpoint, metadata, new, branch=False)
        except LineageTaken:
            tip = self._save(place, before, parent, checkpoint, metadata, new, branch=True)
        self._tips.put(place, tip)
        if self._retention.keep_last:
            self._prune_sometimes(place, self._retention.keep_last)

    def _save(
        self,
        place: Place,
        before: Tip | None,
        parent: str | None,
        checkpoint: Checkpoint,
        metadata: Mapping[str, Any],
        new: ChannelVersions,
        *,
        branch: bool,
    ) -> Tip:
        writer = Writer(self._codec, place, before, branch=branch, watch=self._watch)
        tip = writer.encode(checkpoint, new)
        head: dict[str, Any] = {k: v for k, v in checkpoint.items() if k not in ("channel_values", "id")}
        tip.head = self._codec.dumps(head)
        tip.body = self._codec.seal(ormsgpack.packb([tip.head, _packable(tip.refs)], option=_PACK))
        row = CheckpointRow(place, checkpoint["id"], parent, self._sealed_metadata(metadata), tip.body)
        self._store.commit(Batch(row, writer.segments, writer.values))
        return tip

    def _put_writes(
        self, place: Place, checkpoint_id: str, writes: Sequence[tuple[int, str, Any]], task: tuple[str, str]
    ) -> None:
        self._require_lease(place.thread_id)
        dumps = self._codec.dumps
        packed = [(index, channel, dumps(value)) for index, channel, value in writes]
        data = ormsgpack.packb([*task, packed])
        self._store.commit(Batch(writes=WritesRow(place, checkpoint_id, self._codec.seal(data))))

    def _sealed_metadata(self, metadata: Mapping[str, Any]) -> bytes:
        if self._store.clear_metadata and self._codec.cipher is None:
            return json.dumps(metadata).encode()
        try:
            return self._codec.seal(ormsgpack.packb(metadata, option=_STRICT))
        except ormsgpack.MsgpackEncodeError:  # odd keys or numbers: as JSON has them
            return self._codec.seal(json.dumps(metadata).encode())

    def _require_lease(self, thread_id: str) -> None:
        lease = leases.held(self.name, thread_id)
        if lease is None:
            return
        lease.require()
        if self._store.fence(thread_id) != lease.fence:
            raise LeaseLost(thread_id, "a newer run took the thread over")

    # Reading

    def _get(self, place: Place, checkpoint_id: str | None) -> CheckpointTuple | None:
        row = self._store.checkpoint(place, checkpoint_id) if checkpoint_id else self._store.latest(place)
        return None if row is None else self._loaded(row, remember=checkpoint_id is None)

    def _loaded(
        self, row: CheckpointRow, *, remember: bool = False, ahead: _Ahead | None = None
    ) -> CheckpointTuple | None:
        try:
            return self._tuple(row, remember, ahead)
        except Missing as missing:
            if self._store.checkpoint(row.place, row.id) is None:
                return None  # deleted while it was read
            raise self._corrupt(row, str(missing)) from None
        except ValueError as error:
            raise self._corrupt(row, str(error)) from error

    def _tuple(self, row: CheckpointRow, remember: bool, ahead: _Ahead | None) -> CheckpointTuple:
        place = row.place
        tip = self._tips.get(place)
        if tip is not None and tip.id != row.id:
            tip = None
        head, refs = (
            (self._codec.loads(tip.head), tip.refs) if tip is not None and tip.body == row.body else self._body(row)
        )
        reader = Reader(self._codec, ahead or self._store, place, tip)
        values = {channel: reader.value(channel, ref) for channel, ref in refs.items()}
        if remember and reader.tip is None:
            lists = {c: reader.marked(c, values[c]) if self._watch else t for c, t in reader.lists.items()}
            self._tips.put(place, Tip(row.id, dict(head["channel_versions"]), refs, lists))
        checkpoint: Checkpoint = {**head, "id": row.id, "channel_values": values}  # type: ignore[typeddict-item]
        return CheckpointTuple(
            tuple_config(place, row.id),
            checkpoint,
            self._metadata(row),
            tuple_config(place, row.parent) if row.parent else None,
            self._pending(ahead.writes(place, row.id) if ahead else self._store.writes(place, row.id)),
        )

    def _body(self, row: CheckpointRow) -> tuple[dict[str, Any], dict[str, Ref]]:
        try:
            head, refs = ormsgpack.unpackb(self._codec.open(row.body), option=_PACK)
            return self._codec.loads(head), {
                channel: tuple(Run(*run) for run in ref) if isinstance(ref, list) else ref
                for channel, ref in refs.items()
            }
        except ValueError as error:
            raise self._corrupt(row, str(error)) from error

    def _metadata(self, row: CheckpointRow) -> CheckpointMetadata:
        data = row.metadata if row.metadata[:1] == _JSON else self._codec.open(row.metadata)
        found: CheckpointMetadata = json.loads(data) if data[:1] == _JSON else ormsgpack.unpackb(data)
        return found

    def _pending(self, blobs: Sequence[bytes]) -> list[PendingWrite]:
        return [
            (task_id, channel, self._codec.loads(data))
            for _, task_id, _, channel, data in _merged(map(self._codec.open, blobs))
        ]

    def _tip(self, place: Place, checkpoint_id: str) -> Tip | None:
        """What is stored of the checkpoint that the next one follows."""
        tip = self._tips.get(place)
        if tip is not None and tip.id == checkpoint_id:
            return tip
        row = self._store.checkpoint(place, checkpoint_id)
        if row is None:
            return None
        try:
            head, refs = self._body(row)
            reader = Reader(self._codec, self._store, place, None)
            for channel, ref in refs.items():
                if isinstance(ref, tuple):
                    reader.elements(channel, ref)
        except (Missing, CorruptRow, ValueError):
            return None  # nothing to build on: the next checkpoint is stored whole
        return Tip(checkpoint_id, dict(head["channel_versions"]), refs, reader.lists)

    def _page(self, selection: Selection) -> Sequence[Listed]:
        out = []
        rows = self._store.page(selection)
        ahead = _Ahead(self, rows)
        for row in rows:
            try:
                metadata = self._metadata(row)
            except ValueError as error:
                raise self._corrupt(row, str(error)) from error
            out.append(Listed(row.id, row.place, metadata, partial(self._loaded, row, ahead=ahead)))
        return out

    def _corrupt(self, row: CheckpointRow, detail: str) -> CorruptRow:
        where = f"checkpoint {row.id} of thread {row.place.thread_id!r}" + (f", {row.place.ns}" if row.place.ns else "")
        return CorruptRow(self.name, where, detail)

    # Keeping house

    def get_next_version(self, current: Any, channel: None) -> Any:
        """Small integers; threads that began with the official savers' strings go on with these."""
        if not isinstance(current, str):
            return 1 if current is None else current + 1
        return f"{int(current.split('.')[0]) + 1:032}.{random.randrange(10**16):016}"  # noqa: S311 tells branches apart, no secret

    def delete_thread(self, thread_id: str) -> None:
        self._store.delete_thread(str(thread_id))
        self._tips.forget(str(thread_id))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        if self._store.places(str(target_thread_id)):
            raise ValueError(f"thread {target_thread_id!r} exists: copy to a new id, or delete it first")
        self._store.copy_thread(str(source_thread_id), str(target_thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete what these runs saved, except what a later checkpoint's delta channels are rebuilt from."""
        wanted = {str(run_id) for run_id in run_ids}
        doomed: dict[str, set[str]] = {}
        for item in self._everything(Selection()) if wanted else ():
            if str(item.metadata.get("run_id")) in wanted:
                doomed.setdefault(item.place.thread_id, set()).add(item.id)
        for thread_id, ids in doomed.items():
            self._keep(thread_id, retention.survivors(self._facts(thread_id), ids))

    def threads(self) -> Sequence[ThreadInfo]:
        return self._store.threads()

    def vacuum(self) -> None:
        for thread in self._store.threads():
            for place in self._store.places(thread.thread_id):
                self._store.compact(self._compactions(place))
        self._store.vacuum()

    def _prune(self, thread_id: str, keep_last: int) -> None:
        self._keep(thread_id, retention.kept(self._facts(thread_id), keep_last))

    def _prune_sometimes(self, place: Place, keep_last: int) -> None:
        self._puts[place] += 1
        if self._puts[place] >= max(keep_last, 16):
            del self._puts[place]
            self._prune(place.thread_id, keep_last)

    def _everything(self, selection: Selection) -> Iterable[Listed]:
        while page := self._page(selection):
            yield from page
            selection = Selection(selection.thread_id, selection.ns, after=(page[-1].id, page[-1].place))

    def _rows(self, place: Place) -> Iterable[CheckpointRow]:
        selection = Selection(place.thread_id, place.ns)
        while page := self._store.page(selection):
            yield from page
            selection = Selection(place.thread_id, place.ns, after=(page[-1].id, place))

    def _facts(self, thread_id: str) -> list[Fact]:
        return [fact for place in self._store.places(thread_id) for fact in self._facts_of(place)]

    def _facts_of(self, place: Place) -> Iterator[Fact]:
        rows = list(self._rows(place))
        blobs = self._store.writes_of(place, [row.id for row in rows])
        written = {id: {w[3] for w in _merged(map(self._codec.open, found))} for id, found in blobs.items()}
        for row in rows:
            head, refs = self._body(row)
            metadata = self._metadata(row)
            yield Fact(
                place.ns,
                row.id,
                row.parent,
                root=(metadata.get("parents") or {}).get(""),
                stored=frozenset(refs),
                versioned=frozenset(head["channel_versions"]),
                delta=frozenset(metadata.get("counters_since_delta_snapshot") or ()),
                interrupted=INTERRUPT in written.get(row.id, ()),
                sends_in_parent=head["v"] < 4 and TASKS in written.get(row.parent or "", ()),
            )

    def _keep(self, thread_id: str, stays: Mapping[str, set[str]]) -> None:
        removals = [self._removal(place, stays.get(place.ns, set())) for place in self._store.places(thread_id)]
        self._store.remove(removals)

    def _removal(self, place: Place, stays: set[str]) -> Removal:
        gone: list[str] = []
        orphans: list[str] = []
        runs: list[Run] = []
        keys: set[int] = set()
        for row in self._rows(place):
            if row.id not in stays:
                gone.append(row.id)
                continue
            if row.parent and row.parent not in stays:
                orphans.append(row.id)
            for ref in self._body(row)[1].values():
                if isinstance(ref, tuple):
                    runs.extend(ref)
                elif isinstance(ref, int):
                    keys.add(ref)
        used = _Spans(runs)
        return Removal(
            place,
            gone,
            orphans,
            [(s.lineage, s.start) for s in self._store.segment_keys(place) if not used.touch(s)],
            [key for key in self._store.value_keys(place) if key not in keys],
        )

    def _compactions(self, place: Place) -> Iterable[Compaction]:
        keys = sorted(self._store.segment_keys(place), key=lambda s: (s.lineage, s.start))
        for group in _neighbours(keys):
            rows = self._store.segments(place, group[0].lineage, group[0].start, group[-1].start + group[-1].size)
            elements = [e for row in rows for e in opened_elements(self._codec, row.data)]
            hashes = b"".join(self._codec.open(row.hashes) if self._codec.cipher else row.hashes for row in rows)
            merged = segment(self._codec, place, (group[0].lineage, group[0].start), elements, hashes)
            yield Compaction(place, merged, [row.start for row in rows])

    def _raw_checkpoints(self, thread_id: str) -> Iterator[RawCheckpoint]:
        for place in self._store.places(thread_id):
            lineages = _Lineages(self._codec, self._store, place)
            for row in reversed(list(self._rows(place))):
                try:
                    yield self._raw(row, lineages)
                except (Missing, ValueError) as error:
                    raise self._corrupt(row, str(error)) from error

    def _raw(self, row: CheckpointRow, lineages: _Lineages) -> RawCheckpoint:
        head, refs = ormsgpack.unpackb(self._codec.open(row.body), option=_PACK)
        reader = Reader(self._codec, self._store, row.place, None)
        values: dict[str, Raw | RawList] = {}
        for channel, ref in refs.items():
            if isinstance(ref, list):
                values[channel] = RawList(lineages.elements([Run(*run) for run in ref]))
            else:
                values[channel] = Raw(ref if isinstance(ref, bytes) else reader.raw_value(ref))
        writes = _merged(map(self._codec.open, self._store.writes(row.place, row.id)))
        metadata = self._metadata(row)
        return RawCheckpoint(
            row.place, row.id, row.parent, metadata, head, values, [RawWrite(*write) for write in writes]
        )

    # Claims and leases

    def _claim(self, thread_id: str, key: str, data: bytes) -> bool:
        self._require_lease(thread_id)
        return self._store.claim(thread_id, key, data)

    def _claimed(self, thread_id: str, key: str) -> bytes | None:
        return self._store.claimed(thread_id, key)

    def _attempt(self, thread_id: str) -> Hold | None:
        return self._locks.attempt(thread_id)

    def _busy(self, thread_id: str, waited: float) -> ThreadBusy:
        return self._locks.busy(thread_id, waited)

    def _next_fence(self, thread_id: str) -> int:
        return self._store.next_fence(thread_id)


class _Ahead:
    """What the rows of a page need, read for all of them when the first one asks."""

    def __init__(self, saver: SegmentedSaver, rows: Sequence[CheckpointRow]) -> None:
        self._saver, self._store, self._rows = saver, saver._store, rows
        self._writes: dict[Place, dict[str, list[bytes]]] = {}
        self._values: dict[Place, dict[int, bytes]] = {}
        self._segments: dict[tuple[Place, int], list[SegmentRow]] = {}

    def writes(self, place: Place, checkpoint_id: str) -> list[bytes]:
        if place not in self._writes:
            self._writes[place] = self._store.writes_of(place, [row.id for row in self._rows if row.place == place])
        return self._writes[place].get(checkpoint_id, [])

    def values(self, place: Place, keys: Sequence[int]) -> dict[int, bytes]:
        if place not in self._values:
            refs = [ref for row in self._rows if row.place == place for ref in self._saver._body(row)[1].values()]
            wanted = {ref for ref in refs if isinstance(ref, int)}
            self._values[place] = self._store.values(place, sorted(wanted))
        return {key: self._values[place][key] for key in keys if key in self._values[place]}

    def segments(self, place: Place, lineage: int, start: int, stop: int) -> list[SegmentRow]:
        known = self._segments.get((place, lineage))
        if known is None:
            known = self._segments[place, lineage] = self._store.segments(place, lineage, 0, _FAR)
        return [row for row in known if row.start < stop and row.start + row.size > start]


class _Lineages:
    """Whole lineages, each read once."""

    def __init__(self, codec: Codec, store: Store, place: Place) -> None:
        self._codec, self._store, self._place = codec, store, place
        self._known: dict[int, list[bytes]] = {}

    def elements(self, runs: Sequence[Run]) -> list[bytes]:
        out: list[bytes] = []
        for run in runs:
            out += self._lineage(run.lineage, run.stop)[run.start : run.stop]
        if len(out) != sum(run.stop - run.start for run in runs):
            raise Missing("elements of a list are gone")
        return out

    def _lineage(self, lineage: int, stop: int) -> list[bytes]:
        known = self._known.get(lineage)
        if known is None or len(known) < stop:
            known = self._known[lineage] = []
            for row in self._store.segments(self._place, lineage, 0, _FAR):
                known += [b""] * (row.start - len(known))
                known += opened_elements(self._codec, row.data)
        return known


class _Spans:
    """Which stretches of each lineage are in use."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self._spans: dict[int, set[tuple[int, int]]] = {}
        for run in runs:
            self._spans.setdefault(run.lineage, set()).add((run.start, run.stop))

    def touch(self, segment: SegmentKey) -> bool:
        end = segment.start + segment.size
        return any(start < end and segment.start < stop for start, stop in self._spans.get(segment.lineage, ()))


def _packable(refs: Mapping[str, Ref]) -> dict[str, Any]:
    return {c: [list(run) for run in ref] if isinstance(ref, tuple) else ref for c, ref in refs.items()}


def _merged(blobs: Iterable[bytes]) -> list[tuple[str, str, int, str, bytes]]:
    """Writes as (path, task, index, channel, value) in the order that LangGraph applies them.

    Of two writes with one index the first counts; errors, interrupts and answers (negative indexes) are replaced.
    """
    found: dict[tuple[str, int], tuple[str, str, int, str, bytes]] = {}
    for blob in blobs:
        task_id, path, writes = ormsgpack.unpackb(blob)
        for index, channel, data in writes:
            if index < 0 or (task_id, index) not in found:
                found[task_id, index] = (path, task_id, index, channel, data)
    return sorted(found.values(), key=lambda w: writes_sort_key(w[0], w[1], w[2]))


_MERGED_BYTES_COUNT = 256


def _neighbours(keys: Sequence[SegmentKey]) -> Iterable[list[SegmentKey]]:
    """Groups of at least two adjacent segments, at most 256 elements together."""
    group: list[SegmentKey] = []
    for key in keys:
        adjacent = group and group[-1].lineage == key.lineage and group[-1].start + group[-1].size == key.start
        if group and not (adjacent and sum(k.size for k in group) + key.size <= _MERGED_BYTES_COUNT):
            if len(group) > 1:
                yield group
            group = []
        group.append(key)
    if len(group) > 1:
        yield group


def lock_folder(path: Path) -> FileLocks:
    return FileLocks(path.with_name(path.name + ".leases"))
