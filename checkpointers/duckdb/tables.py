"""The tables of a DuckDB store and the connection to them; whoever calls holds the store's lock on the tables."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from checkpointers.duckdb.recent import Row
from checkpointers.earlier import DUCKDB as EARLIER
from checkpointers.errors import NewerSchema, NotADatabase, StoreError, StoreFull, StoreLocked
from checkpointers.processes import holders
from checkpointers.records import Kept, Place, Saved, Selection, Sweep, ThreadInfo, Written
from checkpointers.times import time_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# A file at version n has had the first n of these. Never edit one; append.
MIGRATIONS = (
    """
    CREATE TABLE saver_checkpoints(
        thread_id VARCHAR, ns VARCHAR, id VARCHAR, parent VARCHAR, metadata BLOB, body BLOB);
    CREATE TABLE saver_segments(
        thread_id VARCHAR, ns VARCHAR, lineage BIGINT, start BIGINT, size BIGINT, hashes BLOB, data BLOB);
    CREATE TABLE saver_values(thread_id VARCHAR, ns VARCHAR, key BIGINT, data BLOB);
    CREATE TABLE saver_writes(thread_id VARCHAR, ns VARCHAR, checkpoint_id VARCHAR, seq BIGINT, data BLOB);
    CREATE TABLE saver_state(schema INTEGER, journal BIGINT);
    INSERT INTO saver_state VALUES (0, 0);
    CREATE VIEW checkpoints AS
        SELECT thread_id, ns, id AS checkpoint_id, parent AS parent_id,
            TRY_CAST(decode(metadata) AS JSON) AS metadata,
            TRY_CAST(decode(metadata) AS JSON) ->> '$.source' AS source,
            TRY_CAST(TRY_CAST(decode(metadata) AS JSON) ->> '$.step' AS BIGINT) AS step,
            octet_length(body) AS bytes
        FROM saver_checkpoints;
    """,
    "CREATE TABLE saver_claims(thread_id VARCHAR, key VARCHAR, data BLOB);",
    """
    DROP VIEW checkpoints;
    ALTER TABLE saver_checkpoints RENAME TO earlier_checkpoints;
    ALTER TABLE saver_segments RENAME TO earlier_segments;
    ALTER TABLE saver_values RENAME TO earlier_values;
    ALTER TABLE saver_writes RENAME TO earlier_writes;
    CREATE TABLE saver_rows(thread_id VARCHAR, ns VARCHAR, number BIGINT, id VARCHAR, part BIGINT, parent VARCHAR,
        metadata BLOB, data BLOB);
    CREATE VIEW checkpoints AS
        SELECT thread_id, ns, id AS checkpoint_id, parent AS parent_id,
            TRY_CAST(decode(metadata) AS JSON) AS metadata,
            TRY_CAST(decode(metadata) AS JSON) ->> '$.source' AS source,
            TRY_CAST(TRY_CAST(decode(metadata) AS JSON) ->> '$.step' AS BIGINT) AS step,
            octet_length(data) AS bytes
        FROM saver_rows WHERE part = 0;
    """,
)
ONE_PROCESS = (
    "DuckDB lets one process have a file: end that process, use its program for both tasks, "
    "or choose the SQLite store, which several processes can share."
)
_OWNED = ("saver_rows", "saver_claims")
_COLUMNS = "thread_id, ns, number, id, part, parent, metadata, data"
_AT = "thread_id=? AND ns=?"


class Tables:
    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        self._db = self._opened()
        self._nested = False

    def _opened(self) -> DuckDBPyConnection:
        import duckdb

        if not _is_duckdb(self._path):
            raise NotADatabase(self._name, "DuckDB")
        try:
            return duckdb.connect(str(self._path), config={"threads": 2})
        except duckdb.Error as error:
            holder = holders(self._path)
            if holder != "another process":
                raise StoreLocked(self._name, holder, ONE_PROCESS) from error
            raise StoreError(
                f"{self._name} can't be opened ({error}). If a newer DuckDB wrote it, upgrade duckdb; else restore it."
            ) from error

    def upgrade(self, left: Sequence[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        """Bring the tables up to date; what an earlier version `left` in its journal goes into its tables first."""
        tables = {name for (name,) in self.select("SELECT table_name FROM duckdb_tables()")}
        version = self.select("SELECT schema FROM saver_state")[0][0] if "saver_state" in tables else 0
        if version > len(MIGRATIONS):
            raise NewerSchema(self._name, version, len(MIGRATIONS))
        if version == 0 and tables:
            raise NotADatabase(self._name, "DuckDB")
        if version == len(MIGRATIONS):
            return list(left)
        with self.transaction() as db:
            for script in MIGRATIONS[version:]:
                db.execute(script)
            for sequence, payload in left:
                for statement, values in EARLIER.journaled(payload, sequence):
                    db.execute(statement, values)
                db.execute("UPDATE saver_state SET journal=?", [sequence])
            for statement in EARLIER.removal(None) if version == 0 else ():
                db.execute(statement)
            db.execute("UPDATE saver_state SET schema=?", [len(MIGRATIONS)])
        return []

    def journal(self) -> int:
        """How far the journal was read."""
        tables = self.select("SELECT 1 FROM duckdb_tables() WHERE table_name='saver_state'")
        return int(self.select("SELECT journal FROM saver_state")[0][0]) if tables else 0

    @contextlib.contextmanager
    def transaction(self) -> Iterator[DuckDBPyConnection]:
        import duckdb

        if self._nested:  # a part of a larger one
            yield self._db
            return
        self._db.execute("BEGIN")
        self._nested = True
        try:
            yield self._db
            self._db.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(duckdb.Error):
                self._db.execute("ROLLBACK")
            if isinstance(error, duckdb.Error):
                raise self._told(error) from error
            raise
        finally:
            self._nested = False

    def select(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        import duckdb

        try:
            return self._db.execute(sql, list(parameters)).fetchall()
        except duckdb.Error as error:
            raise self._told(error) from error

    @property
    def execute(self) -> Any:
        return self._db.execute

    def _told(self, error: Exception) -> StoreError:
        import duckdb

        if isinstance(error, duckdb.IOException | duckdb.OutOfMemoryException):
            return StoreFull(self._name, str(error))
        return StoreError(f"{self._name}: {error}")

    # Rows

    def insert(self, rows: Sequence[Row], again: Collection[tuple[Place, str]], journal: int) -> None:
        """`again` are checkpoints that may be here already: these rows take their place."""
        with self.transaction() as db:
            for place, checkpoint_id in {(row.place, row.id) for row in rows if not row.part} & set(again):
                db.execute(f"{_HIDE} WHERE {_AT} AND id=? AND part=0", [*place, checkpoint_id])
            if rows:
                with db.appender("saver_rows") as appender:
                    appender.append_rows(rows)
            db.execute("UPDATE saver_state SET journal=?", [journal])

    def newest(self, thread_id: str | None = None) -> list[tuple[str, str, str]]:
        """The newest checkpoint of every place, or of a thread's; "" where there are only writes."""
        which, parameters = ("", []) if thread_id is None else ("WHERE thread_id=?", [thread_id])
        sql = f"SELECT thread_id, ns, max(CASE part WHEN 0 THEN id ELSE '' END) FROM saver_rows {which} GROUP BY ALL"  # noqa: S608
        return self.select(sql, parameters)

    def checkpoint(self, place: Place, checkpoint_id: str) -> tuple[Row, list[Written]] | None:
        sql = f"SELECT {_COLUMNS} FROM saver_rows WHERE {_AT} AND id=?"  # noqa: S608 our own texts, as below
        found = sorted((Row(*row) for row in self.select(sql, (*place, checkpoint_id))), key=lambda row: row.part)
        if not found or found[0].part:
            return None
        return found[0], [Written(row.number, row.data) for row in found[1:]]

    def rows(self, place: Place, numbers: Sequence[int]) -> dict[int, bytes]:
        sql = f"SELECT number, data FROM saver_rows WHERE {_AT} AND number IN (SELECT unnest(?))"  # noqa: S608
        return dict(self.select(sql, (*place, list(numbers))))

    def has(self, place: Place, number: int, checkpoint_id: str) -> bool:
        sql = f"SELECT 1 FROM saver_rows WHERE {_AT} AND number=? AND id=?"  # noqa: S608
        return bool(self.select(sql, (*place, number, checkpoint_id)))

    def page(self, selection: Selection) -> list[Saved]:
        conditions, parameters = selection.conditions()
        rows = self.select(
            f"SELECT {_COLUMNS} FROM saver_rows WHERE part=0{conditions} "  # noqa: S608 with question marks
            "ORDER BY id DESC, thread_id, ns LIMIT ?",
            (*parameters, selection.limit),
        )
        found = [Row(*row) for row in rows]
        writes: dict[tuple[Place, str], list[Written]] = {}
        sql = (
            f"SELECT id, number, data FROM saver_rows WHERE {_AT} AND part>0 AND id IN (SELECT unnest(?)) ORDER BY part"  # noqa: S608
        )
        for place in {row.place for row in found}:
            for id_, number, data in self.select(sql, (*place, [row.id for row in found if row.place == place])):
                writes.setdefault((place, id_), []).append(Written(number, data))
        return [
            Saved(
                row.place, row.number, row.id, row.parent, row.metadata, row.data, writes.get((row.place, row.id), [])
            )
            for row in found
        ]

    def everything(self, place: Place) -> list[Kept]:
        sql = f"SELECT number, id, part=0, parent, metadata, data FROM saver_rows WHERE {_AT} ORDER BY number"  # noqa: S608
        return [Kept(*row) for row in self.select(sql, place)]

    def threads(self) -> list[ThreadInfo]:
        rows = self.select(
            """
            SELECT thread_id, count(*) FILTER (part = 0), sum(octet_length(metadata) + octet_length(data) + strlen(id)),
                max(id) FILTER (part = 0), count(DISTINCT ns) FILTER (part = 0)
            FROM saver_rows GROUP BY thread_id HAVING count(*) FILTER (part = 0) > 0 ORDER BY 4 DESC
            """
        )
        return [ThreadInfo(t, count, int(size), time_of(newest), places) for t, count, size, newest, places in rows]

    # Keeping house

    def sweep(self, sweep: Sweep) -> None:
        with self.transaction() as db:
            numbers = f"WHERE {_AT} AND number"
            if sweep.gone:
                sql = f"DELETE FROM saver_rows {numbers} IN (SELECT unnest(?))"  # noqa: S608
                db.execute(sql, [*sweep.place, sweep.gone])
            for hidden, data in sweep.hidden.items():
                db.execute(f"{_HIDE}, metadata='', data=? {numbers}=?", [data, *sweep.place, hidden])
            for rewritten, data in sweep.rewritten.items():
                db.execute(f"UPDATE saver_rows SET data=? {numbers}=?", [data, *sweep.place, rewritten])  # noqa: S608
            if sweep.orphans:
                sql = f"UPDATE saver_rows SET parent=NULL {numbers} IN (SELECT unnest(?))"  # noqa: S608
                db.execute(sql, [*sweep.place, sweep.orphans])

    def delete_thread(self, thread_id: str) -> None:
        with self.transaction() as db:
            for table in _OWNED:
                db.execute(f"DELETE FROM {table} WHERE thread_id=?", [thread_id])  # noqa: S608 our own tables

    def copy_thread(self, source: str, target: str) -> None:
        with self.transaction() as db:
            for table in _OWNED:
                db.execute(
                    f"INSERT INTO {table} SELECT * REPLACE (? AS thread_id) FROM {table} WHERE thread_id=?",  # noqa: S608
                    [target, source],
                )

    def claim(self, thread_id: str, key: str, data: bytes) -> bool:
        with self.transaction() as db:
            free = self.claimed(thread_id, key) is None
            if free:
                db.execute("INSERT INTO saver_claims VALUES(?,?,?)", [thread_id, key, data])
            return free

    def claimed(self, thread_id: str, key: str) -> bytes | None:
        rows = self.select("SELECT data FROM saver_claims WHERE thread_id=? AND key=?", (thread_id, key))
        return rows[0][0] if rows else None

    def query(self, sql: str, parameters: Sequence[Any], messages: Any) -> list[tuple[Any, ...]]:
        self.select(
            "CREATE OR REPLACE TEMP TABLE messages(thread_id VARCHAR, ns VARCHAR, channel VARCHAR, "
            "position BIGINT, type VARCHAR, content VARCHAR)"
        )
        if "messages" in sql.lower() and (found := list(messages())):
            with self._db.appender("messages") as appender:
                appender.append_rows(found)
        try:
            return self.select(sql, parameters)
        finally:
            self.select("DROP TABLE temp.messages")

    def vacuum(self) -> None:
        """Write the tables to a new file: deleted rows leave no hole that DuckDB would reuse otherwise."""
        fresh = self._path.with_name(self._path.name + ".vacuum")
        fresh.unlink(missing_ok=True)
        self.select(f"ATTACH '{str(fresh).replace(chr(39), chr(39) * 2)}' AS saver_fresh")
        old = self.select("SELECT current_database()")[0][0]
        self.select(f'COPY FROM DATABASE "{old.replace(chr(34), chr(34) * 2)}" TO saver_fresh')
        self.select("CHECKPOINT saver_fresh")
        self.select("DETACH saver_fresh")
        self._db.close()
        fresh.replace(self._path)
        self._db = self._opened()

    def close(self) -> None:
        self._db.close()


_HIDE = "UPDATE saver_rows SET id='', part=number, parent=NULL"


def _is_duckdb(path: Path) -> bool:
    """A new file, or one with DuckDB's magic bytes."""
    if not path.exists() or path.stat().st_size == 0:
        return True
    with path.open("rb") as file:
        return file.read(12)[8:] == b"DUCK"
