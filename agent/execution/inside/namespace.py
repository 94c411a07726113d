"""What generated code sees when it starts, in one place. The notebook's first cell says the same to a reader."""

from __future__ import annotations

import datetime
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.execution.inside.sql_client import SqlError


@dataclass(frozen=True)
class Place:
    """Which run this is and where its unqualified table names are looked up first."""

    run_id: str
    iteration: int
    catalog: str | None
    schema: str | None


def names(place: Place, file: str, execute_sql: Callable[..., Any], context: object) -> dict[str, Any]:
    """The module dict of a run. `context` is None when no text was handed over, `file` where the code lies."""
    return {
        "__name__": "__main__",
        "__file__": file,
        "execute_sql": execute_sql,
        "SqlError": SqlError,
        "context": context,
        "catalog": place.catalog,
        "schema": place.schema,
        "run_id": place.run_id,
        "iteration": place.iteration,
        "os": os,
        "sys": sys,
        "json": json,
        "datetime": datetime,
        "Path": Path,
        "exit": sys.exit,
        "quit": sys.exit,
    }
