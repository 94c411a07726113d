"""A saver over a `Store`: a checkpoint is one row, which points at what earlier rows hold."""

from __future__ import annotations

import contextlib
import json
import logging
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import ormsgpack
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    PendingWrite,
)
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import INTERRUPT, TASKS

from checkpointers import lease as leases
from checkpointers import retention
from checkpointers.encoding import Base, Raw, RawList
from checkpointers.errors import CorruptRow, LeaseLost
from checkpointers.lease import FileLocks, Hold
from checkpointers.lists import StoredList
from checkpointers.records import Kept, Listed, NewRow, Place, Saved, Selection, ThreadInfo, pointer
from checkpointers.retention import Fact, Retention
from checkpointers.saver import Saver, tuple_config
from checkpointers.steps import Body, Missing, StepReader, StepWriter, settled
from checkpointers.store import Store
from checkpointers.sweeping import swept
from checkpointers.tips import Tip, Tips
from checkpointers.transfer import RawCheckpoint, RawWrite, merged

_STRICT = (
    ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_UUID
)
log = logging.getLogger(__name__)
_JSON = b"{"
_INPUT = "__start__"


class EmbeddedSaver(Saver):
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

    def _open(self, *sources: Any) -> None:
        """Bring over the threads of other layouts, each in one transaction, so that this can be interrupted at any
        point; then what retention asks for."""
        try:
            if any(self._store.has_older(source) for source in sources):
                with self.lease("\0official", timeout=3600):
                    for source in sources:
                        self._take_over(source)
                self._store.delete_thread("\0official")
            self.expire()
        except BaseException:
            self.close()
            raise

    def _take_over(self, source: Any) -> None:
        store = self._store
        for thread_id in store.older_threads(source):
            log.info("taking over a thread", extra={"store": self.name, "thread_id": thread_id})
            with store.alone():
                self._adopt(store.older_checkpoints(source, thread_id, self._codec))
                store.forget_older(source, thread_id)
            self._tips.forget(thread_id)
        store.forget_older(source, None)

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
        save = partial(self._save, place, parent, checkpoint, metadata, new)
        tip = save(self._tip(place, parent) if parent else None) or save(None)
        assert tip is not None, "a step that points at nothing can always be saved"
        self._tips.put(place, tip)

    def _save(
        self,
        place: Place,
        parent: str | None,
        checkpoint: Checkpoint,
        metadata: Mapping[str, Any],
        new: ChannelVersions,
        before: Tip | None,
    ) -> Tip | None:
        """None when the checkpoint that this one builds on is gone."""
        writer = StepWriter(self._codec, before, self._reader(place).spans, watch=self._watch)
        apart = self._store.clear_metadata
        try:
            tip = writer.encode(checkpoint, b"" if apart else _packed_metadata(metadata), new)
        except Missing:  # pages of a list that was to be built on
            return None
        plain = Body(tip.head, tip.metadata, tip.refs, writer.items).packed()
        if before and writer.items:
            before.writing.wait()  # what is new was probably written by a task just now
        base = before.base if before and writer.items else None
        row = NewRow(
            place,
            checkpoint["id"],
            self._codec.seal(plain, base),
            is_checkpoint=True,
            parent=parent,
            metadata=self._clear_metadata(metadata) if apart else b"",
            needs=(before.number, before.id) if before else None,
        )
        number = self._store.add(row)
        if number is None:
            return None
        saved = settled(tip, number)
        if _INPUT in tip.refs:
            saved.base = Base(pointer(number), plain)
        return saved

    def _put_writes(
        self, place: Place, checkpoint_id: str, writes: Sequence[tuple[int, str, Any]], task: tuple[str, str]
    ) -> None:
        self._require_lease(place.thread_id)
        tip = self._tips.get(place)
        known = tip if tip is not None and tip.id == checkpoint_id else None
        with known.writing if known else contextlib.nullcontext():
            self._tips.based(place, checkpoint_id, self._add_writes(place, checkpoint_id, writes, task, known))

    def _add_writes(
        self,
        place: Place,
        checkpoint_id: str,
        writes: Sequence[tuple[int, str, Any]],
        task: tuple[str, str],
        tip: Tip | None,
    ) -> Base:
        dumps = self._codec.dumps
        plain = ormsgpack.packb([*task, [(index, channel, dumps(value)) for index, channel, value in writes]])
        number = None
        if tip and tip.base and tip.base.row == pointer(tip.number):
            data = self._codec.seal(plain, tip.base)
            number = self._store.add(NewRow(place, checkpoint_id, data, False, needs=(tip.number, tip.id)))
        if number is None:
            number = self._store.add(NewRow(place, checkpoint_id, self._codec.seal(plain), False))
        assert number is not None, "writes that need nothing can always be saved"
        return Base(pointer(number), plain)

    def _clear_metadata(self, metadata: Mapping[str, Any]) -> bytes:
        return (
            json.dumps(metadata).encode()
            if self._codec.cipher is None
            else self._codec.seal(_packed_metadata(metadata))
        )

    def _require_lease(self, thread_id: str) -> None:
        lease = leases.held(self.name, thread_id)
        if lease is None:
            return
        lease.require()
        if self._store.fence(thread_id) not in (lease.fence, None):
            raise LeaseLost(thread_id, "a newer run took the thread over")

    # Reading

    def _reader(self, place: Place) -> StepReader:
        return StepReader(self._codec, partial(self._store.rows, place))

    def _get(self, place: Place, checkpoint_id: str | None) -> CheckpointTuple | None:
        saved = self._store.checkpoint(place, checkpoint_id) if checkpoint_id else self._store.latest(place)
        if saved is None:
            return None
        tip = self._tips.get(place)
        if tip is not None and tip.number == saved.number:
            return self._loaded(saved, lambda: tip)
        read: list[Tip] = []

        def tip_of_row() -> Tip:
            read.append(self._read(saved, self._reader(place)))
            return read[0]

        loaded = self._loaded(saved, tip_of_row)
        if loaded is not None and checkpoint_id is None:
            self._tips.put(place, read[0])
        return loaded

    def _loaded(self, saved: Saved, tip: Callable[[], Tip]) -> CheckpointTuple | None:
        try:
            return self._tuple(saved, tip())
        except Missing as missing:
            if self._store.checkpoint(saved.place, saved.id) is None:
                return None  # deleted while it was read
            raise self._corrupt(saved, str(missing)) from None
        except ValueError as error:
            raise self._corrupt(saved, str(error)) from error

    def _tuple(self, saved: Saved, tip: Tip) -> CheckpointTuple:
        place, codec = saved.place, self._codec
        values = {
            channel: codec.joined(tip.lists[channel].elements)
            if channel in tip.lists
            else codec.loads(tip.values.get(channel, ref))  # type: ignore[arg-type]
            for channel, ref in tip.refs.items()
        }
        checkpoint: Checkpoint = {**codec.loads(tip.head), "id": saved.id, "channel_values": values}  # type: ignore[typeddict-item]
        return CheckpointTuple(
            tuple_config(place, saved.id),
            checkpoint,
            self._metadata(saved.metadata or tip.metadata),
            tuple_config(place, saved.parent) if saved.parent else None,
            self._pending(saved),
        )

    def _read(self, saved: Saved, reader: StepReader) -> Tip:
        """A stored checkpoint with all that it points at."""
        row = pointer(saved.number)
        reader.know(row, saved.data)
        body = reader.body(row)
        head = self._codec.loads(body.head)
        tip = Tip(saved.number, saved.id, head["channel_versions"], body.refs, body.head, body.metadata)
        for channel, ref in body.refs.items():
            found = reader.raw(ref)
            if isinstance(found, RawList):
                tip.lists[channel] = StoredList(ref, found.elements, None, sum(map(len, found.elements)))  # type: ignore[arg-type]
            elif not isinstance(ref, bytes):
                tip.values[channel] = found.data
        return tip

    def _metadata(self, data: bytes) -> CheckpointMetadata:
        if data[:1] != _JSON and self._store.clear_metadata:
            data = self._codec.open(data)
        found: CheckpointMetadata = json.loads(data) if data[:1] == _JSON else ormsgpack.unpackb(data)
        return found

    def _pending(self, saved: Saved) -> list[PendingWrite]:
        return [(w.task_id, w.channel, self._codec.loads(w.data)) for w in self._writes(saved)]

    def _writes(self, saved: Saved) -> list[RawWrite]:
        reader = self._reader(saved.place)
        reader.know(pointer(saved.number), saved.data)
        for written in saved.writes:
            reader.know(pointer(written.number), written.data)
        return merged(reader.plain(pointer(written.number)) for written in saved.writes)

    def _tip(self, place: Place, checkpoint_id: str) -> Tip | None:
        """What is stored of the checkpoint that the next one follows."""
        tip = self._tips.get(place)
        if tip is not None and tip.id == checkpoint_id:
            return tip
        saved = self._store.checkpoint(place, checkpoint_id)
        if saved is None:
            return None
        try:
            return self._read(saved, self._reader(place))
        except (Missing, ValueError):
            return None  # nothing to build on: the next checkpoint is stored whole

    def _page(self, selection: Selection) -> Sequence[Listed]:
        out = []
        readers: dict[Place, StepReader] = {}
        for saved in self._store.page(selection):
            reader = readers.setdefault(saved.place, self._reader(saved.place))
            reader.know(pointer(saved.number), saved.data)
            metadata = self._metadata_of(saved, reader)
            load = partial(self._loaded, saved, partial(self._read, saved, reader))
            out.append(Listed(saved.id, saved.place, metadata, load))
        return out

    def _metadata_of(self, saved: Saved | Kept, reader: StepReader) -> CheckpointMetadata:
        try:
            return self._metadata(saved.metadata or reader.body(pointer(saved.number)).metadata)
        except (Missing, ValueError) as error:
            raise self._corrupt(saved, str(error)) from error

    def _corrupt(self, saved: Saved | Kept, detail: str) -> CorruptRow:
        place = saved.place if isinstance(saved, Saved) else Place("", "")
        where = f"checkpoint {saved.id} of thread {place.thread_id!r}" + (f", {place.ns}" if place.ns else "")
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
        source, target = str(source_thread_id), str(target_thread_id)
        with self._store.alone():
            if self._store.places(target):
                raise ValueError(f"thread {target!r} exists: copy to a new id, or delete it first")
            self._store.copy_thread(source, target)

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete what these runs saved, except what a later checkpoint's delta channels are rebuilt from."""
        runs = {str(run_id) for run_id in run_ids}
        found = self._everything(Selection()) if runs else ()
        for thread_id in {item.place.thread_id for item in found if str(item.metadata.get("run_id")) in runs}:
            self._keep(thread_id, lambda facts: retention.survivors(facts, runs))

    def _everything(self, selection: Selection) -> Iterator[Listed]:
        while page := self._page(selection):
            yield from page
            selection = Selection(selection.thread_id, selection.ns, after=(page[-1].id, page[-1].place))

    def threads(self) -> Sequence[ThreadInfo]:
        return self._store.threads()

    def vacuum(self) -> None:
        self._store.vacuum()

    def _prune(self, thread_id: str, keep_last: int) -> None:
        self._keep(thread_id, lambda facts: retention.kept(facts, keep_last))

    def _keep(self, thread_id: str, chosen: Callable[[list[Fact]], Mapping[str, set[str]]]) -> None:
        """Looked at, chosen and removed while nobody else writes."""
        with self._store.alone():
            rows = {place: self._store.everything(place) for place in self._store.places(thread_id)}
            facts = {place: list(self._facts(place, found)) for place, found in rows.items()}
            stays = chosen([fact for found in facts.values() for fact in found])
            for place, found in rows.items():
                staying = stays.get(place.ns, set())
                if any(fact.id not in staying for fact in facts[place]):
                    self._store.sweep(swept(place, found, staying, self._knowing(place, found), self._codec))

    def _knowing(self, place: Place, rows: Iterable[Kept]) -> StepReader:
        reader = self._reader(place)
        for row in rows:
            reader.know(pointer(row.number), row.data)
        return reader

    def _facts(self, place: Place, rows: Sequence[Kept]) -> Iterator[Fact]:
        reader = self._knowing(place, rows)
        written: dict[str, set[str]] = {}
        for row in rows:
            if row.id and not row.is_checkpoint:
                channels = {write.channel for write in merged([self._plain(place, row, reader)])}
                written.setdefault(row.id, set()).update(channels)
        for row in rows:
            if row.is_checkpoint and row.id:
                yield self._fact(place, row, reader, written)

    def _plain(self, place: Place, row: Kept, reader: StepReader) -> bytes:
        try:
            return reader.plain(pointer(row.number))
        except (Missing, ValueError) as error:
            raise self._corrupt(Saved(place, row.number, row.id, None, b"", b""), str(error)) from error

    def _fact(self, place: Place, row: Kept, reader: StepReader, written: Mapping[str, set[str]]) -> Fact:
        self._plain(place, row, reader)
        body = reader.body(pointer(row.number))
        head, metadata = self._codec.loads(body.head), self._metadata(row.metadata or body.metadata)
        return Fact(
            place.ns,
            row.id,
            row.parent,
            run_id=str(metadata.get("run_id")),
            root=(metadata.get("parents") or {}).get(""),
            stored=frozenset(body.refs),
            versioned=frozenset(head["channel_versions"]),
            delta=frozenset(metadata.get("counters_since_delta_snapshot") or ()),
            interrupted=INTERRUPT in written.get(row.id, ()),
            sends_in_parent=head["v"] < 4 and TASKS in written.get(row.parent or "", ()),
        )

    def _raw_checkpoints(self, thread_id: str) -> Iterator[RawCheckpoint]:
        for place in self._store.places(thread_id):
            selection = Selection(place.thread_id, place.ns)
            found: list[Saved] = []
            while page := self._store.page(selection):
                found += page
                selection = Selection(place.thread_id, place.ns, after=(page[-1].id, place))
            reader = self._reader(place)
            for saved in reversed(found):
                try:
                    yield self._raw(saved, reader)
                except (Missing, ValueError) as error:
                    raise self._corrupt(saved, str(error)) from error

    def _raw(self, saved: Saved, reader: StepReader) -> RawCheckpoint:
        reader.know(pointer(saved.number), saved.data)
        body = reader.body(pointer(saved.number))
        values: dict[str, Raw | RawList] = {channel: reader.raw(ref) for channel, ref in body.refs.items()}
        metadata = self._metadata_of(saved, reader)
        return RawCheckpoint(saved.place, saved.id, saved.parent, metadata, body.head, values, self._writes(saved))

    # Claims and leases

    def _claim(self, thread_id: str, key: str, data: bytes) -> bool:
        self._require_lease(thread_id)
        return self._store.claim(thread_id, key, data)

    def _claimed(self, thread_id: str, key: str) -> bytes | None:
        return self._store.claimed(thread_id, key)

    def _attempt(self, thread_id: str) -> Hold | None:
        return self._locks.attempt(thread_id)

    def _holder(self, thread_id: str) -> str:
        return self._locks.holder(thread_id)

    def request_cancel(self, thread_id: str) -> bool:
        return self._locks.request_cancel(str(thread_id))

    def _next_fence(self, thread_id: str) -> int:
        return self._store.next_fence(thread_id)


def _packed_metadata(metadata: Mapping[str, Any]) -> bytes:
    try:
        return ormsgpack.packb(metadata, option=_STRICT)
    except ormsgpack.MsgpackEncodeError:  # odd keys or numbers: as JSON has them
        return json.dumps(metadata).encode()
