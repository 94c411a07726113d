"""Where logs go while a person looks at the terminal: to a file below home, without secrets."""

from __future__ import annotations

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

from agent.redaction.secrets import redact_text

LARGEST = 4 * 1024 * 1024


class Redacting(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact_text(super().format(record))


def log_to(home: Path) -> None:
    """Warnings and errors of everything, tracebacks of defects too, go to `log.txt`. `home` is there already."""
    handler = RotatingFileHandler(home / "log.txt", maxBytes=LARGEST, backupCount=1, encoding="utf-8", delay=True)
    handler.setFormatter(Redacting("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.setLevel(logging.WARNING)
    logging.getLogger().addHandler(handler)
