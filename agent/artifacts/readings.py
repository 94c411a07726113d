"""What was read on a thread: each answer of a reader, kept by what it was asked, so that nothing is asked twice."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from agent.artifacts.threads import folder_of
from graph.reading.llm_map import Record

log = logging.getLogger(__name__)

FILE = "readings.sqlite"
AT_ONCE = 500
BUSY_SECONDS = 30.0
TABLE = "CREATE TABLE IF NOT EXISTS readings (key BLOB PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID"


class FolderReadings:
    """One SQLite file a thread, below `root`. Implements graph.reading.llm_map.Recall for each thread."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def of(self, thread_id: str) -> ThreadReadings:
        return ThreadReadings(folder_of(self._root, thread_id) / FILE)


class ThreadReadings:
    """Nothing is made before the first record is kept. A file that can't be read is as good as none: all is asked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def find(self, keys: Sequence[str]) -> Mapping[str, Record]:
        if self._connection is None and not self._path.exists():
            return {}
        found: dict[str, Record] = {}
        waiting = iter(keys)
        try:
            with self._lock:
                connection = self._open()
                while some := list(islice(waiting, AT_ONCE)):
                    marks = ",".join("?" * len(some))
                    rows = connection.execute(
                        f"SELECT key, record FROM readings WHERE key IN ({marks})",  # noqa: S608 - marks alone
                        [bytes.fromhex(key) for key in some],
                    )
                    found |= {key.hex(): json.loads(record) for key, record in rows}
        except (sqlite3.Error, ValueError) as error:
            log.warning("what was read before can't be looked up: %s", error, extra={"file": str(self._path)})
        return found

    def keep(self, found: Mapping[str, Record]) -> None:
        if not found:
            return
        rows = [(bytes.fromhex(key), json.dumps(record, ensure_ascii=False)) for key, record in found.items()]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock, self._open() as connection:
                connection.executemany("INSERT OR REPLACE INTO readings VALUES (?, ?)", rows)
        except (sqlite3.Error, OSError) as error:
            log.warning("what was read can't be kept: %s", error, extra={"file": str(self._path)})

    def _open(self) -> sqlite3.Connection:
        """One connection for all threads, each in its turn; it is closed with the last that holds these readings."""
        if self._connection is None:
            connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(TABLE)
            self._connection = connection
        return self._connection
