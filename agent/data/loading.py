"""People's files as tables: planned at once, made in the background, waited for by the statement that names them.

Below the folder `tables` each table is a Parquet file and its facts, named by what it was made of, so that an unchanged
file is not read again, whoever opens it. What SQL sees is a small database of views on them; a new one is written when
a statement needs a table that was not there when the last was.
"""

from __future__ import annotations

import fcntl
import json
import logging
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from agent.data.facts import Column, TableFacts, facts_from_json
from agent.data.making import Made, described_lines, make, make_raw, select_alone, select_of
from agent.data.plan import Plan, first_look, plan_tables
from agent.data.reading.alike import Group
from agent.data.reading.engine import hide_progress
from agent.data.reading.found import Aside, DataUnreadable
from agent.data.reading.names import quoted
from agent.data.reading.values import literal
from graph.errors import InvalidRequest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

log = logging.getLogger(__name__)

VERSION = "1"
"""Goes into the name of what is made: raise it when files are read in another way."""
DATA, RAW = "data", "raw"
KEPT_SECONDS = 14 * 24 * 3600
"""How long a table that nobody opened is kept below the home."""
FIRST_WAIT = 3.0
"""Seconds that opening waits for tables, so that most folders are loaded before anything is asked."""
MEMORY = "25%"
GLANCE_SECONDS = 0.1
"""How often a statement that waits looks whether it still has to."""
RAW_NAME = re.compile(rf'\b{RAW}"?\s*\.\s*"?(\w+)', re.IGNORECASE)


@dataclass(frozen=True)
class Progress:
    """`table` has just been loaded or set aside; `bytes_done` are of the files behind the `done` tables."""

    done: int
    total: int
    bytes_done: int
    bytes_total: int
    table: str


@dataclass(frozen=True)
class LoadedTable:
    """`facts` are None until the table is loaded; then `columns` are a guess from the first rows."""

    group: Group
    columns: tuple[Column, ...]
    facts: TableFacts | None = None
    failed: str | None = None

    @property
    def name(self) -> str:
        return self.group.name

    @property
    def source(self) -> str:
        return described_lines(self.group)

    @property
    def has_raw(self) -> bool:
        return self.group.kind == "grid"


