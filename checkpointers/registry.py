"""Checkpointers by name. A new one is a new file and a line here; the contract suite runs over all of them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from checkpointers.saver import Saver


def _opener(module: str, name: str) -> Callable[..., Saver]:
    def opened(**options: Any) -> Saver:
        saver: Saver = getattr(import_module(f"checkpointers.{module}"), name)(**options)
        return saver

    return opened


CHECKPOINTERS: dict[str, Callable[..., Saver]] = {
    "sqlite": _opener("sqlite", "SqliteSaver"),
    "duckdb": _opener("duckdb", "DuckDBSaver"),
    "postgres": _opener("postgres", "PostgresSaver"),
    "lakebase": _opener("lakebase", "LakebaseSaver"),
}


def open_checkpointer(name: str, **options: Any) -> Saver:
    """Open a checkpointer; use it in a `with` block, or close it.

    "sqlite" and "duckdb" take `path`, "postgres" takes `conninfo`, "lakebase" takes `instance_name` (or the
    autoscaling names) and a `workspace_client`. All take `allowed_types`, as (module, name): the dataclasses and
    models that may be revived besides LangGraph's own; `serde`; `encryption_key`; `retention`.
    """
    if name not in CHECKPOINTERS:
        raise ValueError(f"no checkpointer {name!r}: choose one of {', '.join(CHECKPOINTERS)}")
    return CHECKPOINTERS[name](**options)
