"""What is written down while nobody looks: files below home, by request, without secrets."""

from __future__ import annotations

import fcntl
import logging
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

from agent.redaction.secrets import redact_text
from agent.request import CURRENT
from graph.errors import InvalidRequest

LARGEST, KEPT = 4 * 1024 * 1024, 5
OURS = ("agent", "graph", "checkpointers")
FORMAT = "%(asctime)s %(levelname)s %(name)s [%(request)s] %(message)s"
PLAIN = {*vars(logging.makeLogRecord({})), "message", "asctime", "request", "taskName"}
"""What every record has; the rest are an event's fields."""
HEAD = re.compile(r"\d{4}-\d\d-\d\d [\d:,]+ [A-Z]+ \S+ \[(?P<request>[^\]]*)\]")


class Redacting(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        record.request = CURRENT.get()
        fields = "".join(f" {name}={value}" for name, value in vars(record).items() if name not in PLAIN)
        head, newline, trace = super().format(record).partition("\n")
        return redact_text(f"{head}{fields}{newline}{trace}")


class SharedFile(RotatingFileHandler):
    """Rotates although several processes write: one of them moves the files, the others notice."""

    def shouldRollover(self, record: logging.LogRecord) -> bool:  # noqa: N802 - logging's name
        self._follow()
        return bool(super().shouldRollover(record))

    def doRollover(self) -> None:  # noqa: N802 - logging's name
        with Path(self.baseFilename).with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._follow()
            if Path(self.baseFilename).stat().st_size >= self.maxBytes // 2:
                super().doRollover()

    def _follow(self) -> None:
        """To the file that has the name now."""
        if self.stream is None:
            return
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(self.stream.fileno()), Path(self.baseFilename).stat()):
                return
        self.stream.close()
        self.stream = self._open()


def log_to(file: Path, level: str) -> None:
    """Ours from `level` on, everybody's from warnings on; tracebacks of defects too. Raises InvalidRequest."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise InvalidRequest(f"The log can't be kept in {file.parent} ({error.strerror}); set home.") from error
    handler = SharedFile(file, maxBytes=LARGEST, backupCount=KEPT, encoding="utf-8", delay=True)
    handler.setFormatter(Redacting(FORMAT))
    root = logging.getLogger()
    for one in [one for one in root.handlers if isinstance(one, SharedFile)]:
        root.removeHandler(one)
        one.close()
    root.addHandler(handler)
    for name in OURS:
        logging.getLogger(name).setLevel(level.upper())


def entries(file: Path, request: str | None = None) -> Iterator[str]:
    """What was logged, the oldest first, with its traceback; of requests whose id starts with `request` alone."""
    entry: list[str] = []
    for path in [*(file.with_name(f"{file.name}.{place}") for place in range(KEPT, 0, -1)), file]:
        if not path.exists():
            continue
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if HEAD.match(line) and entry:
                    yield from _wanted(entry, request)
                    entry = []
                entry.append(line.rstrip("\n"))
    yield from _wanted(entry, request)


def _wanted(entry: list[str], request: str | None) -> Iterator[str]:
    head = HEAD.match(entry[0]) if entry else None
    if entry and (request is None or (head is not None and head["request"].startswith(request))):
        yield "\n".join(entry)
