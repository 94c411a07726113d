"""Where a store is, from whatever the official savers are made with: a path, an address, a connection, a pool."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_MEMORY = ":memory:"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


def of_sqlite(given: str | Path | sqlite3.Connection) -> str:
    if isinstance(given, sqlite3.Connection):
        path = next((row[2] for row in given.execute("PRAGMA database_list") if row[1] == "main"), "")
        if not path:
            raise TypeError('this connection has no file: give SqliteSaver(":memory:"), or a path')
        return str(path)
    return of_file(given, "SqliteSaver")


def of_file(given: str | Path, saver: str) -> str:
    if isinstance(given, Path):
        return str(given)
    if not isinstance(given, str):
        raise TypeError(f'{saver} takes the path of its file, not a {type(given).__name__}: {saver}("state.db")')
    if given in ("", _MEMORY):
        return _MEMORY
    return _of_uri(given, saver) if _SCHEME.match(given) else given


def _of_uri(given: str, saver: str) -> str:
    parts = urlsplit(given)
    asked = parse_qs(parts.query, keep_blank_values=True)
    mode = asked.pop("mode", ["rwc"])[-1]
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise TypeError(f'{saver} takes the path of its file, not {given!r}: {saver}("state.db")')
    if mode == "memory" or parts.path == _MEMORY:
        return _MEMORY
    if asked or mode not in ("rw", "rwc"):
        raise TypeError(
            f"{saver} reads and writes its file, and {given!r} asks for something else: give the path alone, "
            f'{saver}("{unquote(parts.path)}")'
        )
    return unquote(parts.path)


def of_postgres(given: Any) -> str:
    """A connection string, of which a pool's or a connection's is taken."""
    if isinstance(given, str):
        return given
    info = getattr(given, "info", None)
    if info is not None and hasattr(info, "get_parameters"):
        from psycopg.conninfo import make_conninfo

        secret = {"password": info.password} if info.password else {}
        return make_conninfo("", **{**info.get_parameters(), **secret})
    conninfo = getattr(given, "conninfo", None)
    if isinstance(conninfo, str):
        return conninfo
    raise TypeError(
        f"PostgresSaver takes a connection string, a pool or a connection, not a {type(given).__name__}: "
        'PostgresSaver("postgresql://me@db.example/app")'
    )
