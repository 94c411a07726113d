"""Importing the package does no work; a store's driver is imported when the store is opened. The examples run."""

from __future__ import annotations

import doctest
import subprocess
import sys
from importlib import import_module

import pytest

import checkpointers

_HEAVY = ("duckdb", "psycopg", "psycopg_pool", "databricks", "mlflow", "sqlite3", "cryptography", "graph", "agent")


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import checkpointers", ()),
        ("from checkpointers import open_checkpointer, ThreadBusy", ()),
        ("from checkpointers import SqliteSaver", ("sqlite3",)),
        ("from checkpointers import DuckDBSaver, PostgresSaver, LakebaseSaver", ("sqlite3",)),
    ],
)
def test_heavy_drivers_wait_until_they_are_needed(statement: str, allowed: tuple[str, ...]):
    script = f"{statement}\nimport sys\nprint(*[m for m in {_HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= set(allowed)


def test_every_name_is_there():
    for name in checkpointers.__all__:
        assert getattr(checkpointers, name) is not None
    with pytest.raises(AttributeError):
        _ = checkpointers.nonsense


@pytest.mark.parametrize("module", ["", ".sqlite", ".duckdb.saver", ".encryption"])
def test_examples(module: str):
    result = doctest.testmod(import_module(f"checkpointers{module}"))
    assert (result.failed, result.attempted > 0) == (0, True)
