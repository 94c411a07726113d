"""Checkpoint savers for LangGraph: small, fast and safe, on SQLite, DuckDB, PostgreSQL and Databricks Lakebase.

>>> from checkpointers import open_checkpointer
>>> with open_checkpointer("sqlite", path=":memory:") as saver:
...     list(saver.threads())
[]
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from checkpointers.duckdb import DuckDBSaver
    from checkpointers.encryption import AesGcm
    from checkpointers.errors import (
        BlockedType,
        CorruptRow,
        DamagedLog,
        LeaseLost,
        NewerSchema,
        NotADatabase,
        StoreError,
        StoreFull,
        StoreLocked,
        StoreReadOnly,
        StoreUnavailable,
        ThreadBusy,
    )
    from checkpointers.lakebase import LakebaseSaver
    from checkpointers.lease import Lease, held_threads, request_cancel
    from checkpointers.postgres import PostgresSaver
    from checkpointers.records import ThreadInfo
    from checkpointers.registry import CHECKPOINTERS, open_checkpointer
    from checkpointers.retention import Retention
    from checkpointers.saver import Saver
    from checkpointers.sqlite import SqliteSaver

__all__ = [
    "CHECKPOINTERS",
    "AesGcm",
    "BlockedType",
    "CorruptRow",
    "DamagedLog",
    "DuckDBSaver",
    "LakebaseSaver",
    "Lease",
    "LeaseLost",
    "NewerSchema",
    "NotADatabase",
    "PostgresSaver",
    "Retention",
    "Saver",
    "SqliteSaver",
    "StoreError",
    "StoreFull",
    "StoreLocked",
    "StoreReadOnly",
    "StoreUnavailable",
    "ThreadBusy",
    "ThreadInfo",
    "held_threads",
    "open_checkpointer",
    "request_cancel",
]

_HOMES = {
    "CHECKPOINTERS": "registry",
    "open_checkpointer": "registry",
    "AesGcm": "encryption",
    "DuckDBSaver": "duckdb",
    "LakebaseSaver": "lakebase",
    "Lease": "lease",
    "held_threads": "lease",
    "request_cancel": "lease",
    "PostgresSaver": "postgres",
    "Retention": "retention",
    "Saver": "saver",
    "SqliteSaver": "sqlite",
    "ThreadInfo": "records",
}


def __getattr__(name: str) -> Any:
    """Each name is imported when it is first asked for: `import checkpointers` costs next to nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
