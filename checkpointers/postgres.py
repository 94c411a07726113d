"""Checkpoints in PostgreSQL, in the official saver's own tables: its readers still work on them.

A put, its writes and a get are one statement each: one round trip, atomic, and safe to send again, so that it is
repeated on another connection when its own turns out dead. Only with `segments=True` are lists stored as the official
saver can't read, and a put that brings segments is a transaction.
"""

from __future__ import annotations

import contextlib
import math
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, LiteralString, TypeVar
from uuid import uuid4

import ormsgpack
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointTuple, writes_sort_key
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import INTERRUPT, TASKS, _DeltaSnapshot

from checkpointers import lease as leases
from checkpointers import retention
from checkpointers.encoding import Raw, RawList, Undecodable, is_packed_list, split_list, typed, untyped
from checkpointers.errors import (
    CorruptRow,
    LeaseLost,
    NewerSchema,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
    ThreadBusy,
)
from checkpointers.lease import Hold, me
from checkpointers.records import LineageTaken, Listed, Place, Run, SegmentRow, Selection, ThreadInfo
from checkpointers.retention import Fact, Retention
from checkpointers.saver import Saver, serializer, tuple_config
from checkpointers.times import time_of
from checkpointers.tips import Tip, Tips
from checkpointers.transfer import RawCheckpoint, RawWrite
from checkpointers.values import Missing, Reader, Writer

if TYPE_CHECKING:
    from psycopg import Connection

T = TypeVar("T")
_ATTEMPTS = 4
_SEGMENTS = "segments"

# Our own tables beside the official ones, in the same numbered way.
TABLES: tuple[LiteralString, ...] = (
    "CREATE TABLE IF NOT EXISTS saver_migrations (v INTEGER PRIMARY KEY)",
    """CREATE TABLE IF NOT EXISTS saver_leases (
        thread_id TEXT PRIMARY KEY, fence BIGINT NOT NULL, holder JSONB NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS checkpoint_segments (
        thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL, lineage BIGINT NOT NULL, start BIGINT NOT NULL,
        size BIGINT NOT NULL, hashes BYTEA NOT NULL, data BYTEA NOT NULL,
        PRIMARY KEY (thread_id, checkpoint_ns, lineage, start))""",
    """CREATE TABLE IF NOT EXISTS saver_claims (
        thread_id TEXT NOT NULL, key TEXT NOT NULL, data BYTEA NOT NULL, claimant UUID NOT NULL,
        PRIMARY KEY (thread_id, key))""",
)

_PUT: LiteralString = """
WITH fence AS MATERIALIZED (
    SELECT 1 FROM saver_leases WHERE thread_id = %(thread)s AND fence = %(fence)s FOR SHARE
), blobs AS (
    INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
    SELECT %(thread)s, %(ns)s, b.* FROM unnest(
        %(channels)s::text[], %(versions)s::text[], %(types)s::text[], %(blobs)s::bytea[]) AS b
    ON CONFLICT (thread_id, checkpoint_ns, channel, version) DO NOTHING
)
INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
SELECT %(thread)s, %(ns)s, %(id)s, %(parent)s, %(checkpoint)s, %(metadata)s
WHERE %(fence)s::bigint IS NULL OR EXISTS (SELECT 1 FROM fence)
ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id)
DO UPDATE SET checkpoint = EXCLUDED.checkpoint, metadata = EXCLUDED.metadata
"""

# How many of these segments are stored now: a neighbour's that overlaps one, or another's in its place, is not counted.
_PUT_SEGMENTS: LiteralString = """
WITH new AS MATERIALIZED (
    SELECT * FROM unnest(%(lineages)s::bigint[], %(starts)s::bigint[], %(sizes)s::bigint[],
        %(hashes)s::bytea[], %(data)s::bytea[]) AS s(lineage, start, size, hashes, data)
    WHERE NOT EXISTS (
        SELECT 1 FROM checkpoint_segments c
        WHERE c.thread_id = %(thread)s AND c.checkpoint_ns = %(ns)s AND c.lineage = s.lineage
        AND c.start < s.start + s.size AND s.start < c.start + c.size AND (c.start, c.data) <> (s.start, s.data))
), stored AS (
    INSERT INTO checkpoint_segments SELECT %(thread)s, %(ns)s, new.* FROM new
    ON CONFLICT (thread_id, checkpoint_ns, lineage, start) DO NOTHING RETURNING 1
)
SELECT (SELECT count(*) FROM stored) + (
    SELECT count(*) FROM new JOIN checkpoint_segments c
    ON c.thread_id = %(thread)s AND c.checkpoint_ns = %(ns)s AND c.lineage = new.lineage AND c.start = new.start
    AND c.data = new.data)
"""

