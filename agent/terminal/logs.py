"""The log, read back."""

from __future__ import annotations

from collections import deque

from agent.terminal.logfile import entries
from agent.terminal.options import Options, load


def show(options: Options, most: int, request: str | None) -> None:
    settings = load(options).settings
    for entry in deque(entries(settings.logs_path, request), maxlen=most):
        print(entry)  # noqa: T201 - the command line
