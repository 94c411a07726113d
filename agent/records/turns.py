"""Which turns run now, in which process, so that another process can ask one to stop."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.records.columns import RUNNING_TURNS, TurnRow
from agent.records.database import insert, to_plain
from agent.records.engine import Engine

HOURS_ELSEWHERE = 2
"""How long a turn of another machine counts as running: whether it still is can't be seen from here."""


class RunningTurns:
    """`machine` is written before each process's start where several machines share the records; there, a turn of
    another machine counts for HOURS_ELSEWHERE.
    """

    def __init__(self, database: Engine, machine: str = "") -> None:
        self._database = database
        self._machine = machine

    def started(self, thread_id: str, request_id: str) -> None:
        """Started again, a request is no longer asked to stop."""
        began = f"{self._machine}{start_time_of(os.getpid())}"
        row = (thread_id, request_id, os.getpid(), began, to_plain(datetime.now(UTC)), None)
        with self._database.write() as connection:
            connection.execute(insert(RUNNING_TURNS).replace("DO NOTHING", AGAIN), row)

    def ended(self, thread_id: str, request_id: str) -> None:
        with self._database.write() as connection:
            connection.execute(
                "DELETE FROM running_turns WHERE thread_id = ? AND request_id = ?", (thread_id, request_id)
            )

    def running(self, thread_id: str) -> list[TurnRow]:
        """Turns of living processes only: one that was killed left its row behind."""
        rows = self._database.rows(RUNNING_TURNS, "WHERE thread_id = ?", (thread_id,), TurnRow)
        return [row for row in rows if self._lives(row)]

    def threads(self) -> list[str]:
        """The threads on which a turn runs in a living process."""
        rows = self._database.rows(RUNNING_TURNS, "ORDER BY started_time", (), TurnRow)
        return list(dict.fromkeys(row.thread_id for row in rows if self._lives(row)))

    def request_cancel(self, thread_id: str) -> bool:
        turns = self.running(thread_id)
        with self._database.write() as connection:
            for turn in turns:
                connection.execute(
                    "UPDATE running_turns SET cancel_time = ? WHERE thread_id = ? AND request_id = ?",
                    (to_plain(datetime.now(UTC)), thread_id, turn.request_id),
                )
        return bool(turns)

    def cancel_requested(self, thread_id: str, request_id: str) -> bool:
        where = "WHERE thread_id = ? AND request_id = ? AND cancel_time IS NOT NULL"
        return bool(self._database.rows(RUNNING_TURNS, where, (thread_id, request_id), TurnRow))

    def _lives(self, row: TurnRow) -> bool:
        if row.process_started.startswith(self._machine):
            return f"{self._machine}{start_time_of(row.pid)}" == row.process_started
        return datetime.now(UTC) - row.started_time < timedelta(hours=HOURS_ELSEWHERE)


AGAIN = """(thread_id, request_id) DO UPDATE SET pid = excluded.pid, process_started = excluded.process_started,
    started_time = excluded.started_time, cancel_time = excluded.cancel_time"""


def start_time_of(pid: int) -> str:
    """What tells a process from a later one with the same id; empty when there is none."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.exists():
        fields = stat.read_text().rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    return "unknown" if signalable(pid) else ""


def signalable(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