_PUT_WRITES: LiteralString = """
WITH fence AS MATERIALIZED (
    SELECT 1 FROM saver_leases WHERE thread_id = %(thread)s AND fence = %(fence)s FOR SHARE
), rows AS MATERIALIZED (
    SELECT * FROM unnest(%(idxs)s::int[], %(channels)s::text[], %(types)s::text[], %(blobs)s::bytea[])
        AS w(idx, channel, type, blob)
    WHERE %(fence)s::bigint IS NULL OR EXISTS (SELECT 1 FROM fence)
), replaced AS (
    INSERT INTO checkpoint_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
    SELECT %(thread)s, %(ns)s, %(id)s, %(task)s, %(path)s, rows.* FROM rows WHERE idx < 0
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
    DO UPDATE SET channel = EXCLUDED.channel, type = EXCLUDED.type, blob = EXCLUDED.blob
), kept AS (
    INSERT INTO checkpoint_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
    SELECT %(thread)s, %(ns)s, %(id)s, %(task)s, %(path)s, rows.* FROM rows WHERE idx >= 0
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) DO NOTHING
)
SELECT count(*) FROM rows
"""

# Sent again, when the answer to the first was lost, it finds its claimant's own row.
_CLAIM: LiteralString = """
WITH fence AS MATERIALIZED (
    SELECT 1 FROM saver_leases WHERE thread_id = %(thread)s AND fence = %(fence)s FOR SHARE
), allowed AS MATERIALIZED (
    SELECT 1 WHERE %(fence)s::bigint IS NULL OR EXISTS (SELECT 1 FROM fence)
), stored AS (
    INSERT INTO saver_claims SELECT %(thread)s, %(key)s, %(data)s, %(claimant)s FROM allowed
    ON CONFLICT (thread_id, key) DO UPDATE SET data = EXCLUDED.data WHERE saver_claims.claimant = EXCLUDED.claimant
    RETURNING 1
)
SELECT EXISTS (SELECT 1 FROM allowed), EXISTS (SELECT 1 FROM stored)
"""

_SELECT: LiteralString = """
SELECT thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata, (
    SELECT array_agg(ARRAY[convert_to(b.channel, 'UTF8'), convert_to(b.type, 'UTF8'), b.blob])
    FROM jsonb_each_text(checkpoint -> 'channel_versions') v
    JOIN checkpoint_blobs b ON b.thread_id = checkpoints.thread_id AND b.checkpoint_ns = checkpoints.checkpoint_ns
        AND b.channel = v.key AND b.version = v.value
), (
    SELECT array_agg(ARRAY[convert_to(w.task_path, 'UTF8'), convert_to(w.task_id, 'UTF8'),
        convert_to(w.idx::text, 'UTF8'), convert_to(w.channel, 'UTF8'), convert_to(w.type, 'UTF8'), w.blob])
    FROM checkpoint_writes w WHERE w.thread_id = checkpoints.thread_id
        AND w.checkpoint_ns = checkpoints.checkpoint_ns AND w.checkpoint_id = checkpoints.checkpoint_id
) FROM checkpoints """

_FACTS: LiteralString = """
SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, metadata -> 'parents' ->> '',
    ARRAY(SELECT jsonb_object_keys(coalesce(checkpoint -> 'channel_values', '{}'))),
    ARRAY(SELECT b.channel FROM jsonb_each_text(checkpoint -> 'channel_versions') v
        JOIN checkpoint_blobs b ON b.thread_id = c.thread_id AND b.checkpoint_ns = c.checkpoint_ns
        AND b.channel = v.key AND b.version = v.value AND b.type <> 'empty'),
    ARRAY(SELECT jsonb_object_keys(checkpoint -> 'channel_versions')),
    ARRAY(SELECT jsonb_object_keys(coalesce(metadata -> 'counters_since_delta_snapshot', '{}'))),
    EXISTS (SELECT 1 FROM checkpoint_writes w WHERE w.thread_id = c.thread_id AND w.checkpoint_ns = c.checkpoint_ns
        AND w.checkpoint_id = c.checkpoint_id AND w.channel = %(interrupt)s),
    (checkpoint ->> 'v')::int < 4 AND EXISTS (SELECT 1 FROM checkpoint_writes w WHERE w.thread_id = c.thread_id
        AND w.checkpoint_ns = c.checkpoint_ns AND w.checkpoint_id = c.parent_checkpoint_id AND w.channel = %(tasks)s)
FROM checkpoints c WHERE thread_id = %(thread)s
"""

