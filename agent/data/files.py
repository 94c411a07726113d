"""The user's data files: which there are under a path, and how each becomes a table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graph.errors import InvalidRequest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

KINDS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
}
COMPRESSED = (".gz", ".zst")
LARGEST_JSON_OBJECT = 256 * 1024 * 1024


class DataUnreadable(InvalidRequest):
    """A file or folder that was handed over as data can't be made a table; the text names it and what to do."""


@dataclass(frozen=True)
class DataFile:
    path: Path
    kind: str
    table: str

    @property
    def key(self) -> str:
        """Changes when the file does."""
        status = self.path.stat()
        return f"{self.path}|{status.st_size}|{status.st_mtime_ns}|{self.table}"


def find_files(paths: Sequence[Path]) -> tuple[DataFile, ...]:
    """Every data file under `paths`, sorted, with distinct table names; raises DataUnreadable."""
    names: set[str] = set()
    found: list[DataFile] = []
    for path in dict.fromkeys(file for given in paths for file in _under(given)):
        table = _distinct(table_name(path), names)
        names.add(table)
        found.append(DataFile(path, KINDS[_suffix(path)], table))
    return tuple(found)


def _under(given: Path) -> Iterator[Path]:
    path = given.expanduser().resolve()
    if path.is_file():
        if _suffix(path) not in KINDS:
            raise DataUnreadable(f"{given} is no data file: use one of {', '.join(KINDS)} (also compressed as .gz)")
        return iter([path])
    if not path.is_dir():
        raise DataUnreadable(f"there is no file or folder {given}: check the path after --data")
    files = sorted(file for file in path.rglob("*") if _is_data(file, path))
    if not files:
        raise DataUnreadable(f"no data files in {given}: put {', '.join(KINDS)} files there or name another folder")
    return iter(files)


def _is_data(file: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(root).parts)
    return not hidden and _suffix(file) in KINDS and file.is_file()


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if len(suffixes) == 2 and suffixes[1] in COMPRESSED:
        return suffixes[0]
    return suffixes[-1] if suffixes else ""


def table_name(path: Path) -> str:
    """A name that needs no quotes: `2024 Sales-Q1.csv.gz` becomes `t_2024_sales_q1`."""
    stem = path.name
    while Path(stem).suffix.lower() in (*KINDS, *COMPRESSED):
        stem = Path(stem).stem
    name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_") or "data"
    return f"t_{name}" if name[0].isdigit() or RESERVED.fullmatch(name) else name


RESERVED = re.compile(
    "all|analyse|analyze|and|anti|any|array|as|asc|asof|asymmetric|at|authorization|binary|both|by|case|cast|"
    "check|collate|collation|column|concurrently|constraint|create|cross|default|deferrable|desc|describe|"
    "distinct|do|else|end|except|false|fetch|for|foreign|freeze|from|full|glob|group|having|ilike|in|initially|"
    "inner|intersect|into|is|isnull|join|lambda|lateral|leading|left|like|limit|natural|not|notnull|null|offset|"
    "on|only|or|order|outer|overlaps|pivot|pivot_longer|pivot_wider|placing|positional|primary|qualify|"
    "references|returning|right|select|semi|show|similar|some|summarize|symmetric|table|tablesample|then|to|"
    "trailing|true|union|unique|unpack|unpivot|user|using|values|variadic|verbose|when|where|window|with"
)
"""Words that DuckDB 2.0 does not take as a table's name without quotes."""


def _distinct(name: str, taken: set[str]) -> str:
    number, candidate = 2, name
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    return candidate


def load(connection: DuckDBPyConnection, file: DataFile) -> None:
    """Make `file` the table (Parquet: the view) `file.table`; raises DataUnreadable with the engine's reason.

    A CSV that does not fit the types guessed from its first rows is read again with types that fit every row,
    then as latin-1 when it is not utf-8.
    """
    import duckdb

    reasons: list[str] = []
    try:
        readings = _readings(file)
    except OSError as error:
        raise DataUnreadable(f"{file.path} can't be opened ({error.strerror}): see who may read it") from error
    for source in readings:
        relation = "VIEW" if file.kind == "parquet" else "TABLE"
        try:
            connection.execute(f"CREATE {relation} {file.table} AS SELECT * FROM {source}")  # noqa: S608 - our names
            connection.execute(f"SELECT * FROM {file.table} LIMIT 1").fetchall()  # noqa: S608 - our names
            return
        except duckdb.Error as error:
            reasons.append(str(error).splitlines()[0])
    raise DataUnreadable(f"{file.path} can't be read as {file.kind} ({reasons[0]}): repair the file or leave it out")


def _readings(file: DataFile) -> tuple[str, ...]:
    path = "'" + str(file.path).replace("'", "''") + "'"
    if file.kind == "parquet":
        return (f"read_parquet({path})",)
    if file.kind == "json":
        return (f"read_json_auto({path}, maximum_object_size={LARGEST_JSON_OBJECT})",)
    _refuse_binary(file.path)
    if encoding := _marked_encoding(file.path):
        return (f"read_csv({path}, sample_size=-1, encoding='{encoding}')",)
    whole = f"read_csv({path}, sample_size=-1"
    return (f"read_csv({path})", f"{whole})", f"{whole}, encoding='latin-1')", f"{whole}, all_varchar=true)")


def _marked_encoding(path: Path) -> str | None:
    with path.open("rb") as file:
        return "utf-16" if file.read(2) in (b"\xff\xfe", b"\xfe\xff") else None


def _refuse_binary(path: Path) -> None:
    if path.stat().st_size == 0:
        raise DataUnreadable(f"{path} is empty: fill it or leave it out")
    if path.suffix.lower() in COMPRESSED or _marked_encoding(path):
        return
    with path.open("rb") as file:
        if b"\0" in file.read(64 * 1024):
            raise DataUnreadable(f"{path} holds binary data, not CSV: repair the file or leave it out")
