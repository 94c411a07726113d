"""Which data files there are under a path, what each is, and what is set aside with its reason."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from graph.errors import InvalidRequest

KINDS = {
    ".csv": "delimited",
    ".tsv": "delimited",
    ".tab": "delimited",
    ".psv": "delimited",
    ".txt": "delimited",
    ".dat": "delimited",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".xlsx": "workbook",
    ".xlsm": "workbook",
    ".xlsb": "workbook",
    ".xls": "workbook",
    ".ods": "workbook",
}
PACKED = {".gz": "gz", ".zst": "zst", ".bz2": "bz2", ".xz": "xz", ".zip": "zip"}
MAYBE = (".txt", ".dat")
"""Suffixes of prose as well as of tables: one column means prose."""
PARTITION = re.compile(r"([A-Za-z_][\w.-]*)=(.*)")
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
LARGEST_UNPACKED = 64 << 30


class DataUnreadable(InvalidRequest):
    """A file or folder that was handed over as data can't be made a table; the text names it and what to do."""


@dataclass(frozen=True)
class DataFile:
    """`member` is a file in a zip, `sheet` one of a workbook; `partitions` are read from folders like `year=2024`.

    `root` is the folder that was handed over, so that `name` tells files of one name apart.
    """

    path: Path
    kind: str
    root: Path
    packed: str = ""
    member: str = ""
    sheet: str = ""
    partitions: tuple[tuple[str, str | None], ...] = ()

    @property
    def name(self) -> str:
        """As people call it: the path below what was handed over, with the member and the sheet."""
        inside = "/".join(part for part in (self.member, self.sheet) if part)
        relative = self.path.relative_to(self.root).as_posix() if self.path != self.root else self.path.name
        return f"{relative}/{inside}" if inside else relative

    @property
    def stem(self) -> str:
        """The last name without its suffixes; a workbook's sheet has both names."""
        stem = bare(self.member or self.path.name)
        return f"{stem} {self.sheet}" if self.sheet else stem

    @property
    def may_be_prose(self) -> bool:
        return self.suffix in MAYBE

    @property
    def suffix(self) -> str:
        """In lower case, below that of a packer."""
        return _suffix(PurePosixPath(self.member or self.path.name))

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    @property
    def key(self) -> str:
        """Changes when the file does."""
        status = self.path.stat()
        return f"{self.path}|{self.member}|{self.sheet}|{status.st_size}|{status.st_mtime_ns}"


@dataclass(frozen=True)
class Aside:
    """What was found and is not used, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Found:
    files: tuple[DataFile, ...]
    aside: tuple[Aside, ...]


def find_files(paths: Sequence[Path]) -> Found:
    """Every data file under `paths`, sorted; raises DataUnreadable for a path that is not there or has no data."""
    files: dict[tuple[Path, str], DataFile] = {}
    aside: dict[str, Aside] = {}
    for given in paths:
        for one in _under(given):
            if isinstance(one, Aside):
                aside.setdefault(one.name, one)
            else:
                files.setdefault((one.path, one.member), one)
    return Found(tuple(files.values()), tuple(aside.values()))


def _under(given: Path) -> Iterator[DataFile | Aside]:
    path = given.expanduser().resolve()
    if path.is_file():
        if kind_of(path.name) is None:
            raise DataUnreadable(f"{given} is no data file: use one of {', '.join(KINDS)} (also as .gz, .zst or .zip)")
        yield from _unpacked(path, path)
        return
    if not path.is_dir():
        raise DataUnreadable(f"there is no file or folder {given}: check the path after --data")
    found = [one for file in _walk(path, path) for one in _known(file, path)]
    if not any(isinstance(one, DataFile) for one in found):
        raise DataUnreadable(f"no data files in {given}: put {', '.join(KINDS)} files there or name another folder")
    yield from found


def _walk(folder: Path, root: Path) -> Iterator[Path]:
    """Files below `folder`; what begins with a dot or an underscore is a tool's own. A Delta table comes as its folder:
    its Parquet files hold removed rows as well."""
    if (folder / "_delta_log").is_dir():
        yield folder
        return
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith((".", "_", "~$")):
            continue
        if entry.is_dir():
            yield from _walk(entry, root)
        elif entry.is_file():
            yield entry


def _known(file: Path, root: Path) -> Iterator[DataFile | Aside]:
    name = file.relative_to(root).as_posix()
    if file.is_dir():
        reason = "a Delta table: its files hold removed rows, too; export it, or read it through a SQL warehouse"
        yield Aside(name, reason)
    elif kind_of(file.name) is None:
        yield Aside(name, f"{file.suffix.lower() or 'a name without a suffix'} is no kind of data that is read here")
    else:
        yield from _unpacked(file, root)


def _unpacked(path: Path, root: Path) -> Iterator[DataFile | Aside]:
    file = DataFile(path, kind_of(path.name) or "", root, packed_as(path.name), partitions=_partitions(path, root))
    if file.packed != "zip":
        yield file
        return
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        yield Aside(file.name, f"can't be unpacked ({error}): make the archive again")
        return
    for member in sorted(members, key=lambda one: one.filename):
        inside = PurePosixPath(member.filename)
        if not member.is_dir() and not any(part.startswith((".", "_")) for part in inside.parts):
            yield _member(replace(file, member=member.filename), member)


def _member(file: DataFile, member: zipfile.ZipInfo) -> DataFile | Aside:
    kind = kind_of(member.filename)
    if kind is None or packed_as(member.filename):
        return Aside(file.name, "no kind of data that is read inside an archive")
    if member.flag_bits & 1:
        return Aside(file.name, "encrypted: unpack it yourself and hand over what is inside")
    if member.file_size > LARGEST_UNPACKED:
        return Aside(file.name, f"unpacks to {member.file_size >> 30} GB: unpack it yourself and hand over the part")
    return replace(file, kind=kind)


def _partitions(path: Path, root: Path) -> tuple[tuple[str, str | None], ...]:
    """Also of folders above `root`, when a single partition was handed over within a chain that leads to it."""
    found = [PARTITION.fullmatch(part) for part in path.relative_to(root).parts[:-1]]
    return tuple((match[1], None if match[2] == NO_VALUE else match[2]) for match in found if match)


def partition_root(file: DataFile) -> Path | None:
    """The folder above the first `key=value`: the table's own."""
    if not file.partitions:
        return None
    relative = file.path.relative_to(file.root).parts
    first = next(place for place, part in enumerate(relative) if PARTITION.fullmatch(part))
    return file.root.joinpath(*relative[:first])


def kind_of(name: str) -> str | None:
    """By the suffix, below that of a packer; a zip may hold anything."""
    pure = PurePosixPath(name)
    if packed_as(name) == "zip":
        return "archive"
    return KINDS.get(_suffix(pure))


def packed_as(name: str) -> str:
    return PACKED.get(PurePosixPath(name).suffix.lower(), "")


def _suffix(pure: PurePosixPath) -> str:
    suffixes = [suffix.lower() for suffix in pure.suffixes[-2:]]
    if len(suffixes) == 2 and suffixes[1] in PACKED:
        return suffixes[0]
    return suffixes[-1] if suffixes else ""


def bare(name: str) -> str:
    """`2024/sales.v2.csv.gz` is `sales.v2`."""
    pure = PurePosixPath(name)
    while pure.suffix.lower() in KINDS or pure.suffix.lower() in PACKED:
        pure = pure.with_suffix("")
    return pure.name