_KEEP: tuple[LiteralString, ...] = (
    "DELETE FROM checkpoint_writes WHERE thread_id = %(thread)s AND checkpoint_ns = %(ns)s "
    "AND checkpoint_id = ANY(%(gone)s)",
    "DELETE FROM checkpoints WHERE thread_id = %(thread)s AND checkpoint_ns = %(ns)s AND checkpoint_id = ANY(%(gone)s)",
    "UPDATE checkpoints SET parent_checkpoint_id = NULL WHERE thread_id = %(thread)s AND checkpoint_ns = %(ns)s "
    "AND parent_checkpoint_id = ANY(%(gone)s)",
    """DELETE FROM checkpoint_blobs b WHERE thread_id = %(thread)s AND checkpoint_ns = %(ns)s
        AND (channel, version) NOT IN (SELECT v.key, v.value FROM checkpoints c
            CROSS JOIN LATERAL jsonb_each_text(c.checkpoint -> 'channel_versions') v
            WHERE c.thread_id = %(thread)s AND c.checkpoint_ns = %(ns)s)""",
)
_THREADS: LiteralString = """
SELECT thread_id, sum(n)::bigint, sum(size)::bigint, max(newest), count(DISTINCT checkpoint_ns) FROM (
    SELECT thread_id, checkpoint_ns, 1 AS n, pg_column_size(checkpoint) + pg_column_size(metadata) AS size,
        checkpoint_id AS newest FROM checkpoints
    UNION ALL SELECT thread_id, checkpoint_ns, 0, coalesce(octet_length(blob), 0), '' FROM checkpoint_blobs
    UNION ALL SELECT thread_id, checkpoint_ns, 0, octet_length(blob), '' FROM checkpoint_writes
    UNION ALL SELECT thread_id, checkpoint_ns, 0, octet_length(data), '' FROM checkpoint_segments
) rows GROUP BY thread_id HAVING sum(n) > 0 ORDER BY max(newest) DESC
"""
_ALL = ("checkpoints", "checkpoint_blobs", "checkpoint_writes", "checkpoint_segments")
_OWNED = (*_ALL, "saver_claims")
_COPIES: tuple[LiteralString, ...] = (
    """INSERT INTO checkpoints
        SELECT %(to)s, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata
        FROM checkpoints WHERE thread_id = %(from)s ON CONFLICT DO NOTHING""",
    """INSERT INTO checkpoint_blobs SELECT %(to)s, checkpoint_ns, channel, version, type, blob
        FROM checkpoint_blobs WHERE thread_id = %(from)s ON CONFLICT DO NOTHING""",
    """INSERT INTO checkpoint_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, task_path)
        SELECT %(to)s, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, task_path
        FROM checkpoint_writes WHERE thread_id = %(from)s ON CONFLICT DO NOTHING""",
    """INSERT INTO checkpoint_segments SELECT %(to)s, checkpoint_ns, lineage, start, size, hashes, data
        FROM checkpoint_segments WHERE thread_id = %(from)s ON CONFLICT DO NOTHING""",
    """INSERT INTO saver_claims SELECT %(to)s, key, data, claimant
        FROM saver_claims WHERE thread_id = %(from)s ON CONFLICT DO NOTHING""",
)


