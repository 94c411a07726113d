"""What is said to the server. Our own tables stand beside the official ones."""

from __future__ import annotations

from typing import LiteralString

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
    "ALTER TABLE saver_leases ADD COLUMN IF NOT EXISTS cancel BIGINT",
)

# Who writes holds the thread's newest lease, or none; or the thread was deleted since, and its lease with it.
# It shares the thread's lock with others who write; whoever removes something has it alone.
_FENCED: LiteralString = """
WITH locked AS MATERIALIZED (
    SELECT pg_advisory_xact_lock_shared(%(lock)s)
), lease AS MATERIALIZED (
    SELECT fence FROM saver_leases WHERE thread_id = %(thread)s AND %(fence)s::bigint IS NOT NULL FOR SHARE
), allowed AS MATERIALIZED (
    SELECT 1 FROM locked WHERE NOT EXISTS (SELECT 1 FROM lease WHERE fence <> %(fence)s)
)"""

# `needs` is the checkpoint whose blobs this one points at: when it is there, they are there.
_PUT: LiteralString = """, needed AS MATERIALIZED (
    SELECT 1 FROM allowed, checkpoints c
    WHERE c.thread_id = %(thread)s AND c.checkpoint_ns = %(ns)s AND c.checkpoint_id = %(needs)s FOR SHARE OF c
), there AS MATERIALIZED (
    SELECT 1 WHERE %(needs)s::text IS NULL OR EXISTS (SELECT 1 FROM needed)
), blobs AS (
    INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
    SELECT %(thread)s, %(ns)s, b.* FROM unnest(
        %(channels)s::text[], %(versions)s::text[], %(types)s::text[], %(blobs)s::bytea[]) AS b, allowed, there
    ON CONFLICT (thread_id, checkpoint_ns, channel, version) DO NOTHING RETURNING 1
), saved AS (
    INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
    SELECT %(thread)s, %(ns)s, %(id)s, %(parent)s, %(checkpoint)s, %(metadata)s FROM allowed, there
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id)
    DO UPDATE SET checkpoint = EXCLUDED.checkpoint, metadata = EXCLUDED.metadata RETURNING 1
)
SELECT EXISTS (SELECT 1 FROM allowed), EXISTS (SELECT 1 FROM saved), (SELECT count(*) FROM blobs)
"""
PUT = _FENCED + _PUT

_PUT_WRITES: LiteralString = """, rows AS MATERIALIZED (
    SELECT w.* FROM unnest(%(idxs)s::int[], %(channels)s::text[], %(types)s::text[], %(blobs)s::bytea[])
        AS w(idx, channel, type, blob), allowed
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
PUT_WRITES = _FENCED + _PUT_WRITES

# Sent again, when the answer to the first was lost, it finds its claimant's own row.
_CLAIM: LiteralString = """, stored AS (
    INSERT INTO saver_claims SELECT %(thread)s, %(key)s, %(data)s, %(claimant)s FROM allowed
    ON CONFLICT (thread_id, key) DO UPDATE SET data = EXCLUDED.data WHERE saver_claims.claimant = EXCLUDED.claimant
    RETURNING 1
)
SELECT EXISTS (SELECT 1 FROM allowed), EXISTS (SELECT 1 FROM stored)
"""
CLAIM = _FENCED + _CLAIM

SELECT: LiteralString = """
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

FACTS: LiteralString = """
SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, metadata -> 'parents' ->> '',
    ARRAY(SELECT jsonb_object_keys(coalesce(checkpoint -> 'channel_values', '{}'))),
    ARRAY(SELECT b.channel FROM jsonb_each_text(checkpoint -> 'channel_versions') v
        JOIN checkpoint_blobs b ON b.thread_id = c.thread_id AND b.checkpoint_ns = c.checkpoint_ns
        AND b.channel = v.key AND b.version = v.value AND b.type <> 'empty'),
    ARRAY(SELECT jsonb_object_keys(checkpoint -> 'channel_versions')),
    ARRAY(SELECT jsonb_object_keys(coalesce(metadata -> 'counters_since_delta_snapshot', '{}'))),
    metadata ->> 'run_id',
    EXISTS (SELECT 1 FROM checkpoint_writes w WHERE w.thread_id = c.thread_id AND w.checkpoint_ns = c.checkpoint_ns
        AND w.checkpoint_id = c.checkpoint_id AND w.channel = %(interrupt)s),
    (checkpoint ->> 'v')::int < 4 AND EXISTS (SELECT 1 FROM checkpoint_writes w WHERE w.thread_id = c.thread_id
        AND w.checkpoint_ns = c.checkpoint_ns AND w.checkpoint_id = c.parent_checkpoint_id AND w.channel = %(tasks)s)
FROM checkpoints c WHERE thread_id = %(thread)s
"""

REMOVE: tuple[LiteralString, ...] = (
    "DELETE FROM checkpoint_writes WHERE thread_id = %(thread)s AND checkpoint_ns = %(ns)s "
    "AND checkpoint_id = ANY(%(gone)s)",
    "DELETE FROM checkpoints WHERE thread_id = %(thread)s AND checkpoint_ns = %(ns)s AND checkpoint_id = ANY(%(gone)s)",
    "UPDATE checkpoints SET parent_checkpoint_id = NULL WHERE thread_id = %(thread)s AND checkpoint_ns = %(ns)s "
    "AND parent_checkpoint_id = ANY(%(gone)s)",
)
# The blobs that kept checkpoints name, and those that are lists in our own way.
NAMED: LiteralString = """
SELECT b.channel, b.version, b.type, CASE WHEN b.type = ANY(%(lists)s) THEN b.blob END, EXISTS (
    SELECT 1 FROM checkpoints c WHERE c.thread_id = b.thread_id AND c.checkpoint_ns = b.checkpoint_ns
    AND c.checkpoint -> 'channel_versions' ->> b.channel = b.version)
FROM checkpoint_blobs b WHERE b.thread_id = %(thread)s AND b.checkpoint_ns = %(ns)s
"""
REMOVE_BLOBS: LiteralString = """
DELETE FROM checkpoint_blobs WHERE thread_id = %(thread)s AND checkpoint_ns = %(ns)s
AND (channel, version) IN (SELECT * FROM unnest(%(channels)s::text[], %(versions)s::text[]))
"""
BLOBS: LiteralString = """
SELECT version, blob FROM checkpoint_blobs
WHERE thread_id = %s AND checkpoint_ns = %s AND channel = %s AND version = ANY(%s)
"""

THREADS: LiteralString = """
SELECT thread_id, sum(n)::bigint, sum(size)::bigint, max(newest), count(DISTINCT checkpoint_ns) FROM (
    SELECT thread_id, checkpoint_ns, 1 AS n, pg_column_size(checkpoint) + pg_column_size(metadata) AS size,
        checkpoint_id AS newest FROM checkpoints
    UNION ALL SELECT thread_id, checkpoint_ns, 0, coalesce(octet_length(blob), 0), '' FROM checkpoint_blobs
    UNION ALL SELECT thread_id, checkpoint_ns, 0, octet_length(blob), '' FROM checkpoint_writes
    UNION ALL SELECT thread_id, checkpoint_ns, 0, octet_length(data), '' FROM checkpoint_segments
) rows GROUP BY thread_id HAVING sum(n) > 0 ORDER BY max(newest) DESC
"""
OWNED = ("checkpoints", "checkpoint_blobs", "checkpoint_writes", "checkpoint_segments", "saver_claims", "saver_leases")
COPIES: tuple[LiteralString, ...] = (
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
