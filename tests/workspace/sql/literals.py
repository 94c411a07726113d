"""Parameters as literals of Spark: what a client sends as text gets its type."""

import datetime as dt
import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from pyspark.sql.connect import proto

from tests.workspace.errors import bad_request
from tests.workspace.sql.parameters import Parameter

Literal = proto.Expression.Literal
_EPOCH = dt.datetime(1970, 1, 1)
_DECIMAL = re.compile(r"(?:DECIMAL|DEC|NUMERIC)(?:\((\d+)(?:,\s*(\d+))?\))?$")


def literals(parameters: Sequence[Parameter]) -> dict[str, Any] | list[Any]:
    """The arguments for Spark: by name, or by position when none has a name."""
    named = {parameter.name: literal(parameter) for parameter in parameters if parameter.name}
    if named and len(named) < len(parameters):
        raise bad_request("parameters must be all named or all positional")
    return named or [literal(parameter) for parameter in parameters]


def literal(parameter: Parameter) -> Any:
    """One parameter as a literal of its type."""
    kind = parameter.type.upper().strip()
    if parameter.value is None or kind == "VOID":
        return Literal(null=proto.DataType(null=proto.DataType.NULL()))
    try:
        if match := _DECIMAL.match(kind):
            return _decimal(parameter.value, match[1], match[2])
        return _READERS[kind](parameter.value)
    except KeyError:
        raise bad_request(f"the type {parameter.type} of parameter {parameter.name or '?'} is not supported") from None
    except (ValueError, InvalidOperation):
        raise bad_request(f"{parameter.value!r} is not a {kind}") from None


def _decimal(value: str, precision: str | None, scale: str | None) -> Any:
    number = Decimal(value)
    if precision is None:
        digits = number.as_tuple()
        places = max(0, -int(digits.exponent))
        width = max(len(digits.digits), places)
        return Literal(decimal=Literal.Decimal(value=str(number), precision=width, scale=places))
    width, places = int(precision), int(scale or 0)
    rounded = number.quantize(Decimal(1).scaleb(-places))
    return Literal(decimal=Literal.Decimal(value=str(rounded), precision=width, scale=places))


def _boolean(value: str) -> Any:
    if value.lower() not in ("true", "false"):
        raise ValueError(value)
    return Literal(boolean=value.lower() == "true")


def _date(value: str) -> Any:
    return Literal(date=(dt.date.fromisoformat(value) - _EPOCH.date()).days)


def _micros(value: str) -> int:
    moment = dt.datetime.fromisoformat(value)
    if moment.tzinfo:
        moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
    return (moment - _EPOCH) // dt.timedelta(microseconds=1)


_READERS: dict[str, Callable[[str], Any]] = {
    "STRING": lambda value: Literal(string=value),
    "INT": lambda value: Literal(integer=int(value)),
    "INTEGER": lambda value: Literal(integer=int(value)),
    "BIGINT": lambda value: Literal(long=int(value)),
    "LONG": lambda value: Literal(long=int(value)),
    "SMALLINT": lambda value: Literal(short=int(value)),
    "TINYINT": lambda value: Literal(byte=int(value)),
    "DOUBLE": lambda value: Literal(double=float(value)),
    "FLOAT": lambda value: Literal(float=float(value)),
    "BOOLEAN": _boolean,
    "DATE": _date,
    "TIMESTAMP": lambda value: Literal(timestamp=_micros(value)),
    "TIMESTAMP_NTZ": lambda value: Literal(timestamp_ntz=_micros(value)),
    "BINARY": lambda value: Literal(binary=value.encode()),
}