class PostgresSaver(Saver):
    """Checkpoints in PostgreSQL, over a pool of connections without a lock around it.

        with PostgresSaver.from_conn_string("postgresql://me@db.example/app") as saver:
            graph = builder.compile(checkpointer=saver)

    Tables are made when it is opened. `schema` is made too, and used for all tables. `segments` stores long lists
    once instead of at each step; the official saver can't read such threads. With a key, values and writes are
    encrypted as the official saver's `EncryptedSerializer` does it; ids, numbers and metadata stay readable.
    """

    def __init__(
        self,
        conninfo: str,
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
        self.name = name or _described(conninfo)
        self._tips = Tips()
        self._segmented = segments
        self._schema = schema
        self._puts = 0
        self._pool = self._pool_of(conninfo, connection_class, pool_size, timeout)
        self._locks = AdvisoryLocks(self, conninfo, connection_class)
        try:
            self.setup()
            self.expire()
        except BaseException:
            self.close()
            raise

    @classmethod
    @contextlib.contextmanager
    def from_conn_string(cls, conn_string: str, **options: Any) -> Iterator[PostgresSaver]:
        with cls(conn_string, **options) as saver:
            yield saver

    def _pool_of(self, conninfo: str, kind: type[Connection[Any]] | None, size: int, timeout: float) -> Any:
        from psycopg import Connection, OperationalError
        from psycopg_pool import ConnectionPool, PoolTimeout

        pool = ConnectionPool(
            conninfo,
            connection_class=kind or Connection,
            kwargs={"autocommit": True, "options": self.options(), **_KEEPALIVE},
            min_size=1,
            max_size=size,
            timeout=timeout,
            open=False,
        )
        try:
            pool.open(wait=True, timeout=timeout)
        except (PoolTimeout, OperationalError) as error:
            pool.close()
            raise StoreUnavailable(self.name, str(error)) from error
        return pool

    def options(self) -> str:
        """What a connection sets when it begins: no round trip of its own."""
        if self._schema is None:
            return ""
        quoted = '"' + self._schema.replace('"', '""') + '"'
        return "-c search_path=" + quoted.replace("\\", "\\\\").replace(" ", "\\ ")

    def close(self) -> None:
        self._workers.close()
        self._locks.close()
        self._pool.close()

    # Talking to the server

    def _run(self, work: Callable[[Connection[Any]], T]) -> T:
        """Do it, and do it again on another connection when this one turns out dead."""
        from psycopg import Error
        from psycopg_pool import PoolTimeout

        for attempt in range(_ATTEMPTS):
            try:
                with self._pool.connection() as connection:
                    return work(connection)
            except PoolTimeout as error:
                raise StoreUnavailable(self.name, str(error)) from error
            except Error as error:
                if not _is_lost(error):
                    raise self._named(error) from error
                if attempt == _ATTEMPTS - 1:
                    raise StoreUnavailable(self.name, str(error)) from error
            self._pool.check()
        raise AssertionError("unreachable")

    def _rows(self, sql: LiteralString, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._run(lambda c: c.execute(sql, parameters, binary=True).fetchall())

    def _count(self, sql: LiteralString, parameters: Mapping[str, Any]) -> int:
        return self._run(lambda c: c.execute(sql, parameters).rowcount)

    def _named(self, error: Exception) -> Exception:
        from psycopg import DataError, errors

        if isinstance(error, errors.DiskFull | errors.OutOfMemory | errors.ConfigurationLimitExceeded):
            return StoreFull(self.name, str(error))
        if isinstance(error, errors.InsufficientPrivilege | errors.ReadOnlySqlTransaction):
            return StoreReadOnly(self.name, str(error))
        if isinstance(error, DataError):
            return StoreError(f"{self.name}: PostgreSQL doesn't take this id or name ({error}); use plain text")
        return StoreError(f"{self.name}: {error}")

    def setup(self) -> None:
        """Make the tables, or bring them up to date; safe when several programs start at once."""
        from langgraph.checkpoint.postgres.base import MIGRATIONS

        def work(connection: Connection[Any]) -> None:
            if self._schema:
                from psycopg import sql

                connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(self._schema)))
            for table, scripts in (("checkpoint_migrations", MIGRATIONS), ("saver_migrations", TABLES)):
                _upgrade(connection, self.name, table, scripts)

        if not self._is_set_up():
            with self._locks.alone("setup"):
                self._run(work)

    def _is_set_up(self) -> bool:
        from langgraph.checkpoint.postgres.base import MIGRATIONS

        found = self._rows(
            "SELECT to_regclass('checkpoint_migrations') IS NOT NULL AND to_regclass('saver_migrations') IS NOT NULL"
        )
        if not found[0][0]:
            return False
        rows = self._rows("SELECT (SELECT max(v) FROM checkpoint_migrations), (SELECT max(v) FROM saver_migrations)")
        if (rows[0][1] or 0) > len(TABLES) - 1:
            raise NewerSchema(self.name, rows[0][1], len(TABLES) - 1)
        return rows[0][0] is not None and rows[0][0] >= len(MIGRATIONS) - 1 and rows[0][1] == len(TABLES) - 1

    # Saving

    def _put(
        self,
        place: Place,
        parent: str | None,
        checkpoint: Checkpoint,
        metadata: Mapping[str, Any],
        new: ChannelVersions,
    ) -> None:
        before = self._tips.get(place) if self._segmented and parent else None
        if before is not None and before.id != parent:
            before = None
        try:
            tip = self._save(place, before, parent, checkpoint, metadata, new, branch=False)
        except LineageTaken:
            tip = self._save(place, before, parent, checkpoint, metadata, new, branch=True)
        if self._segmented:
            self._tips.put(place, tip)
        self._prune_sometimes(place)

    def _prune_sometimes(self, place: Place) -> None:
        keep_last = self._retention.keep_last
        if keep_last:
            self._puts += 1
            if self._puts % max(keep_last, 16) == 0:
                self._prune(place.thread_id, keep_last)

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
        writer = Writer(self._codec, place, before, branch=branch, watch=True)
        tip = Tip(checkpoint["id"], dict(checkpoint["channel_versions"]), {})
        inline: dict[str, Any] = {}
        blobs: list[tuple[str, str, str, bytes]] = []
        for channel, value in checkpoint["channel_values"].items():
            if isinstance(value, _DeltaSnapshot):
                inline[channel] = True  # what the official saver leaves for its readers
            elif _inlinable(value) and not (self._codec.cipher and isinstance(value, str)):
                inline[channel] = value
                continue
            if channel not in new:
                if before and channel in before.lists:
                    tip.lists[channel] = before.lists[channel]
                continue
            listed = self._listed(writer, channel, value, before)
            if listed is not None:
                tip.lists[channel] = listed
                kind, data = _SEGMENTS, self._sealed(ormsgpack.packb([list(run) for run in listed.runs]))
            else:
                kind, data = self._typed(value)
            blobs.append((channel, str(new[channel]), kind, data))
        lease = self._lease(place.thread_id)
        from psycopg.types.json import Jsonb

        saved = self._put_rows(
            place,
            writer.segments,
            {
                **_columns(("channels", "versions", "types", "blobs"), blobs),
                "thread": place.thread_id,
                "ns": place.ns,
                "id": checkpoint["id"],
                "parent": parent,
                "checkpoint": Jsonb({**checkpoint, "channel_values": inline}),
                "metadata": Jsonb(_storable(metadata)),
                "fence": lease.fence if lease else None,
            },
        )
        if not saved:
            raise LeaseLost(place.thread_id, "a newer run took the thread over")
        return tip

    def _listed(self, writer: Writer, channel: str, value: Any, before: Tip | None) -> Any:
        if not self._segmented or not isinstance(value, list | RawList) or not self._codec.splits_lists:
            return None
        return writer.listed(value, before.lists.get(channel) if before else None)

    def _put_rows(self, place: Place, rows: Sequence[SegmentRow], checkpoint: Mapping[str, Any]) -> int:
        """Segments are seen with the checkpoint that points at them or not at all: no prune takes them for waste."""
        if not rows:
            return self._count(_PUT, checkpoint)
        columns = _columns(("lineages", "starts", "sizes", "hashes", "data"), [row[1:] for row in rows])
        segments = {**columns, "thread": place.thread_id, "ns": place.ns}

        def work(connection: Connection[Any]) -> int:
            with connection.transaction():
                stored = connection.execute(_PUT_SEGMENTS, segments).fetchone()
                if stored is None or stored[0] != len(rows):
                    raise LineageTaken
                return connection.execute(_PUT, checkpoint).rowcount

        return self._run(work)

    def _put_writes(
        self, place: Place, checkpoint_id: str, writes: Sequence[tuple[int, str, Any]], task: tuple[str, str]
    ) -> None:
        rows = [(index, channel, *self._typed(value)) for index, channel, value in writes]
        unique = list({row[0]: row for row in reversed(rows)}.values())
        lease = self._lease(place.thread_id)
        found = self._rows(
            _PUT_WRITES,
            {
                **_columns(("idxs", "channels", "types", "blobs"), unique),
                "thread": place.thread_id,
                "ns": place.ns,
                "id": checkpoint_id,
                "task": task[0],
                "path": task[1],
                "fence": lease.fence if lease else None,
            },
        )
        if found[0][0] != len(unique):
            raise LeaseLost(place.thread_id, "a newer run took the thread over")

    def _typed(self, value: Any) -> tuple[str, bytes]:
        """As the official saver stores it: the serializer's type and bytes, encrypted by it if it encrypts."""
        name, data = untyped(self._codec.dumps(value))
        if self._codec.cipher is None:
            return name, data
        cipher, secret = self._codec.cipher.encrypt(data)
        return f"{name}+{cipher}", secret

    def _sealed(self, data: bytes) -> bytes:
        return self._codec.seal(data)

    def _lease(self, thread_id: str) -> leases.Lease | None:
        lease = leases.held(self.name, thread_id)
        if lease:
            lease.require()
        return lease

    # Reading

    def _get(self, place: Place, checkpoint_id: str | None) -> CheckpointTuple | None:
        which: LiteralString = "AND checkpoint_id = %s" if checkpoint_id else "ORDER BY checkpoint_id DESC LIMIT 1"
        parameters = (*place, checkpoint_id) if checkpoint_id else place
        rows = self._rows(_SELECT + "WHERE thread_id = %s AND checkpoint_ns = %s " + which, parameters)
        return self._loaded(rows[0], remember=checkpoint_id is None) if rows else None

    def _loaded(self, row: tuple[Any, ...], *, remember: bool = False) -> CheckpointTuple:
        place, checkpoint_id = Place(row[0], row[1]), row[2]
        try:
            return self._tuple(place, row, remember=remember)
        except (Missing, ValueError, NotImplementedError) as error:
            what = f"checkpoint {checkpoint_id} of thread {place.thread_id!r}"
            raise CorruptRow(self.name, what, str(error)) from error

    def _tuple(self, place: Place, row: tuple[Any, ...], *, remember: bool) -> CheckpointTuple:
        _, _, checkpoint_id, parent, head, metadata, blobs, writes = row
        tip = self._tips.get(place)
        reader = Reader(self._codec, self, place, tip if tip and tip.id == checkpoint_id else None)
        values = dict(head.get("channel_values") or {})
        for channel, kind, blob in blobs or ():
            if kind == b"empty":
                continue
            values[channel.decode()] = self._value(reader, channel.decode(), kind.decode(), blob)
        if remember and reader.tip is None and reader.lists:
            lists = {channel: reader.marked(channel, values[channel]) for channel in reader.lists}
            self._tips.put(place, Tip(checkpoint_id, head["channel_versions"], {}, lists))
        pending = sorted(writes or (), key=lambda w: writes_sort_key(w[0].decode(), w[1].decode(), int(w[2])))
        return CheckpointTuple(
            tuple_config(place, checkpoint_id),
            {**head, "channel_values": values},  # type: ignore[typeddict-item]
            metadata,
            tuple_config(place, parent) if parent else None,
            [
                (w[1].decode(), w[3].decode(), self._codec.plain.loads_typed(self._decrypted(w[4].decode(), w[5])))
                for w in pending
            ],
        )

    def _value(self, reader: Reader, channel: str, kind: str, blob: bytes) -> Any:
        if kind != _SEGMENTS:
            return self._opened(kind, blob)
        runs = tuple(Run(*run) for run in ormsgpack.unpackb(self._codec.open(blob)))
        return self._codec.joined(reader.elements(channel, runs))

    def _opened(self, kind: str, data: bytes) -> Any:
        return self._codec.plain.loads_typed(self._decrypted(kind, data))

    def segments(self, place: Place, lineage: int, start: int, stop: int) -> list[SegmentRow]:
        rows = self._rows(
            "SELECT lineage, start, size, hashes, data FROM checkpoint_segments WHERE thread_id = %s "
            "AND checkpoint_ns = %s AND lineage = %s AND start < %s AND start + size > %s ORDER BY start",
            (*place, lineage, stop, start),
        )
        return [SegmentRow(place, *row) for row in rows]

    def values(self, place: Place, keys: Sequence[int]) -> dict[int, bytes]:
        return {}

    def _page(self, selection: Selection) -> Sequence[Listed]:
        where, parameters = _conditions(selection)
        rows = self._rows(
            _SELECT + where + " ORDER BY checkpoint_id DESC, thread_id, checkpoint_ns LIMIT %(limit)s",
            {**parameters, "limit": selection.limit},
        )
        return [Listed(row[2], Place(row[0], row[1]), row[5], partial(self._loaded, row)) for row in rows]

    # Keeping house

    def get_next_version(self, current: Any, channel: None) -> Any:
        """The official format: a count that sorts as text, and a number that tells branches apart."""
        count = 0 if current is None else current if isinstance(current, int) else int(str(current).split(".")[0])
        return f"{count + 1:032}.{random.random():016}"  # noqa: S311 tells branches apart, no secret

    def delete_thread(self, thread_id: str) -> None:
        def work(connection: Connection[Any]) -> None:
            with connection.transaction(), connection.pipeline():
                for table in _OWNED:
                    connection.execute(f"DELETE FROM {table} WHERE thread_id = %s", (str(thread_id),))  # noqa: S608

        self._run(work)
        self._tips.forget(str(thread_id))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        target = str(target_thread_id)
        if self._rows("SELECT 1 FROM checkpoints WHERE thread_id = %s LIMIT 1", (target,)):
            raise ValueError(f"thread {target_thread_id!r} exists: copy to a new id, or delete it first")

        def work(connection: Connection[Any]) -> None:
            with connection.transaction():
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                for statement in _COPIES:
                    connection.execute(statement, {"from": str(source_thread_id), "to": target})

        self._run(work)

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete what these runs saved, except what a later checkpoint's delta channels are rebuilt from."""
        wanted = [str(run_id) for run_id in run_ids]
        rows = self._rows(
            "SELECT thread_id, checkpoint_id FROM checkpoints WHERE metadata ->> 'run_id' = ANY(%s)", (wanted,)
        )
        doomed: dict[str, set[str]] = {}
        for thread_id, checkpoint_id in rows:
            doomed.setdefault(thread_id, set()).add(checkpoint_id)
        for thread_id, ids in doomed.items():
            self._keep(thread_id, lambda facts, ids=ids: retention.survivors(facts, ids))  # type: ignore[misc]

    def _prune(self, thread_id: str, keep_last: int) -> None:
        self._keep(thread_id, lambda facts: retention.kept(facts, keep_last))

    def _keep(self, thread_id: str, chosen: Callable[[list[Fact]], Mapping[str, set[str]]]) -> None:
        """In one transaction on one snapshot: what a run saves meanwhile is neither seen nor deleted."""

        def work(connection: Connection[Any]) -> None:
            with connection.transaction():
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                keys = {"thread": thread_id, "interrupt": INTERRUPT, "tasks": TASKS}
                facts = [_fact(row) for row in connection.execute(_FACTS, keys).fetchall()]
                stays = chosen(facts)
                for ns in {fact.ns for fact in facts}:
                    gone = [f.id for f in facts if f.ns == ns and f.id not in stays.get(ns, ())]
                    if gone:
                        for statement in _KEEP:
                            connection.execute(statement, {"thread": thread_id, "ns": ns, "gone": gone})
                        self._drop_segments(connection, Place(thread_id, ns))

        self._run(work)

    def _drop_segments(self, connection: Connection[Any], place: Place) -> None:
        """Segments that no blob points at any more."""
        rows = connection.execute(
            "SELECT blob FROM checkpoint_blobs WHERE thread_id = %s AND checkpoint_ns = %s AND type = %s",
            (*place, _SEGMENTS),
        ).fetchall()
        used = [Run(*run) for (blob,) in rows for run in ormsgpack.unpackb(self._codec.open(blob))]
        connection.execute(
            "DELETE FROM checkpoint_segments s WHERE thread_id = %s AND checkpoint_ns = %s AND NOT EXISTS ("
            "SELECT 1 FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS u(lineage, start, stop) "
            "WHERE u.lineage = s.lineage AND u.start < s.start + s.size AND s.start < u.stop)",
            (*place, *([run[i] for run in used] for i in range(3))),
        )

    def threads(self) -> Sequence[ThreadInfo]:
        return [ThreadInfo(t, count, size, time_of(newest), n) for t, count, size, newest, n in self._rows(_THREADS)]

    def vacuum(self) -> None:
        for table in _ALL:
            self._run(lambda c, table=table: c.execute(f"VACUUM {table}"))  # type: ignore[misc]

    def _raw_checkpoints(self, thread_id: str) -> Iterator[RawCheckpoint]:
        for (ns,) in self._rows("SELECT DISTINCT checkpoint_ns FROM checkpoints WHERE thread_id = %s", (thread_id,)):
            last = ""
            while rows := self._rows(
                _SELECT + "WHERE thread_id = %s AND checkpoint_ns = %s AND checkpoint_id > %s "
                "ORDER BY checkpoint_id LIMIT 16",
                (thread_id, ns, last),
            ):
                yield from map(self._raw, rows)
                last = rows[-1][2]

    def _raw(self, row: tuple[Any, ...]) -> RawCheckpoint:
        thread_id, ns, checkpoint_id, parent, head, metadata, blobs, writes = row
        place = Place(thread_id, ns)
        reader = Reader(self._codec, self, place, None)
        values: dict[str, Raw | RawList] = {
            channel: Raw(self._codec.dumps(value))
            for channel, value in (head.pop("channel_values", None) or {}).items()
        }
        for channel, kind, blob in blobs or ():
            if kind != b"empty":
                values[channel.decode()] = self._raw_value(reader, channel.decode(), kind.decode(), blob)
        raw_writes = [
            RawWrite(
                w[0].decode(), w[1].decode(), int(w[2]), w[3].decode(), typed(*self._decrypted(w[4].decode(), w[5]))
            )
            for w in writes or ()
        ]
        head.pop("id", None)
        return RawCheckpoint(place, checkpoint_id, parent, metadata, self._codec.dumps(head), values, raw_writes)

    def _raw_value(self, reader: Reader, channel: str, kind: str, blob: bytes) -> Raw | RawList:
        if kind == _SEGMENTS:
            runs = tuple(Run(*run) for run in ormsgpack.unpackb(self._codec.open(blob)))
            return RawList(reader.elements(channel, runs))
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
            "channel_versions": _versions(checkpoint["channel_versions"]),
            "versions_seen": {node: _versions(versions) for node, versions in seen.items()},
        }

    # Claims and leases

    def _claim(self, thread_id: str, key: str, data: bytes) -> bool:
        lease = self._lease(thread_id)
        keys = {"thread": thread_id, "key": key, "data": data, "claimant": uuid4()}
        allowed, stored = self._rows(_CLAIM, {**keys, "fence": lease.fence if lease else None})[0]
        if not allowed:
            raise LeaseLost(thread_id, "a newer run took the thread over")
        return bool(stored)

    def _claimed(self, thread_id: str, key: str) -> bytes | None:
        rows = self._rows("SELECT data FROM saver_claims WHERE thread_id = %s AND key = %s", (thread_id, key))
        return rows[0][0] if rows else None

    def _attempt(self, thread_id: str) -> Hold | None:
        return self._locks.attempt(thread_id)

    def _busy(self, thread_id: str, waited: float) -> ThreadBusy:
        rows = self._rows("SELECT holder FROM saver_leases WHERE thread_id = %s", (thread_id,))
        who = rows[0][0] if rows else None
        holder = f"process {who['pid']} on {who['host']} (since {who['since']})" if who else "another run"
        return ThreadBusy(thread_id, holder, waited)

    def _next_fence(self, thread_id: str) -> int:
        from psycopg.types.json import Jsonb

        rows = self._rows(
            "INSERT INTO saver_leases VALUES (%s, 1, %s) ON CONFLICT (thread_id) "
            "DO UPDATE SET fence = saver_leases.fence + 1, holder = EXCLUDED.holder RETURNING fence",
            (thread_id, Jsonb(me())),
        )
        fence: int = rows[0][0]
        return fence