class Loading:
    """Thread-safe. `close` ends what is being loaded."""

    def __init__(self, folder: Path, plan: Plan, on_progress: Callable[[Progress], None] | None = None) -> None:
        self.plan = plan
        self._folder = folder / "tables"
        self._catalogs = folder / "catalogs" / uuid4().hex
        self._tell = on_progress
        self._changed = threading.Condition()
        self._tables = {one.name: LoadedTable(one, first_look(one)) for one in plan.groups}
        self._made = {one.name: self._place(one) for one in plan.groups}
        self._sizes = {one.name: sum(part.file.size for part in one.parts) for one in plan.groups}
        self._wanted: list[str] = []
        self._raw: set[str] = set()
        self._raw_failed: dict[str, str] = {}
        self._ending = False
        self._catalog: tuple[frozenset[str], Path] | None = None
        self._connection: DuckDBPyConnection | None = None
        self._thread = threading.Thread(target=self._work, name="loading", daemon=True)

    def start(self, until: float) -> None:
        """Begin, and wait for tables no longer than `until`, by the monotonic clock."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._catalogs.mkdir(parents=True, exist_ok=True)
        self._hold = (self._catalogs / "hold").open("w")
        fcntl.flock(self._hold, fcntl.LOCK_EX)
        self._hold.write("\n".join(made.facts.stem for made in self._made.values()))
        self._hold.flush()
        self._take_known()
        _sweep(self._folder, self._catalogs.parent)
        self._thread.start()
        with self._changed:
            while self._pending() and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)

    def tables(self) -> tuple[LoadedTable, ...]:
        with self._changed:
            return tuple(one for one in self._tables.values() if one.failed is None)

    def aside(self) -> tuple[Aside, ...]:
        """What was found and is not used, as far as it is known."""
        with self._changed:
            failed = [Aside(one.source, one.failed) for one in self._tables.values() if one.failed is not None]
            parts = [Aside(*part) for one in self._tables.values() if one.facts for part in one.facts.aside]
        return (*self.plan.aside, *failed, *parts)

    def files(self) -> dict[str, Path]:
        """Where each file is, by name."""
        return {file.name: file.path for file in self.plan.files}

    @property
    def is_done(self) -> bool:
        with self._changed:
            return not self._pending()

    def finish(self) -> None:
        """Wait until every table is loaded or set aside."""
        self._await([one.name for one in self.plan.groups], set())

    @property
    def readable(self) -> tuple[Path, ...]:
        """All files that SQL may read, whether they are there yet or not."""
        own = [part.file.path for one in self.plan.groups if one.kind == "parquet" for part in one.parts]
        made = [path for one in self._made.values() for path in (one.rows, _raw_path(one))]
        return (*own, *made)

    @property
    def catalogs(self) -> Path:
        """The folder of the databases of views."""
        return self._catalogs

    def catalog_for(self, sql: str, is_given_up: Callable[[], bool] = lambda: False) -> Path:
        """A database of views in which all tables that `sql` may mean are loaded.

        Raises InvalidRequest, also when `is_given_up` while it waits.
        """
        words = {word.lower() for word in re.findall(r"\w+", sql)}
        named = [one.name for one in self.plan.groups if words & {one.name, *one.alone}]
        raw = {name.lower() for name in RAW_NAME.findall(sql)} & set(named)
        if raw or any(self._tables[name].facts is None for name in named):
            self._await(named, raw, is_given_up)
        for name in named:
            if (failed := self._tables[name].failed) is not None:
                raise InvalidRequest(f"{name} could not be loaded: {failed}")
        return self._written(set(named), raw)

    def close(self) -> None:
        with self._changed:
            self._ending = True
            self._changed.notify_all()
            if self._connection is not None:
                self._connection.interrupt()
        if self._thread.ident is not None:
            self._thread.join()
            self._hold.close()
        shutil.rmtree(self._catalogs, ignore_errors=True)

    def _place(self, one: Group) -> Made:
        import duckdb

        key = one.key(f"{VERSION}|{duckdb.__version__}")
        return Made(self._folder / f"{key}.parquet", self._folder / f"{key}.json")

    def _take_known(self) -> None:
        """Tables that were made before, by whomever."""
        for name, made in self._made.items():
            if (facts := _facts(made)) is not None:
                self._loaded(name, facts)

    def _loaded(self, name: str, facts: TableFacts | None, failed: str | None = None) -> None:
        with self._changed:
            now = replace(self._tables[name], facts=facts, failed=failed)
            self._tables[name] = replace(now, columns=facts.columns) if facts else now
            done = [one for one in self._tables if one not in self._pending()]
            self._changed.notify_all()
        if self._tell is not None:
            bytes_done = sum(self._sizes[one] for one in done)
            self._tell(Progress(len(done), len(self._tables), bytes_done, sum(self._sizes.values()), name))

    def _pending(self) -> list[str]:
        return [name for name, one in self._tables.items() if one.facts is None and one.failed is None]

    def _await(self, names: Sequence[str], raw: set[str], is_given_up: Callable[[], bool] = lambda: False) -> None:
        with self._changed:
            self._wanted = [*names, *(one for one in self._wanted if one not in names)]
            self._raw |= {name for name in raw if self._tables[name].has_raw}
            self._changed.notify_all()
            while not self._ending and (set(names) & set(self._pending()) or self._raw & raw):
                self._changed.wait(GLANCE_SECONDS)
                if is_given_up():
                    raise InvalidRequest("the statement was given up while its tables were being loaded")
            if self._ending:
                raise InvalidRequest("the warehouse is being closed")

    def _written(self, named: set[str], raw: set[str]) -> Path:
        with self._changed:
            have, path = self._catalog or (frozenset(), None)
            need = named | {f"{RAW}.{name}" for name in raw}
            if path is not None and need <= have:
                return path
            loaded = {name: one for name, one in self._tables.items() if one.facts is not None}
            raws = {name for name in loaded if _raw_path(self._made[name]).exists()}
            path = self._catalogs / f"{uuid4().hex}.duckdb"
            self._write(path, list(self._tables.values()), raws)
            self._catalog = (frozenset(loaded) | {f"{RAW}.{name}" for name in raws}, path)
            return path

    def _write(self, path: Path, tables: Sequence[LoadedTable], raws: set[str]) -> None:
        import duckdb

        with duckdb.connect(str(path)) as connection:
            connection.execute(f"CREATE SCHEMA {DATA}; CREATE SCHEMA {RAW}")
            for one in tables:
                for name, select in self._views(one):
                    connection.execute(f"CREATE VIEW {name} AS {select}")
                    about = {"rows": one.facts.rows if one.facts else None, "source": one.source}
                    if name == f"{DATA}.{one.name}" and one.failed is None:
                        connection.execute(f"COMMENT ON VIEW {name} IS {literal(json.dumps(about))}")
                if one.name in raws:
                    select = f"SELECT * FROM read_parquet({literal(str(_raw_path(self._made[one.name])))})"  # noqa: S608
                    connection.execute(f"CREATE VIEW {RAW}.{one.name} AS {select}")

    def _views(self, one: LoadedTable) -> Iterator[tuple[str, str]]:
        made = self._made[one.name]
        if one.failed is not None:
            return
        if one.facts is None:
            yield f"{DATA}.{one.name}", _stand_in(one)
            return
        yield f"{DATA}.{one.name}", select_of(one.group, made)
        for place, alone in enumerate(one.group.alone):
            yield f"{DATA}.{alone}", select_alone(one.group, place, made)

    def _work(self) -> None:
        import duckdb

        try:
            while (job := self._next()) is not None:
                self._do(*job)
        except duckdb.InterruptException:
            return

    def _next(self) -> tuple[str, bool] | None:
        """What to do next, and whether it is a raw table: what is waited for first, then small before large."""
        with self._changed:
            while not self._ending:
                if self._raw:
                    return min(self._raw), True
                pending = self._pending()
                wanted = [name for name in self._wanted if name in pending]
                if pending:
                    return (wanted or sorted(pending, key=lambda name: self._sizes[name]))[0], False
                self._changed.wait()
        return None

    def _do(self, name: str, is_raw: bool) -> None:
        try:
            with self._exclusive(name), self._connected() as connection:
                if is_raw:
                    self._make_raw(connection, name)
                else:
                    made = self._made[name]
                    self._loaded(name, _facts(made) or make(connection, self._tables[name].group, made))
        except (DataUnreadable, OSError) as error:
            self._failed(name, is_raw, str(error))
        except Exception as error:
            if self._ending:
                raise
            log.exception("a table could not be loaded", extra={"table": name})
            self._failed(name, is_raw, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")

    def _failed(self, name: str, is_raw: bool, reason: str) -> None:
        if not is_raw:
            self._loaded(name, None, reason)
            return
        with self._changed:
            self._raw.discard(name)
            self._changed.notify_all()

    def _make_raw(self, connection: DuckDBPyConnection, name: str) -> None:
        path = _raw_path(self._made[name])
        if not path.exists():
            make_raw(connection, self._tables[name].group, path)
        with self._changed:
            self._raw.discard(name)
            self._changed.notify_all()

    @contextmanager
    def _exclusive(self, name: str) -> Iterator[None]:
        """One process makes a table; others that want it wait and find it."""
        path = self._made[name].facts.with_suffix(".lock")
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _connected(self) -> Iterator[DuckDBPyConnection]:
        import duckdb

        scratch = self._catalogs / "scratch"
        with duckdb.connect(":memory:") as connection:
            settings = (f"memory_limit = '{MEMORY}'", f"temp_directory = {literal(str(scratch))}", "TimeZone = 'UTC'")
            hide_progress(connection)
            for setting in settings:
                connection.execute(f"SET {setting}")
            with self._changed:
                self._connection = connection
                if self._ending:
                    raise duckdb.InterruptException("closing")
            try:
                yield connection
            finally:
                with self._changed:
                    self._connection = None


def _stand_in(one: LoadedTable) -> str:
    """Shows names and types of a table that is not loaded; asked for rows it fails, since it has none yet."""
    columns = ", ".join(f"CAST(NULL AS {column.type}) AS {quoted(column.name)}" for column in one.columns)
    reason = literal(f"{one.name} is being loaded: name it in the statement itself")
    return f"SELECT {columns} FROM (SELECT error({reason}) AS waiting) WHERE waiting IS NULL"  # noqa: S608 - quoted


def _raw_path(made: Made) -> Path:
    return made.rows.with_suffix(".raw.parquet")


def _facts(made: Made) -> TableFacts | None:
    """What was found when the table was made; None where it has to be made (anew)."""
    try:
        return facts_from_json(json.loads(made.facts.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _sweep(tables: Path, catalogs: Path) -> None:
    """Remove what ended processes left behind, and tables that nobody has opened for long."""
    held: set[str] = set()
    for folder in catalogs.iterdir():
        try:
            with (folder / "hold").open("r+") as hold:
                fcntl.flock(hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            with suppress(OSError):
                held |= set((folder / "hold").read_text().split())
        except OSError:
            continue
    now = time.time()
    for path in tables.iterdir():
        key = path.name.split(".")[0]
        with suppress(OSError):
            if key in held:
                continue
            if path.stat().st_mtime < now - KEPT_SECONDS:
                path.unlink()


def open_loading(
    folder: Path, paths: Sequence[Path], on_progress: Callable[[Progress], None] | None = None, wait: float = FIRST_WAIT
) -> Loading:
    """Raises DataUnreadable when a path is not there, or when nothing at all can be read."""
    import duckdb

    until = time.monotonic() + wait
    with duckdb.connect(":memory:") as connection:
        plan = plan_tables(paths, connection)
    loading = Loading(folder, plan, on_progress)
    loading.start(until)
    return loading
