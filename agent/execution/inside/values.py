"""Values that stay on the thread: saved by one delegation, there in the next."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from agent.execution.inside.line import Line, pieces_of, upload
from agent.execution.inside.sql_client import SqlResult

FRAME, JSON = "parquet", "json"


class Values:
    """Frames are kept as Parquet, the rest as JSON; nothing that could run code when it is opened."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def save(self, name: str, value: Any) -> None:
        """Keep a frame or a JSON value under a name on this thread. Raises TypeError, AskError."""
        kind, data, facts = written(value)
        held = upload(self._line, pieces_of(io.BytesIO(data)))
        self._line.ask("save", name=name, upload=held, kind_of_value=kind, **facts)

    def load(self, name: str) -> Any:
        """What was saved last under the name. Raises AskError, with the names that there are."""
        data, answer = self._line.ask("load", take=lambda file: file.read(), name=name)
        return opened(answer["kind_of_value"], data)


def written(value: Any) -> tuple[str, bytes, dict[str, Any]]:
    """A value's kind, bytes, and what is told of it. Raises TypeError for what has no form that stays."""
    if isinstance(value, SqlResult):
        if value.df is None and value.truncated:
            raise TypeError("the result holds the first rows only: ask for all with as_pandas=True and give its .df")
        value = as_frame(value)
    if is_frame(value):
        return FRAME, parquet(value), {"type": "DataFrame", "shape": f"{len(value):,} × {len(value.columns)}"}
    text = json.dumps(value, default=plain, allow_nan=True, ensure_ascii=False)
    shape = f"{len(value):,} elements" if isinstance(value, (list, tuple, dict, set, frozenset)) else "1"
    if isinstance(value, str):
        shape = f"{len(value):,} characters"
    return JSON, text.encode("utf-8", "surrogatepass"), {"type": type(value).__name__, "shape": shape}


def opened(kind: str, data: bytes) -> Any:
    if kind == JSON:
        return json.loads(data.decode("utf-8", "surrogatepass"))
    import pyarrow.parquet

    return pyarrow.parquet.read_table(io.BytesIO(data)).to_pandas()


def is_frame(value: Any) -> bool:
    return f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}" == "pandas.DataFrame"


def as_frame(result: SqlResult) -> Any:
    if result.df is not None:
        return result.df
    import pandas

    return pandas.DataFrame(result.rows, columns=result.columns)


def parquet(frame: Any) -> bytes:
    import pyarrow
    import pyarrow.parquet

    buffer = io.BytesIO()
    try:
        pyarrow.parquet.write_table(pyarrow.Table.from_pandas(frame), buffer, compression="zstd")
    except (pyarrow.ArrowException, TypeError, ValueError) as error:
        raise TypeError(f"the frame can't be kept: {error}. Make each column's values of one type.") from error
    return buffer.getvalue()


def plain(value: Any) -> Any:
    """What JSON does not know: numbers of numpy, sets and dataclasses. Raises TypeError for the rest."""
    if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise TypeError(f"a {type(value).__name__} has no form that stays: save a frame, or what JSON can hold")