class AdvisoryLocks:
    """Session locks of one connection beside the pool. When it dies the server frees them, and the fences hold."""

    def __init__(self, saver: PostgresSaver, conninfo: str, kind: type[Connection[Any]] | None) -> None:
        self._saver, self._conninfo, self._kind = saver, conninfo, kind
        self._lock = threading.Lock()
        self._taken: set[str] = set()
        self._connection: Connection[Any] | None = None

    def attempt(self, thread_id: str) -> AdvisoryHold | None:
        with self._lock:
            if thread_id in self._taken:
                return None
            if not self._ask("SELECT pg_try_advisory_lock(%s)", thread_id):
                return None
            self._taken.add(thread_id)
            return AdvisoryHold(self, thread_id)

    def give_back(self, thread_id: str) -> None:
        from psycopg import Error

        with self._lock:
            self._taken.discard(thread_id)
            with contextlib.suppress(Error, StoreError):  # the server frees a dead connection's locks itself
                self._ask("SELECT pg_advisory_unlock(%s)", thread_id)

    @contextlib.contextmanager
    def alone(self, task: str) -> Iterator[None]:
        for pause in leases.pauses(60):
            hold = self.attempt(f"\0{task}")
            if hold is not None:
                break
            threading.Event().wait(pause)
        else:
            raise StoreUnavailable(self._saver.name, f"another program is at its {task} for a minute")
        try:
            yield
        finally:
            hold.release()

    def _ask(self, sql: LiteralString, thread_id: str) -> bool:
        from psycopg import Error, OperationalError

        for attempt in range(_ATTEMPTS):
            try:
                answer: bool = self._connected().execute(sql, (self._key(thread_id),)).fetchall()[0][0]
                return answer
            except Error as error:
                self._connection = None
                if not _is_lost(error) or attempt == _ATTEMPTS - 1:
                    kind = StoreUnavailable if isinstance(error, OperationalError) else StoreError
                    raise kind(self._saver.name, str(error)) from error
        raise AssertionError("unreachable")

    def _connected(self) -> Connection[Any]:
        from psycopg import Connection

        if self._connection is None or self._connection.closed:
            kind = self._kind or Connection
            self._connection = kind.connect(
                self._conninfo, autocommit=True, options=self._saver.options(), **_KEEPALIVE
            )
        return self._connection

    def _key(self, thread_id: str) -> int:
        text = f"checkpointers\0{self._saver._schema or ''}\0{thread_id}"
        return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), signed=True)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class AdvisoryHold:
    def __init__(self, locks: AdvisoryLocks, thread_id: str) -> None:
        self._locks, self._thread_id = locks, thread_id

    def release(self) -> None:
        self._locks.give_back(self._thread_id)


