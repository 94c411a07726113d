"""Arrow types and values as Databricks names and writes them."""

import base64
import datetime as dt
import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa

_SIMPLE: tuple[tuple[Any, str, str], ...] = (
    (pa.types.is_int64, "LONG", "BIGINT"),
    (pa.types.is_int32, "INT", "INT"),
    (pa.types.is_int16, "SHORT", "SMALLINT"),
    (pa.types.is_int8, "BYTE", "TINYINT"),
    (pa.types.is_float64, "DOUBLE", "DOUBLE"),
    (pa.types.is_float32, "FLOAT", "FLOAT"),
    (pa.types.is_boolean, "BOOLEAN", "BOOLEAN"),
    (pa.types.is_date, "DATE", "DATE"),
    (pa.types.is_binary, "BINARY", "BINARY"),
    (pa.types.is_null, "NULL", "VOID"),
    (pa.types.is_duration, "INTERVAL", "INTERVAL DAY TO SECOND"),
)


@dataclass(frozen=True)
class ColumnType:
    """A column's type: its name in the API and its text in SQL."""

    name: str
    text: str
    precision: int | None = None
    scale: int | None = None


def column_type(kind: pa.DataType) -> ColumnType:
    """The Databricks type of an Arrow type."""
    for fits, name, text in _SIMPLE:
        if fits(kind):
            return ColumnType(name, text)
    if pa.types.is_timestamp(kind):
        # The API's enumeration has no TIMESTAMP_NTZ: its columns are named TIMESTAMP there, the text tells.
        return ColumnType("TIMESTAMP", "TIMESTAMP" if kind.tz else "TIMESTAMP_NTZ")
    if pa.types.is_decimal(kind):
        return ColumnType("DECIMAL", f"DECIMAL({kind.precision},{kind.scale})", kind.precision, kind.scale)
    return _nested(kind)


def _nested(kind: pa.DataType) -> ColumnType:
    if pa.types.is_map(kind):
        return ColumnType("MAP", f"MAP<{column_type(kind.key_type).text}, {column_type(kind.item_type).text}>")
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return ColumnType("ARRAY", f"ARRAY<{column_type(kind.value_type).text}>")
    if pa.types.is_struct(kind):
        fields = ", ".join(f"{field.name}: {column_type(field.type).text}" for field in kind)
        return ColumnType("STRUCT", f"STRUCT<{fields}>")
    return ColumnType("STRING", "STRING")


def normal(table: pa.Table) -> pa.Table:
    """The same rows in the Arrow types that a warehouse sends: no large, view or unsigned types, microseconds."""
    fields = [pa.field(field.name, _plain(field.type), field.nullable) for field in table.schema]
    return table.cast(pa.schema(fields))


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_unsigned_integer(kind):
        return pa.int64()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    return kind


def json_column(column: pa.ChunkedArray) -> list[str | None]:
    """A column's values as the JSON_ARRAY format writes them: all text."""
    return [text(value, column.type) for value in column.to_pylist()]


def text(value: Any, kind: pa.DataType) -> str | None:
    """One value as text, null for a null."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.datetime):
        zone = "Z" if pa.types.is_timestamp(kind) and kind.tz else ""
        return value.replace(tzinfo=None).isoformat(timespec="milliseconds") + zone
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (list, dict)):
        return json.dumps(_plain_value(value, kind), separators=(",", ":"))
    return str(value)


def _plain_value(value: Any, kind: pa.DataType) -> Any:
    """A nested value as JSON can carry it; maps arrive from Arrow as lists of pairs."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if pa.types.is_map(kind):
        return {str(key): _plain_value(item, kind.item_type) for key, item in value}
    if isinstance(value, list):
        return [_plain_value(item, kind.value_type) for item in value]
    if isinstance(value, dict):
        return {field.name: _plain_value(value[field.name], field.type) for field in kind}
    return str(value) if isinstance(value, Decimal) else text(value, kind)
