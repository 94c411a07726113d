"""Rows in JSON: lines, a list, or a list somewhere within an object; what is nested stays a struct."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from agent.data.reading.encoding import PROBE, Encoding, find_encoding
from agent.data.reading.engine import count_rows
from agent.data.reading.found import DataFile, DataUnreadable
from agent.data.reading.layout import counted
from agent.data.reading.names import quoted
from agent.data.reading.unpacking import open_bytes
from agent.data.reading.values import literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LARGEST_OBJECT = 256 << 20
"""Bytes of a file that is one object, and of one row of any other."""
SAMPLED = 200
DEEPEST = 3
Form = Literal["lines", "list", "object"]


@dataclass(frozen=True)
class JsonRows:
    """`place` is where in the object the rows are: keys from the outside in; `part` tells several such places apart."""

    file: DataFile
    form: Form
    names: tuple[str, ...]
    place: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    part: str = ""


def survey_json(file: DataFile) -> list[JsonRows]:
    """One for each list of rows in the file; raises DataUnreadable."""
    with open_bytes(file) as raw:
        head = raw.read(PROBE)
    encoding = find_encoding(head)
    with Encoding(encoding.name).open(io.BytesIO(head)) as decoded:
        text = decoded.read().lstrip("\ufeff \t\r\n")
    if not text:
        raise DataUnreadable(f"{file.name} is empty: fill it or leave it out")
    if text[0] == "[":
        return [JsonRows(file, "list", _keys(_listed(text)))]
    if text[0] == "{" and _is_lines(text, whole=len(head) < PROBE):
        return [JsonRows(file, "lines", _keys(_lined(text)))]
    return _within(file, encoding)


def _is_lines(text: str, whole: bool) -> bool:
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        return False
    parsed = sum(isinstance(_parsed(line), dict) for line in lines[:SAMPLED])
    return parsed >= max(1, 0.5 * len(lines[:SAMPLED])) or (not whole and parsed > 1)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_nothing)
    except ValueError:
        return None


def _nothing(word: str) -> None:
    """NaN and Infinity, which JSON has not and Python writes."""


def _lined(text: str) -> Iterator[Any]:
    yield from map(_parsed, text.splitlines()[:SAMPLED])


def _listed(text: str) -> Iterator[Any]:
    decoder, place = json.JSONDecoder(parse_constant=_nothing), 1
    for _ in range(SAMPLED):
        while place < len(text) and text[place] in " \t\r\n,":
            place += 1
        try:
            value, place = decoder.raw_decode(text, place)
        except ValueError:
            return
        yield value


def _keys(rows: Iterator[Any]) -> tuple[str, ...]:
    found = dict.fromkeys(key for row in rows if isinstance(row, dict) for key in row)
    return tuple(found) or ("json",)


def _within(file: DataFile, encoding: Encoding) -> list[JsonRows]:
    value = _loaded(file, encoding)
    places = list(_places(value, ()))
    return [
        JsonRows(
            file,
            "object",
            _keys(iter(rows[:SAMPLED])),
            place,
            tuple(_beside(value, place)),
            place[-1] if len(places) > 1 else "",
        )
        for place, rows in places
    ]


def _loaded(file: DataFile, encoding: Encoding) -> Any:
    with open_bytes(file) as raw:
        data = raw.read(LARGEST_OBJECT + 1)
    if len(data) > LARGEST_OBJECT:
        raise DataUnreadable(f"{file.name} is one object of over {LARGEST_OBJECT >> 20} MB: save its rows line by line")
    try:
        with encoding.open(io.BytesIO(data)) as text:
            return json.loads(text.read(), parse_constant=_nothing)
    except (ValueError, RecursionError) as error:
        raise DataUnreadable(f"{file.name} is no JSON ({error}): repair the file or leave it out") from error


def _places(value: Any, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    """The lists of objects within `value`, else the whole as rows of one kind or another."""
    found = list(_lists(value, place))
    yield from found or [(place, as_rows(value))]


def _lists(value: Any, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    if not isinstance(value, dict) or len(place) >= DEEPEST:
        return
    for key, inner in value.items():
        if isinstance(inner, list) and inner and all(isinstance(one, dict) for one in inner):
            yield (*place, key), inner
        else:
            yield from _lists(inner, (*place, key))


def as_rows(value: Any) -> list[Any]:
    """Objects by key become rows with their key, columns of equal length become rows, else it is one row."""
    if not isinstance(value, dict):
        return [{"json": value}]
    inner = list(value.values())
    if len(inner) > 1 and all(isinstance(one, dict) for one in inner) and _are_alike(inner):
        return [{"key": key, **one} for key, one in value.items()]
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        return [dict(zip(value["columns"], row, strict=False)) for row in value["data"]]
    if inner and all(isinstance(one, list) for one in inner) and len(set(map(len, inner))) == 1:
        return [dict(zip(value, row, strict=True)) for row in zip(*inner, strict=True)]
    return [value]


def _are_alike(objects: Sequence[Mapping[str, Any]]) -> bool:
    shared = set.intersection(*(set(one) for one in objects))
    return len(shared) >= 0.5 * max(len(set().union(*objects)), 1)


def _beside(value: Any, place: tuple[str, ...]) -> Iterator[str]:
    if place:
        others = [key for key in value if key != place[0]]
        yield f"the rows of {'.'.join(place)}" + (f"; beside it: {', '.join(others[:5])}" if others else "")


def stage_json(
    connection: DuckDBPyConnection, found: JsonRows, table: str, scratch: Path
) -> tuple[int, tuple[str, ...]]:
    """Make `table` of the rows, and say how many, and what was odd. Raises DataUnreadable."""
    import duckdb

    path, broken = _as_lines(found, scratch)
    try:
        source = (
            f"read_json({literal(str(path))}, sample_size = -1, maximum_object_size = {LARGEST_OBJECT}, "
            f"format = '{'array' if path == found.file.path and found.form == 'list' else 'newline_delimited'}')"
        )
        connection.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM {source}")  # noqa: S608 - our names
    except duckdb.InterruptException:
        raise
    except duckdb.Error as error:
        if path == found.file.path:
            return stage_json(connection, _rewritten(found), table, scratch)
        reason = str(error).splitlines()[0]
        said = f"{found.file.name} can't be read as JSON ({reason}): repair it or leave it out"
        raise DataUnreadable(said) from error
    finally:
        if path != found.file.path:
            path.unlink(missing_ok=True)
    _fit_parquet(connection, table)
    odd = (f"{counted(broken, 'line')} that {'is' if broken == 1 else 'are'} no JSON left out",) if broken else ()
    return count_rows(connection, table), (*found.notes, *odd)


@dataclass(frozen=True)
class _Rewritten(JsonRows):
    """To be written anew line by line, since the engine refused the file as it is."""


def _rewritten(found: JsonRows) -> JsonRows:
    return _Rewritten(found.file, found.form, found.names, found.place, found.notes)


def _as_lines(found: JsonRows, scratch: Path) -> tuple[Path, int]:
    """A file that the engine takes, and how many lines of the original it lacks: the original where that will do."""
    with open_bytes(found.file) as raw:
        encoding = find_encoding(raw.read(PROBE))
    as_it_is = found.form != "object" and not found.file.packed and encoding.name == "utf-8"
    if as_it_is and not isinstance(found, _Rewritten):
        return found.file.path, 0
    path = scratch / f".{uuid4().hex}.jsonl"
    broken = 0
    with path.open("w", encoding="utf-8", errors="replace") as lines:
        for row in _rows(found, encoding):
            if row is None:
                broken += 1
            else:
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path, broken


def _rows(found: JsonRows, encoding: Encoding) -> Iterator[Any]:
    """Each row; None for a line that is none."""
    if found.form == "lines":
        with open_bytes(found.file) as raw, encoding.open(raw) as text:
            for line in text:
                if line.strip("\ufeff \t\r\n"):
                    yield _parsed(line.lstrip("\ufeff"))
        return
    value = _loaded(found.file, encoding)
    if found.form == "list":
        yield from (row if isinstance(row, dict) else {"json": row} for row in value)
        return
    for key in found.place:
        value = value[key]
    yield from value if isinstance(value, list) else as_rows(value)


def _fit_parquet(connection: DuckDBPyConnection, table: str) -> None:
    """Parquet has no integers of 128 bits and would make them inexact."""
    for name, type_, *_ in connection.execute(f"DESCRIBE {table}").fetchall():
        if type_ in ("HUGEINT", "UHUGEINT"):
            connection.execute(f"ALTER TABLE {table} ALTER {quoted(name)} TYPE VARCHAR")