_KEEPALIVE: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 5,
}


def _upgrade(connection: Connection[Any], name: str, table: LiteralString, scripts: Sequence[Any]) -> None:
    connection.execute(scripts[0])
    row = connection.execute(f"SELECT max(v) FROM {table}").fetchone()  # noqa: S608 one of two names
    done = -1 if row is None or row[0] is None else int(row[0])
    for version in range(done + 1, len(scripts)):
        connection.execute(scripts[version])
        connection.execute(f"INSERT INTO {table} (v) VALUES (%s) ON CONFLICT DO NOTHING", (version,))  # noqa: S608


def _is_lost(error: Exception) -> bool:
    """Whether the connection died, or the server asks to try again: what was sent may be sent once more."""
    from psycopg import InterfaceError, OperationalError

    state = getattr(error, "sqlstate", None)
    if state is None:
        return isinstance(error, OperationalError | InterfaceError)
    return state.startswith("08") or state in ("57P01", "57P02", "57P03", "57P05", "25P03", "40001", "40P01")


def _described(conninfo: str) -> str:
    from psycopg.conninfo import conninfo_to_dict

    parts = conninfo_to_dict(conninfo)
    return f"postgresql://{parts.get('host') or 'localhost'}:{parts.get('port') or 5432}/{parts.get('dbname') or ''}"


