"""The types that a workspace's SQL names, as Arrow's: for rows that come as texts, and for results without any rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow

TOKEN = re.compile(r"`[^`]*`|[\w ]+|[<>(),:]")


def arrow_type(text: str) -> pyarrow.DataType:
    """The Arrow type of a column's `type_text`, such as `ARRAY<STRUCT<a: INT, b: DECIMAL(10,2)>>`; else a string."""
    import pyarrow

    try:
        return _read(_Tokens(text))
    except (ValueError, StopIteration, pyarrow.ArrowInvalid):
        return pyarrow.string()


class _Tokens:
    def __init__(self, text: str) -> None:
        self._rest: list[str] = [token.strip() for token in TOKEN.findall(text) if token.strip()]

    def take(self, wanted: str | None = None) -> str:
        if not self._rest or (wanted is not None and self._rest[0] != wanted):
            raise ValueError(f"{wanted} expected")
        return self._rest.pop(0)

    def follows(self, wanted: str) -> bool:
        if self._rest and self._rest[0] == wanted:
            self._rest.pop(0)
            return True
        return False


def _read(tokens: _Tokens) -> pyarrow.DataType:
    import pyarrow

    name = tokens.take().upper()
    if name == "ARRAY" and tokens.follows("<"):
        inner = _read(tokens)
        tokens.take(">")
        return pyarrow.list_(inner)
    if name == "MAP" and tokens.follows("<"):
        key = _read(tokens)
        tokens.take(",")
        value = _read(tokens)
        tokens.take(">")
        return pyarrow.map_(key, value)
    if name == "STRUCT" and tokens.follows("<"):
        return pyarrow.struct(list(_fields(tokens)))
    sizes = list(_sizes(tokens))
    if name in ("DECIMAL", "DEC", "NUMERIC"):
        precision, scale = (*sizes, 10, 0)[:2] if sizes else (10, 0)
        return pyarrow.decimal128(precision, scale if len(sizes) > 1 else 0)
    return _plain(name)


def _plain(name: str) -> pyarrow.DataType:
    import pyarrow

    kinds = {
        "BOOLEAN": pyarrow.bool_(),
        **dict.fromkeys(("TINYINT", "BYTE"), pyarrow.int8()),
        **dict.fromkeys(("SMALLINT", "SHORT"), pyarrow.int16()),
        **dict.fromkeys(("INT", "INTEGER"), pyarrow.int32()),
        **dict.fromkeys(("BIGINT", "LONG"), pyarrow.int64()),
        **dict.fromkeys(("FLOAT", "REAL"), pyarrow.float32()),
        "DOUBLE": pyarrow.float64(),
        "BINARY": pyarrow.binary(),
        "DATE": pyarrow.date32(),
        "TIMESTAMP": pyarrow.timestamp("us", "UTC"),
        "TIMESTAMP_NTZ": pyarrow.timestamp("us"),
        **dict.fromkeys(("VOID", "NULL"), pyarrow.null()),
    }
    return kinds.get(name, pyarrow.string())


def _sizes(tokens: _Tokens) -> Iterator[int]:
    if tokens.follows("("):
        while not tokens.follows(")"):
            if not tokens.follows(","):
                yield int(tokens.take())


def _fields(tokens: _Tokens) -> Iterator[pyarrow.Field]:
    import pyarrow

    while not tokens.follows(">"):
        name = tokens.take().strip("`")
        tokens.take(":")
        yield pyarrow.field(name, _read(tokens))
        tokens.follows(",")
