"""The value that a run leaves in `result`, as JSON text that any reader can parse."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from types import FunctionType, ModuleType
from typing import Any

from agent.execution.inside.sql_client import CutRows, SqlResult

DEEPEST = 40
MOST_ROWS = 1000


def output_of(namespace: Mapping[str, Any]) -> Any:
    """`result`, else `output`; None when neither holds data."""
    for name in ("result", "output"):
        value = namespace.get(name)
        if value is not None and not isinstance(value, (FunctionType, ModuleType, type)):
            return value
    return None


def as_json(value: Any) -> str:
    """JSON without NaN; what has no JSON form becomes its `str`."""
    text = json.dumps(_plain(value, 0), default=str, allow_nan=False, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value if not isinstance(value, int) or isinstance(value, bool) else int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if depth >= DEEPEST:
        return str(value)
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item, depth + 1) for item in value]
    return _unwrap(value, depth)


def _unwrap(value: Any, depth: int) -> Any:
    """Tables as rows, numbers of numpy as numbers, dataclasses as objects, the rest as text."""
    kind = f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}"
    if kind == "pandas.DataFrame":
        return _rows(value.head(MOST_ROWS).to_dict(orient="records"), len(value), depth)
    if kind == "pandas.Series":
        return _plain(value.to_dict(), depth + 1)
    if kind.startswith("numpy.") and hasattr(value, "tolist"):
        return _plain(value.tolist(), depth + 1)
    if isinstance(value, SqlResult):
        return _rows([dict(zip(value.columns, row, strict=True)) for row in value.head], value.row_count, depth)
    if isinstance(value, CutRows):
        return {"first_rows": _plain(value.first[:MOST_ROWS], depth + 1), "row_count": repr(value)}
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value), depth + 1)
    return str(value)


def _rows(rows: list[dict[Any, Any]], count: int | None, depth: int) -> Any:
    """The rows; when they are not all, an object that says so."""
    plain = _plain(rows, depth + 1)
    return plain if count == len(rows) else {"first_rows": plain, "row_count": count}
