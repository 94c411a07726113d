"""The saver over the official tables."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, LiteralString, Self
from uuid import uuid4

import ormsgpack
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointTuple, writes_sort_key
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import INTERRUPT, TASKS, _DeltaSnapshot

from checkpointers import addresses, retention, ropes
from checkpointers import lease as leases
from checkpointers.encoding import Raw, RawList, Undecodable, is_packed_list, split_list, typed, untyped
from checkpointers.errors import CorruptRow, LeaseLost, NewerSchema
from checkpointers.lease import Hold
from checkpointers.lists import ListWriter, StoredList
from checkpointers.postgres import statements
from checkpointers.postgres.blobs import ROPE, SEGMENTS, BlobReader, needed, sealed
from checkpointers.postgres.locks import AdvisoryLocks
from checkpointers.postgres.rows import columns, conditions, fact, inlinable, numbered, storable
from checkpointers.postgres.server import Server, described
from checkpointers.records import Listed, Place, Selection, ThreadInfo
from checkpointers.retention import Fact, Retention
from checkpointers.saver import Saver, serializer, tuple_config
from checkpointers.steps import Missing
from checkpointers.times import time_of
from checkpointers.tips import Tip, Tips
from checkpointers.transfer import RawCheckpoint, RawWrite

if TYPE_CHECKING:
    from psycopg import Connection


class PostgresSaver(Saver):
    """Checkpoints in PostgreSQL, over a pool of connections without a lock around it.

        with PostgresSaver.from_conn_string("postgresql://me@db.example/app") as saver:
            graph = builder.compile(checkpointer=saver)

    Of a pool or a connection that is given instead, the address is taken. Tables are made when it is opened. `schema`
    is made too, and used for all tables. `segments` stores long lists once instead of at each step; the official saver
    can't read such threads. With a key, values and writes are encrypted as the official saver's `EncryptedSerializer`
    does it; ids, numbers and metadata stay readable.
    """

    def __init__(
        self,
        conninfo: Any,
        *,
        serde: SerializerProtocol | None = None,
        allowed_types: Iterable[tuple[str, ...]] = (),
        encryption_key: bytes | None = None,
        retention: Retention | None = None,
        segments: bool = False,
        schema: str | None = None,
        pool_size: int = 10,
        timeout: float = 30.0,
        connection_class: type[Connection[Any]] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(serializer(serde, allowed_types, encryption_key), retention)
        address = addresses.of_postgres(conninfo)
        self.name = name or described(address)
        self._tips = Tips()
        self._segmented = segments
        self._server = Server(address, self.name, schema, connection_class, pool_size, timeout)
        self._locks = AdvisoryLocks(self._server)
        try:
            self.setup()
            self.expire()
        except BaseException:
            self.close()
            raise

    @classmethod
    def from_conn_string(cls, conn_string: str, **options: Any) -> Self:
        """For a `with` or an `async with` block."""
        return cls(conn_string, **options)

    def close(self) -> None:
        self._workers.close()
        self._locks.close()
        self._server.close()

    def setup(self) -> None:
        """Make the tables, or bring them up to date; safe when several programs start at once."""
        from langgraph.checkpoint.postgres.base import MIGRATIONS

        def work(connection: Connection[Any]) -> None:
            if self._server.schema:
                from psycopg import sql

                schema = sql.Identifier(self._server.schema)
                connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
            for table, scripts in (("checkpoint_migrations", MIGRATIONS), ("saver_migrations", statements.TABLES)):
                _upgrade(connection, table, scripts)

        if not self._is_set_up():
            with self._locks.alone("setup"):
                self._server.run(work)

    def _is_set_up(self) -> bool:
        from langgraph.checkpoint.postgres.base import MIGRATIONS

        newest = len(statements.TABLES) - 1
        found = self._rows(
            "SELECT to_regclass('checkpoint_migrations') IS NOT NULL AND to_regclass('saver_migrations') IS NOT NULL"
        )
        if not found[0][0]:
            return False
        rows = self._rows("SELECT (SELECT max(v) FROM checkpoint_migrations), (SELECT max(v) FROM saver_migrations)")
        if (rows[0][1] or 0) > newest:
            raise NewerSchema(self.name, rows[0][1], newest)
        return rows[0][0] is not None and rows[0][0] >= len(MIGRATIONS) - 1 and rows[0][1] == newest

    def _rows(self, sql: LiteralString, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._server.rows(sql, parameters)

    # Saving

    def _put(
        self,
        place: Place,
        parent: str | None,
        checkpoint: Checkpoint,
        metadata: Mapping[str, Any],
        new: ChannelVersions,
    ) -> None:
        before = self._tips.get(place) if self._segmented else None
        if before is not None and before.id != parent:
            before = None
        step = self._step(place, checkpoint, new, before)
        needs = parent if step and step.leans else None
        if step is None or not self._save(place, parent, checkpoint, metadata, step, needs):  # what it leans on is gone
            step = self._step(place, checkpoint, checkpoint["channel_versions"], None)
            assert step is not None, "a step that leans on nothing can always be made"
            self._save(place, parent, checkpoint, metadata, step, None)
        if self._segmented and step.is_own:
            self._tips.put(place, Tip(0, checkpoint["id"], {}, {}, lists=step.lists))

    def _step(self, place: Place, checkpoint: Checkpoint, new: ChannelVersions, before: Tip | None) -> _Step | None:
        try:
            return self._encoded(place, checkpoint, new, before)
        except Missing:  # pages of a list that was to be built on
            return None

    def _encoded(self, place: Place, checkpoint: Checkpoint, new: ChannelVersions, before: Tip | None) -> _Step:
        step = _Step(new)
        for channel, value in checkpoint["channel_values"].items():
            if isinstance(value, _DeltaSnapshot):
                step.inline[channel] = True  # what the official saver leaves for its readers
            elif inlinable(value) and not (self._codec.cipher and isinstance(value, str)):
                step.inline[channel] = value
                continue
            known = before.lists.get(channel) if before else None
            if channel not in new:
                step.leans = True
                if known:
                    step.lists[channel] = known
                continue
            kind, data = self._listed(place, channel, value, known, step) or self._typed(value)
            step.blobs.append((channel, str(new[channel]), kind, data))
        return step

    def _listed(
        self, place: Place, channel: str, value: Any, known: StoredList | None, step: _Step
    ) -> tuple[str, bytes] | None:
        if not self._segmented:
            return None
        items: list[Any] = []
        writer = ListWriter(self._codec, items, self._blobs(place, channel).spans, watch=True)
        stored = writer.stored(value, known)
        if stored is None:
            return None
        step.leans = step.leans or any(entry.row != ropes.SELF for entry in stored.rope)
        step.lists[channel] = stored.settled(str(step.new[channel]))
        return ROPE, sealed(self._codec, stored.rope, items)

    def _save(
        self,
        place: Place,
        parent: str | None,
        checkpoint: Checkpoint,
        metadata: Mapping[str, Any],
        step: _Step,
        needs: str | None,
    ) -> bool:
        """Whether it was saved: not when the checkpoint that it needs is gone."""
        from psycopg.types.json import Jsonb

        row = {
            **columns(("channels", "versions", "types", "blobs"), step.blobs),
            **self._writing(place.thread_id),
            "ns": place.ns,
            "id": checkpoint["id"],
            "parent": parent,
            "needs": needs,
            "checkpoint": Jsonb({**checkpoint, "channel_values": step.inline}),
            "metadata": Jsonb(storable(metadata)),
        }
        allowed, saved, blobs = self._rows(statements.PUT, row)[0]
        if not allowed:
            raise LeaseLost(place.thread_id, "a newer run took the thread over")
        step.is_own = blobs == len(step.blobs)
        return bool(saved)

    def _put_writes(
        self, place: Place, checkpoint_id: str, writes: Sequence[tuple[int, str, Any]], task: tuple[str, str]
    ) -> None:
        rows = [(index, channel, *self._typed(value)) for index, channel, value in writes]
        unique = list({row[0]: row for row in reversed(rows)}.values())
        row = {
            **columns(("idxs", "channels", "types", "blobs"), unique),
            **self._writing(place.thread_id),
            "ns": place.ns,
            "id": checkpoint_id,
            "task": task[0],
            "path": task[1],
        }
        if self._rows(statements.PUT_WRITES, row)[0][0] != len(unique):
            raise LeaseLost(place.thread_id, "a newer run took the thread over")

    def _writing(self, thread_id: str) -> dict[str, Any]:
        """Who writes to which thread."""
        lease = leases.held(self.name, thread_id)
        if lease:
            lease.require()
        return {
            "thread": thread_id,
            "fence": lease.fence if lease else None,
            "lock": self._locks.key_of_rows(thread_id),
        }

    def _typed(self, value: Any) -> tuple[str, bytes]:
        """As the official saver stores it: the serializer's type and bytes, encrypted by it if it encrypts."""
        name, data = untyped(self._codec.dumps(value))
        if self._codec.cipher is None:
            return name, data
        cipher, secret = self._codec.cipher.encrypt(data)
        return f"{name}+{cipher}", secret

    # Reading

    def _get(self, place: Place, checkpoint_id: str | None) -> CheckpointTuple | None:
        which: LiteralString = "AND checkpoint_id = %s" if checkpoint_id else "ORDER BY checkpoint_id DESC LIMIT 1"
        parameters = (*place, checkpoint_id) if checkpoint_id else place
        rows = self._rows(statements.SELECT + "WHERE thread_id = %s AND checkpoint_ns = %s " + which, parameters)
        return self._loaded(rows[0], remember=checkpoint_id is None) if rows else None

    def _loaded(self, row: tuple[Any, ...], *, remember: bool = False) -> CheckpointTuple | None:
        place, checkpoint_id = Place(row[0], row[1]), row[2]
        try:
            return self._tuple(place, row, remember=remember)
        except (Missing, ValueError, NotImplementedError) as error:
            sql: LiteralString = (
                "SELECT 1 FROM checkpoints WHERE thread_id = %s AND checkpoint_ns = %s AND checkpoint_id = %s"
            )
            if not self._rows(sql, (*place, checkpoint_id)):
                return None  # deleted while it was read
            what = f"checkpoint {checkpoint_id} of thread {place.thread_id!r}"
            raise CorruptRow(self.name, what, str(error)) from error

    def _tuple(self, place: Place, row: tuple[Any, ...], *, remember: bool) -> CheckpointTuple:
        _, _, checkpoint_id, parent, head, metadata, blobs, writes = row
        tip = self._tips.get(place)
        known = tip.lists if tip and tip.id == checkpoint_id else {}
        found: dict[str, StoredList] = {}
        values = dict(head.get("channel_values") or {})
        for channel, kind, blob in self._told(blobs):
            if channel in known:
                values[channel] = self._codec.joined(known[channel].elements)
            elif kind == ROPE:
                found[channel] = self._list(place, channel, head, blob)
                values[channel] = self._codec.joined(found[channel].elements)
            elif kind == SEGMENTS:
                values[channel] = self._codec.joined(self._segments(place, blob))
            else:
                values[channel] = self._codec.loads(typed(*self._decrypted(kind, blob)))
        if remember and found:
            self._tips.put(place, Tip(0, checkpoint_id, {}, {}, lists=found))
        return CheckpointTuple(
            tuple_config(place, checkpoint_id),
            {**head, "channel_values": values},  # type: ignore[typeddict-item]
            metadata,
            tuple_config(place, parent) if parent else None,
            [(w.task_id, w.channel, self._codec.loads(w.data)) for w in self._writes(writes)],
        )

    @staticmethod
    def _told(blobs: Any) -> Iterator[tuple[str, str, bytes]]:
        """Channel, kind and bytes of the blobs that hold something."""
        for channel, kind, blob in blobs or ():
            if kind != b"empty":
                yield channel.decode(), kind.decode(), blob

    def _list(self, place: Place, channel: str, head: Mapping[str, Any], blob: bytes) -> StoredList:
        reader = self._blobs(place, channel)
        rope = reader.know(str(head["channel_versions"][channel]), blob)
        elements = ropes.elements(rope, reader.load)
        return StoredList(rope, elements, None, sum(map(len, elements)))

    def _writes(self, rows: Any) -> list[RawWrite]:
        found = [
            RawWrite(
                w[0].decode(), w[1].decode(), int(w[2]), w[3].decode(), typed(*self._decrypted(w[4].decode(), w[5]))
            )
            for w in rows or ()
        ]
        return sorted(found, key=lambda w: writes_sort_key(w.task_path, w.task_id, w.idx))

    def _segments(self, place: Place, blob: bytes) -> list[bytes]:
        """The elements of a list that an earlier version stored."""
        elements: list[bytes] = []
        runs = ormsgpack.unpackb(self._codec.open(blob))
        for lineage, start, stop in runs:
            rows = self._rows(
                "SELECT start, data FROM checkpoint_segments WHERE thread_id = %s AND checkpoint_ns = %s "
                "AND lineage = %s AND start < %s AND start + size > %s ORDER BY start",
                (*place, lineage, stop, start),
            )
            for at, data in rows:
                found = ormsgpack.unpackb(self._codec.open(data))
                elements += found[max(start - at, 0) : stop - at]
        if len(elements) != sum(stop - start for _, start, stop in runs):
            raise Missing("elements of a list are gone")
        return elements

    def _blobs(self, place: Place, channel: str) -> BlobReader:
        def fetch(wanted: Sequence[str]) -> Mapping[str, bytes]:
            return dict(self._rows(statements.BLOBS, (*place, channel, list(wanted))))

        return BlobReader(self._codec, fetch)

    def _page(self, selection: Selection) -> Sequence[Listed]:
        where, parameters = conditions(selection)
        rows = self._rows(
            statements.SELECT + where + " ORDER BY checkpoint_id DESC, thread_id, checkpoint_ns LIMIT %s",
            (*parameters, selection.limit),
        )
        return [Listed(row[2], Place(row[0], row[1]), row[5], partial(self._loaded, row)) for row in rows]

    # Keeping house

    def get_next_version(self, current: Any, channel: None) -> Any:
        """The official format: a count that sorts as text, and a number that tells branches apart."""
        count = 0 if current is None else current if isinstance(current, int) else int(str(current).split(".")[0])
        return f"{count + 1:032}.{random.random():016}"  # noqa: S311 tells branches apart, no secret

    def _removing(self, thread_id: str, work: Callable[[Connection[Any]], None]) -> None:
        """In one transaction on one snapshot, while nobody writes to the thread: it begins when all have written."""

        def alone(connection: Connection[Any]) -> None:
            key = (self._locks.key_of_rows(thread_id),)
            connection.execute("SELECT pg_advisory_lock(%s)", key)
            try:
                with connection.transaction():
                    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                    work(connection)
            finally:
                if not connection.closed:
                    connection.execute("SELECT pg_advisory_unlock(%s)", key)

        self._server.run(alone)

    def delete_thread(self, thread_id: str) -> None:
        def work(connection: Connection[Any]) -> None:
            with connection.pipeline():
                for table in statements.OWNED:
                    connection.execute(f"DELETE FROM {table} WHERE thread_id = %s", (str(thread_id),))  # noqa: S608

        self._removing(str(thread_id), work)
        self._tips.forget(str(thread_id))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        source, target = str(source_thread_id), str(target_thread_id)
        if self._rows("SELECT 1 FROM checkpoints WHERE thread_id = %s LIMIT 1", (target,)):
            raise ValueError(f"thread {target!r} exists: copy to a new id, or delete it first")

        def work(connection: Connection[Any]) -> None:
            with connection.transaction():
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                for statement in statements.COPIES:
                    connection.execute(statement, {"from": source, "to": target})

        self._server.run(work)

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete what these runs saved, except what a later checkpoint's delta channels are rebuilt from."""
        runs = {str(run_id) for run_id in run_ids}
        rows = self._rows(
            "SELECT DISTINCT thread_id FROM checkpoints WHERE metadata ->> 'run_id' = ANY(%s)", (list(runs),)
        )
        for (thread_id,) in rows:
            self._keep(thread_id, lambda facts: retention.survivors(facts, runs))

    def _prune(self, thread_id: str, keep_last: int) -> None:
        self._keep(thread_id, lambda facts: retention.kept(facts, keep_last))

    def _keep(self, thread_id: str, chosen: Callable[[list[Fact]], Mapping[str, set[str]]]) -> None:
        def work(connection: Connection[Any]) -> None:
            keys = {"thread": thread_id, "interrupt": INTERRUPT, "tasks": TASKS}
            facts = [fact(row) for row in connection.execute(statements.FACTS, keys).fetchall()]
            stays = chosen(facts)
            for ns in {f.ns for f in facts}:
                gone = [f.id for f in facts if f.ns == ns and f.id not in stays.get(ns, ())]
                if gone:
                    for statement in statements.REMOVE:
                        connection.execute(statement, {"thread": thread_id, "ns": ns, "gone": gone})
                    self._drop_blobs(connection, Place(thread_id, ns))

        self._removing(thread_id, work)

    def _drop_blobs(self, connection: Connection[Any], place: Place) -> None:
        """Blobs that no checkpoint names, and no list that one names is made of."""
        keys = {"thread": place.thread_id, "ns": place.ns}
        rows = connection.execute(statements.NAMED, {**keys, "lists": [ROPE]}, binary=True).fetchall()
        named: dict[str, list[str]] = {}
        for channel, version, _, _, is_named in rows:
            if is_named:
                named.setdefault(channel, []).append(version)
        ropes_of = {(channel, version): blob for channel, version, kind, blob, _ in rows if kind == ROPE}
        stay = needed(named, ropes_of, self._codec)
        gone = [(channel, version) for channel, version, *_ in rows if (channel, version) not in stay]
        connection.execute(statements.REMOVE_BLOBS, {**keys, **columns(("channels", "versions"), gone)})
        if not any(kind == SEGMENTS and is_named for _, _, kind, _, is_named in rows):
            connection.execute(
                "DELETE FROM checkpoint_segments WHERE thread_id = %(thread)s AND checkpoint_ns = %(ns)s", keys
            )

    def threads(self) -> Sequence[ThreadInfo]:
        rows = self._rows(statements.THREADS)
        return [ThreadInfo(t, count, size, time_of(newest), n) for t, count, size, newest, n in rows]

    def vacuum(self) -> None:
        for table in statements.OWNED:
            self._server.run(lambda c, table=table: c.execute(f"VACUUM {table}"))  # type: ignore[misc]

    def _raw_checkpoints(self, thread_id: str) -> Iterator[RawCheckpoint]:
        for (ns,) in self._rows("SELECT DISTINCT checkpoint_ns FROM checkpoints WHERE thread_id = %s", (thread_id,)):
            last = ""
            while rows := self._rows(
                statements.SELECT + "WHERE thread_id = %s AND checkpoint_ns = %s AND checkpoint_id > %s "
                "ORDER BY checkpoint_id LIMIT 16",
                (thread_id, ns, last),
            ):
                yield from map(self._raw, rows)
                last = rows[-1][2]

    def _raw(self, row: tuple[Any, ...]) -> RawCheckpoint:
        thread_id, ns, checkpoint_id, parent, head, metadata, blobs, writes = row
        place = Place(thread_id, ns)
        inline = head.pop("channel_values", None) or {}
        values: dict[str, Raw | RawList] = {channel: Raw(self._codec.dumps(value)) for channel, value in inline.items()}
        for channel, kind, blob in self._told(blobs):
            values[channel] = self._raw_value(place, channel, head, kind, blob)
        head.pop("id", None)
        return RawCheckpoint(
            place, checkpoint_id, parent, metadata, self._codec.dumps(head), values, self._writes(writes)
        )

    def _raw_value(self, place: Place, channel: str, head: Mapping[str, Any], kind: str, blob: bytes) -> Raw | RawList:
        if kind == ROPE:
            return RawList(self._list(place, channel, head, blob).elements)
        if kind == SEGMENTS:
            return RawList(self._segments(place, blob))
        kind, data = self._decrypted(kind, blob)
        if kind == "msgpack" and is_packed_list(data):
            return RawList(split_list(data))
        return Raw(typed(kind, data))

    def _decrypted(self, kind: str, data: bytes) -> tuple[str, bytes]:
        plain, _, cipher = kind.partition("+")
        if not cipher:
            return kind, data
        if self._codec.cipher is None:
            raise Undecodable("it is encrypted and no key was given")
        return plain, self._codec.cipher.decrypt(cipher, data)

    def _adopted(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        """Versions as the official saver numbers them."""
        seen = checkpoint["versions_seen"]
        return {
            **checkpoint,
            "channel_versions": numbered(checkpoint["channel_versions"]),
            "versions_seen": {node: numbered(versions) for node, versions in seen.items()},
        }

    # Claims and leases

    def _claim(self, thread_id: str, key: str, data: bytes) -> bool:
        keys = {**self._writing(thread_id), "key": key, "data": data, "claimant": uuid4()}
        allowed, stored = self._rows(statements.CLAIM, keys)[0]
        if not allowed:
            raise LeaseLost(thread_id, "a newer run took the thread over")
        return bool(stored)

    def _claimed(self, thread_id: str, key: str) -> bytes | None:
        rows = self._rows("SELECT data FROM saver_claims WHERE thread_id = %s AND key = %s", (thread_id, key))
        return rows[0][0] if rows else None

    def _attempt(self, thread_id: str) -> Hold | None:
        return self._locks.attempt(thread_id)

    def _holder(self, thread_id: str) -> str:
        return self._locks.holder(thread_id)

    def _next_fence(self, thread_id: str) -> int:
        return self._locks.next_fence(thread_id)

    def request_cancel(self, thread_id: str) -> bool:
        return self._locks.request_cancel(str(thread_id))


@dataclass
class _Step:
    """A checkpoint's values as they go into the tables. `new` are the versions that are stored with it."""

    new: ChannelVersions
    inline: dict[str, Any] = field(default_factory=dict)
    blobs: list[tuple[str, str, str, bytes]] = field(default_factory=list)
    lists: dict[str, StoredList] = field(default_factory=dict)
    leans: bool = False  # on blobs of earlier checkpoints
    is_own: bool = False  # nobody else's blobs were there under these versions


def _upgrade(connection: Connection[Any], table: LiteralString, scripts: Sequence[Any]) -> None:
    connection.execute(scripts[0])
    row = connection.execute(f"SELECT max(v) FROM {table}").fetchone()  # noqa: S608 one of two names
    done = -1 if row is None or row[0] is None else int(row[0])
    for version in range(done + 1, len(scripts)):
        connection.execute(scripts[version])
        connection.execute(f"INSERT INTO {table} (v) VALUES (%s) ON CONFLICT DO NOTHING", (version,))  # noqa: S608
