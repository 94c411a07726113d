"""Which files are parts of one table: partitions, files of one name but for numbers, files of one shape in a folder."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from agent.data.reading.found import DataFile, partition_root
from agent.data.reading.grids import Grid
from agent.data.reading.json_rows import JsonRows
from agent.data.reading.names import distinct, table_name

ALIKE = 0.6
"""The share of columns that files of one name but for numbers must have in common."""
SAME_SHAPE_FILES, SAME_SHAPE_COLUMNS = 3, 4
"""From how many files and columns on, files of different names and the very same columns are one table."""
VARYING = re.compile(
    r"\d+|(?<![a-z])(q[1-4]|h[12]|fy|january|february|march|april|may|june|july|august|september|october|november|"
    r"december|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|part|copy|final|v)(?![a-z])"
)


@dataclass(frozen=True)
class ParquetRows:
    file: DataFile
    names: tuple[str, ...]


Part = Grid | JsonRows | ParquetRows


@dataclass(frozen=True)
class Group:
    """What becomes one table. `alone` are the names by which each part can be asked for, when there are several."""

    name: str
    parts: tuple[Part, ...]
    alone: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        first = self.parts[0]
        return "parquet" if isinstance(first, ParquetRows) else "json" if isinstance(first, JsonRows) else "grid"

    @property
    def labels(self) -> tuple[str, ...]:
        """What tells the parts apart: their names, with the place within an object."""
        return tuple(label_of(part) for part in self.parts)

    def key(self, version: str) -> str:
        """Changes when a file or the way of reading does."""
        keys = [f"{part.file.key}|{label_of(part)}" for part in self.parts]
        return sha256("\n".join([version, self.kind, *keys]).encode()).hexdigest()[:20]


def label_of(part: Part) -> str:
    place = part.part if isinstance(part, JsonRows) else ""
    return f"{part.file.name}#{place}" if place else part.file.name


def stem_of(part: Part) -> str:
    place = part.part if isinstance(part, JsonRows) else ""
    return f"{part.file.stem} {place}" if place else part.file.stem


def group(parts: Sequence[Part]) -> tuple[Group, ...]:
    """In the order of their first parts, with distinct names."""
    bundles = _partition(parts)
    bundles += _of_one_name([part for part in parts if not part.file.partitions])
    singles = [bundle[0] for bundle in bundles if len(bundle) == 1 and not bundle[0].file.partitions]
    bundles = [bundle for bundle in bundles if bundle[0] not in singles] + _of_one_shape(singles)
    order = {id(part): place for place, part in enumerate(parts)}
    return _named(sorted(bundles, key=lambda bundle: order[id(bundle[0])]))


def _partition(parts: Iterable[Part]) -> list[list[Part]]:
    found: dict[tuple[Path | None, str, type], list[Part]] = defaultdict(list)
    for part in parts:
        if part.file.partitions:
            found[partition_root(part.file), part.file.kind, type(part)].append(part)
    return list(found.values())


def _of_one_name(parts: Iterable[Part]) -> list[list[Part]]:
    found: dict[tuple[type, str], list[list[Part]]] = defaultdict(list)
    for part in parts:
        bundles = found[type(part), pattern_of(stem_of(part))]
        fitting = next((bundle for bundle in bundles if _are_alike(bundle[0], part)), None)
        if fitting is None:
            bundles.append([part])
        else:
            fitting.append(part)
    return [bundle for bundles in found.values() for bundle in bundles]


def pattern_of(stem: str) -> str:
    """What is left of a name without what varies: numbers, months, quarters."""
    return " ".join(re.sub(r"[^a-z#]+", " ", VARYING.sub("#", stem.lower())).replace("#", " ").split())


def _are_alike(one: Part, other: Part) -> bool:
    left, right = _columns(one), _columns(other)
    return len(left & right) >= ALIKE * len(left | right)


def _columns(part: Part) -> frozenset[str]:
    return frozenset(name.lower() for name in part.names)


def _of_one_shape(singles: Sequence[Part]) -> list[list[Part]]:
    found: dict[tuple[type, Path, str, frozenset[str]], list[Part]] = defaultdict(list)
    for part in singles:
        folder = part.file.path if part.file.sheet or part.file.member else part.file.path.parent
        found[type(part), folder, part.file.kind, _columns(part)].append(part)
    bundles: list[list[Part]] = []
    for (_, _, _, columns), alike in found.items():
        unnamed = all(re.fullmatch(r"column_\d+", name) for name in columns)
        if len(alike) >= SAME_SHAPE_FILES and len(columns) >= SAME_SHAPE_COLUMNS and not unnamed:
            bundles.append(alike)
        else:
            bundles += [[part] for part in alike]
    return bundles


def _named(bundles: Sequence[Sequence[Part]]) -> tuple[Group, ...]:
    taken: list[str] = []
    names = []
    for bundle in bundles:
        names.append(distinct(_group_name(bundle), taken))
        taken.append(names[-1])
    groups = []
    for name, bundle in zip(names, bundles, strict=True):
        alone = []
        if len(bundle) > 1 and not bundle[0].file.partitions:
            for part in bundle:
                alone.append(distinct(table_name(stem_of(part)), taken))
                taken.append(alone[-1])
        groups.append(Group(name, tuple(bundle), tuple(alone)))
    return tuple(groups)


def _group_name(bundle: Sequence[Part]) -> str:
    first = bundle[0]
    if first.file.partitions:
        root = partition_root(first.file)
        return table_name(root.name if root else "data")
    if len(bundle) == 1:
        return table_name(stem_of(first))
    patterns = {pattern_of(stem_of(part)) for part in bundle}
    folder = first.file.path if first.file.sheet or first.file.member else first.file.path.parent
    return table_name((patterns.pop() if len(patterns) == 1 else "") or folder.stem)
