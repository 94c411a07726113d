"""A file that is no database, a newer schema, a locked file, a full disk, a corrupt row: the error names file and
remedy, and nothing is lost."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from checkpointers import (
    CorruptRow,
    DuckDBSaver,
    NewerSchema,
    NotADatabase,
    Saver,
    SqliteSaver,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    StoreUnavailable,
    open_checkpointer,
)
from checkpointers.postgres.statements import TABLES
from tests.checkpointers.conftest import EMBEDDED, Opener, opener
from tests.checkpointers.making import Line, config, snapshot
from tests.workspace.postgres import Postgres


@pytest.mark.parametrize("kind", EMBEDDED)
def test_a_file_that_is_no_database_is_left_alone(kind: str, tmp_path: Path):
    path = tmp_path / "notes.txt"
    path.write_text("My notes. " * 500)
    with pytest.raises(NotADatabase, match=r"notes\.txt is not a .* checkpoint file.*another path"):
        open_checkpointer(kind, path=path)
    assert path.read_text() == "My notes. " * 500


def test_somebody_elses_database_is_left_alone(tmp_path: Path):
    with sqlite3.connect(tmp_path / "app.db") as app:
        app.execute("CREATE TABLE customers(name)")
    app.close()
    with pytest.raises(NotADatabase):
        SqliteSaver(tmp_path / "app.db")
    with duckdb.connect(str(tmp_path / "app.duckdb")) as other:
        other.execute("CREATE TABLE customers(name VARCHAR)")
    with pytest.raises(NotADatabase):
        DuckDBSaver(tmp_path / "app.duckdb")
    with duckdb.connect(str(tmp_path / "app.duckdb")) as other:
        assert other.execute("SELECT count(*) FROM duckdb_tables()").fetchone() == (1,)


def test_a_newer_schema_is_named(tmp_path: Path, postgres: Postgres):
    with SqliteSaver(tmp_path / "a.db"):
        pass
    with sqlite3.connect(tmp_path / "a.db") as later:
        later.execute("PRAGMA user_version=99")
    later.close()
    with pytest.raises(NewerSchema, match=r"a\.db has schema version 99.*Upgrade the program"):
        SqliteSaver(tmp_path / "a.db")
    with DuckDBSaver(tmp_path / "a.duckdb"):
        pass
    with duckdb.connect(str(tmp_path / "a.duckdb")) as newer:
        newer.execute("UPDATE saver_state SET schema=99")
    with pytest.raises(NewerSchema, match="schema version 99"):
        DuckDBSaver(tmp_path / "a.duckdb")
    with open_checkpointer("postgres", conninfo=postgres.dsn(), schema="newer"):
        postgres.execute("INSERT INTO newer.saver_migrations VALUES (99)")
    with pytest.raises(NewerSchema, match=f"99, this program knows up to {len(TABLES) - 1}"):
        open_checkpointer("postgres", conninfo=postgres.dsn(), schema="newer")


def test_a_locked_sqlite_file_names_the_process(tmp_path: Path):
    path = tmp_path / "state.db"
    with SqliteSaver(path, busy_timeout=0.2) as saver:
        line = Line(saver)
        line.put({"x": [1]})
        script = f"""
            import sqlite3, sys
            connection = sqlite3.connect({str(path)!r}, isolation_level=None)
            connection.execute("BEGIN EXCLUSIVE")
            print("locked", flush=True)
            sys.stdin.read()
        """
        with _Process(script) as other:
            with pytest.raises(StoreLocked, match=rf"state\.db is in use by process {other.pid} .*run the step again"):
                line.put({"x": [2]})
        line.put({"x": [3]})
        assert saver.get_tuple(config("t")).checkpoint["channel_values"] == {"x": [3]}


def test_a_second_process_on_a_duckdb_file_is_told_which_has_it(tmp_path: Path):
    path = tmp_path / "state.duckdb"
    script = f"""
        import sys
        from checkpointers import DuckDBSaver
        with DuckDBSaver({str(path)!r}):
            print("open", flush=True)
            sys.stdin.read()
    """
    with _Process(script) as other:
        with pytest.raises(StoreLocked, match=f"in use by process {other.pid} on .*SQLite store") as locked:
            DuckDBSaver(path)
        assert str(path) in str(locked.value)
    with DuckDBSaver(path), pytest.raises(StoreLocked, match=f"process {os.getpid()} on"):
        DuckDBSaver(path)
    with DuckDBSaver(path):
        pass


def test_a_foreign_program_on_a_duckdb_file_is_named_too(tmp_path: Path):
    path = tmp_path / "state.duckdb"
    with DuckDBSaver(path):
        pass
    script = f"""
        import duckdb, sys
        connection = duckdb.connect({str(path)!r})
        print("open", flush=True)
        sys.stdin.read()
    """
    with _Process(script) as other, pytest.raises(StoreLocked, match=f"process {other.pid}"):
        DuckDBSaver(path)


def test_a_folder_that_does_not_exist(tmp_path: Path):
    for kind in EMBEDDED:
        with pytest.raises(StoreReadOnly, match="Check that its folder exists"):
            open_checkpointer(kind, path=tmp_path / "missing" / "state")


def test_a_full_sqlite_file(tmp_path: Path):
    with SqliteSaver(tmp_path / "state.db") as saver:
        line = Line(saver)
        line.put({"x": ["kept"]})
        pages = saver._store._writer.execute("PRAGMA page_count").fetchone()[0]
        saver._store._writer.execute(f"PRAGMA max_page_count={pages + 3}")
        with pytest.raises(StoreFull, match=r"state\.db can't grow.*saved before is safe.*Free some space"):
            line.put({"x": [os.urandom(100_000).hex()]})
        assert saver.get_tuple(config("t")).checkpoint["channel_values"] == {"x": ["kept"]}
        saver._store._writer.execute("PRAGMA max_page_count=1000000")
        line.put({"x": ["goes on"]})
    with SqliteSaver(tmp_path / "state.db") as saver:
        assert [t.checkpoint["channel_values"]["x"] for t in saver.list(config("t"))] == [["goes on"], ["kept"]]


@pytest.mark.parametrize("kind", EMBEDDED)
def test_a_disk_without_room(kind: str, tmp_path: Path):
    """The system refuses to let any file grow past 2 MB, in a process of its own."""
    script = f"""
        import os, sys
        from checkpointers import StoreFull, open_checkpointer
        from tests.checkpointers.making import Line
        line, done = None, 0
        saver = open_checkpointer({kind!r}, path={str(tmp_path / "state")!r})
        line = Line(saver)
        try:
            while True:
                line.put({{"x": [os.urandom(50_000)]}})
                done += 1
        except StoreFull as error:
            assert "state" in str(error) and "Free some space" in str(error), error
        print(done, flush=True)
        os._exit(0)
    """

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], preexec_fn=limited, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    acknowledged = int(done.stdout)
    assert acknowledged > 3
    with open_checkpointer(kind, path=tmp_path / "state") as saver:
        assert len(list(saver.list(config("t")))) >= acknowledged
        Line(saver, "after").put({"x": ["goes on"]})


def test_a_corrupt_row_names_the_checkpoint_and_spares_the_others(open_embedded: Opener, tmp_path: Path):
    with open_embedded() as saver:
        line = Line(saver)
        first = line.put({"list": [{"i": i, "text": "x" * 30} for i in range(10)]})
        second = line.put({"list": [{"i": i, "text": "y" * 30} for i in range(10)]})
        Line(saver, "healthy").put({"x": ["fine" * 30]})
    _damage(tmp_path, second["configurable"]["checkpoint_id"])
    with open_embedded() as saver:
        with pytest.raises(CorruptRow, match=r"checkpoint .* of thread 't' doesn't decode .*earlier checkpoint"):
            saver.get_tuple(config("t"))
        assert saver.get_tuple(first).checkpoint["channel_values"]["list"][0]["text"] == "x" * 30
        assert saver.get_tuple(config("healthy")) is not None
        assert {t.thread_id for t in saver.threads()} == {"t", "healthy"}
        on = Line(saver, at=first).put({"list": ["goes on"]})
        assert saver.get_tuple(on).checkpoint["channel_values"]["list"] == ["goes on"]
        with pytest.raises(CorruptRow):
            saver.prune(["t"])
        assert saver.get_tuple(first) is not None
        saver.delete_thread("t")
        assert saver.get_tuple(config("t")) is None


def _damage(folder: Path, checkpoint_id: str) -> None:
    """Turn a byte in the middle of the checkpoint's body."""
    if (folder / "state.sqlite").exists():
        with sqlite3.connect(folder / "state.sqlite") as db:
            sql = "SELECT data FROM saver_rows WHERE part=0 AND id=?"
            body = bytearray(db.execute(sql, (checkpoint_id,)).fetchone()[0])
            body[len(body) // 2] ^= 0x40
            db.execute("UPDATE saver_rows SET data=? WHERE part=0 AND id=?", (bytes(body), checkpoint_id))
        db.close()
        return
    with duckdb.connect(str(folder / "state.duckdb")) as duck:
        sql = "SELECT data FROM saver_rows WHERE part=0 AND id=?"
        body = bytearray(duck.execute(sql, [checkpoint_id]).fetchone()[0])
        body[len(body) // 2] ^= 0x40
        duck.execute("UPDATE saver_rows SET data=? WHERE part=0 AND id=?", [bytes(body), checkpoint_id])


def test_a_lost_row_is_a_corrupt_checkpoint(tmp_path: Path):
    with SqliteSaver(tmp_path / "state.db") as saver:
        line = Line(saver)
        line.put({"list": ["x" * 50] * 5})
        line.put({"list": ["x" * 50] * 5 + ["more"]})
    with sqlite3.connect(tmp_path / "state.db") as db:
        db.execute("DELETE FROM saver_rows WHERE number=(SELECT min(number) FROM saver_rows)")
    db.close()
    with SqliteSaver(tmp_path / "state.db") as saver, pytest.raises(CorruptRow, match="row 1 is gone"):
        saver.get_tuple(config("t"))


def test_a_corrupt_value_in_postgres(postgres: Postgres):
    with open_checkpointer("postgres", conninfo=postgres.dsn(), schema="corrupt") as saver:
        Line(saver).put({"list": ["x" * 50] * 5})
        postgres.execute("UPDATE corrupt.checkpoint_blobs SET blob = substr(blob, 1, 20)")
        with pytest.raises(CorruptRow, match="of thread 't' doesn't decode"):
            saver.get_tuple(config("t"))


def test_a_server_that_is_not_there():
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1/app can't be used.*Check that the server is up"):
        open_checkpointer("postgres", conninfo="postgresql://me@127.0.0.1:1/app", timeout=0.5)


def test_ids_that_a_server_does_not_take(postgres: Postgres):
    with open_checkpointer("postgres", conninfo=postgres.dsn(), schema="ids") as saver:
        with pytest.raises(StoreError, match="doesn't take this id"):
            saver.get_tuple(config("a\0b"))


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match="choose one of sqlite, duckdb, postgres, lakebase"):
        open_checkpointer("mysql")
    with pytest.raises(ValueError, match="durability is 'full' or 'normal'"):
        open_checkpointer("sqlite", path=":memory:", durability="maybe")
    with open_checkpointer("sqlite", path=":memory:") as saver, pytest.raises(ValueError, match="thread_id"):
        saver.get_tuple({"configurable": {}})


def test_a_damaged_export_imports_nothing(saver: Saver, tmp_path: Path):
    Line(saver).put({"x": ["y" * 100]})
    file = tmp_path / "t.thread"
    saver.export_thread("t", file)
    before = snapshot(saver, "t")
    with pytest.raises(ValueError, match="exists"):
        saver.import_thread(file)
    for damaged in (file.read_bytes()[:-9], b"", b"no export", b"(" + file.read_bytes()):
        (tmp_path / "bad.thread").write_bytes(damaged)
        with pytest.raises(StoreError, match=r"bad\.thread is no exported thread.*Export the thread again"):
            saver.import_thread(tmp_path / "bad.thread", "new")
    assert [t.thread_id for t in saver.threads()] == ["t"]
    assert snapshot(saver, "t") == before


class _Process:
    """A Python process that prints a line when it is ready and ends with the block."""

    def __init__(self, script: str) -> None:
        self._script = textwrap.dedent(script)

    def __enter__(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(
            [sys.executable, "-c", self._script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path.cwd()
        )
        assert self._process.stdout.readline(), "it didn't start"
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "lakebase"])
def test_concurrent_opening_of_a_new_store(kind: str, request: pytest.FixtureRequest, tmp_path: Path):
    """Programs that start at once make the tables once."""
    open_store = opener(kind, request, tmp_path)

    def start(_: int) -> bool:
        with open_store() as saver:
            return saver.get_tuple(config("t")) is None

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(start, range(4))) == [True] * 4
