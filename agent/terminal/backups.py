"""A home as one file."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from agent.terminal.options import Options, load
from agent.terminal.tables import size
from graph.errors import InvalidRequest

ELSEWHERE = ("postgres", "lakebase")


def backup(options: Options, file: Path) -> None:
    from agent.backup import backup as write
    from agent.core import open_threads

    settings = load(options).settings
    home = settings.home.absolute()
    if not home.is_dir():
        raise InvalidRequest(f"There is no home folder {home}: nothing was asked yet, or set home.")
    with ExitStack() as stack:
        if settings.checkpointer.kind == "duckdb":  # only who has it open sees a whole file
            stack.enter_context(open_threads(settings, secrets=os.environ.get))
        count = write(home, file)
    say(f"Wrote {count:,} files of {home} to {file} ({size(file.stat().st_size)}).")
    if settings.checkpointer.kind in ELSEWHERE or settings.checkpointer.path is not None:
        say("The threads are not in it: they are where checkpointer says.")
    say("Your own files (--data, --text) are not in it, either.")


def restore(options: Options, file: Path) -> None:
    from agent.backup import restore as read

    home = load(options).settings.home.absolute()
    count = read(file, home)
    say(f"{home} has the {count:,} files of {file}.")


def say(text: str) -> None:
    print(text)  # noqa: T201 - the command line