def _columns(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def _inlinable(value: Any) -> bool:
    """What JSON keeps exactly. Floats come back as integers, and NUL not at all: these become blobs."""
    if type(value) is str:
        return ("\0" not in value and value.isascii()) or _encodable(value)
    return value is None or type(value) in (bool, int)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _storable(value: Any) -> Any:
    """Metadata that jsonb takes: without NUL and lone surrogates, and null for what is no number."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "ignore").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {_storable(str(k)): _storable(v) for k, v in value.items()}
    return [_storable(v) for v in value] if isinstance(value, list | tuple) else value


def _versions(versions: Mapping[str, Any]) -> dict[str, Any]:
    return {c: v if isinstance(v, str) else f"{int(v):032}.{0:016}" for c, v in versions.items()}


def _fact(row: tuple[Any, ...]) -> Fact:
    ns, checkpoint_id, parent, root, inline, blobs, versioned, delta, interrupted, sends = row
    return Fact(
        ns,
        checkpoint_id,
        parent,
        root=root,
        stored=frozenset([*inline, *blobs]),
        versioned=frozenset(versioned),
        delta=frozenset(delta),
        interrupted=interrupted,
        sends_in_parent=bool(sends),
    )


def _conditions(selection: Selection) -> tuple[LiteralString, dict[str, Any]]:
    conditions: list[LiteralString] = ["TRUE"]
    parameters: dict[str, Any] = {}
    wanted: tuple[tuple[LiteralString, str, Any], ...] = (
        ("thread_id = %(thread)s", "thread", selection.thread_id),
        ("checkpoint_ns = %(ns)s", "ns", selection.ns),
        ("checkpoint_id = %(id)s", "id", selection.id),
        ("checkpoint_id < %(before)s", "before", selection.before),
    )
    for condition, name, value in wanted:
        if value is not None:
            conditions.append(condition)
            parameters[name] = value
    if selection.after is not None:
        last, place = selection.after
        conditions.append(
            "(checkpoint_id < %(last)s OR (checkpoint_id = %(last)s "
            "AND (thread_id, checkpoint_ns) > (%(last_thread)s, %(last_ns)s)))"
        )
        parameters |= {"last": last, "last_thread": place.thread_id, "last_ns": place.ns}
    return "WHERE " + " AND ".join(conditions), parameters
