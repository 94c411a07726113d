"""What was read on a thread: each answer of a reader, kept by what it was asked, so that nothing is asked twice."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

from agent.artifacts.threads import folder_of
from graph.reading.llm_map import Record

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

    def find(self, keys: Sequence[str]) -> Mapping[str, Record]:
        if not self._path.exists():
            return {}
        found: dict[str, Record] = {}
        waiting = iter(keys)
        with self._lock, closing(self._connect()) as connection:
            while some := list(islice(waiting, AT_ONCE)):
                marks = ",".join("?" * len(some))
                rows = connection.execute(
                    f"SELECT key, record FROM readings WHERE key IN ({marks})",  # noqa: S608 - marks alone
                    [bytes.fromhex(key) for key in some],
                )
                found |= {key.hex(): json.loads(record) for key, record in rows}
        return found

    def keep(self, found: Mapping[str, Record]) -> None:
        if not found:
            return
        rows = [(bytes.fromhex(key), json.dumps(record, ensure_ascii=False)) for key, record in found.items()]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock, closing(self._connect()) as connection:
            connection.execute(TABLE)
            connection.executemany("INSERT OR REPLACE INTO readings VALUES (?, ?)", rows)
            connection.commit()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection
