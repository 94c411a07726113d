"""The version of an SQLite file's tables: an older one is brought up to date, a newer one is left alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from graph.errors import AgentError


class NewerSchema(AgentError):
    """The file was written by a newer version of this program."""


def bring_up_to_date(connection: sqlite3.Connection, path: Path, steps: Sequence[Sequence[str]]) -> None:
    """Run the statements of each version that the file lacks; step n leads from version n to n + 1.

    Another process may do the same at this moment. Raises NewerSchema before anything is touched.
    """
    if version_of(connection, path, len(steps)) == len(steps):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statements in steps[version_of(connection, path, len(steps)) :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def version_of(connection: sqlite3.Connection, path: Path, known: int) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > known:
        raise NewerSchema(
            f"{path} was written by a newer version of this program (schema {version}, known up to {known}). "
            "Upgrade the program or choose another home; the file was not touched."
        )
    return version
