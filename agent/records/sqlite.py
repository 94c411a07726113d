"""The local records: artifact registry, run state, telemetry and running turns in one SQLite file."""

from __future__ import annotations

from pathlib import Path

from agent.records.book import RecordBook
from agent.records.database import BUSY_SECONDS, Database
from agent.redaction.payload import MAX_CHARS


def open_records(
    path: Path, app_name: str, max_payload_chars: int = MAX_CHARS, busy_seconds: float = BUSY_SECONDS
) -> RecordBook:
    """Open or create the file; raises RecordsUnavailable. Close it, or use it in a `with`.

    `busy_seconds` is how long a write waits for another process's.
    """
    return RecordBook(Database(path, busy_seconds), app_name, max_payload_chars)
