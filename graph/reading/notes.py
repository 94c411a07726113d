"""What was read in an output: a note for each part, figures that code adds up, and how much of it was read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

NOTHING = re.compile(r"\W*(?:nothing|none|n/?a)?\W*", re.IGNORECASE)

NOTE_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "note": {
            "type": "string",
            "description": "what this part tells of what is asked for, or nothing",
        },
        "figures": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "description": "what was counted or summed, in the task's own words"},
                    "value": {"type": "number", "description": "for this part alone"},
                },
                "required": ["name", "value"],
            },
        },
    },
    "required": ["note"],
}
"""What a reader says of a part. Only counts and sums are figures: code adds those of all parts."""


@dataclass(frozen=True)
class Note:
    """`part` counts from 1 over all that were to be read; `lines` are those of `source`. `read` is False with the
    reason in `note`.
    """

    part: int
    source: str
    lines: str
    note: str
    figures: tuple[Mapping[str, Any], ...] = ()
    read: bool = True

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"figures": [dict(figure) for figure in self.figures]}

    @property
    def says_something(self) -> bool:
        return self.read and not NOTHING.fullmatch(self.note)

    @property
    def labelled(self) -> str:
        return f"[part {self.part}, {self.lines} of {self.source}] {self.note}"


@dataclass(frozen=True)
class Sum:
    """A figure of all parts that gave one of this name."""

    name: str
    value: float
    parts: int

    def __str__(self) -> str:
        return f"{self.name}: {self.value:,} (the sum of {self.parts} part{'s' * (self.parts != 1)})"


def add_up(notes: Iterable[Note]) -> list[Sum]:
    """The sums, by names that are alike but for case and blanks, in the order of their first part."""
    sums: dict[str, Sum] = {}
    for note in notes:
        for figure in note.figures:
            name = " ".join(str(figure["name"]).split())
            known = sums.get(name.casefold(), Sum(name, 0, 0))
            sums[name.casefold()] = Sum(known.name, exactly(known.value + figure["value"]), known.parts + 1)
    return list(sums.values())


def exactly(number: float) -> float:
    """Integers stay integers, and tenths stay tenths."""
    if isinstance(number, int) or (number.is_integer() and abs(number) < 2**53):
        return int(number)
    return round(number, 9)


@dataclass(frozen=True)
class Coverage:
    """How much was read. `whole` counts the parts that there are, `chosen` those that were to be read."""

    read: int
    chosen: int
    whole: int
    unit: str = "parts"
    reasons: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return self.read == self.whole

    def __str__(self) -> str:
        """In a few words, for a person."""
        if self.complete:
            return f"all {self.whole:,} {self.unit} were read" if self.whole > 1 else "it was read whole"
        sampled = (
            "" if self.chosen == self.whole else f", an even sample of {self.chosen / self.whole:.0%} being asked for"
        )
        return f"{self.read:,} of {self.whole:,} {self.unit} were read{sampled}"

    @property
    def told(self) -> str:
        """With the reasons, for the analyst."""
        missing = [
            f"{self.unit if len(places) > 1 else self.unit[:-1]} {spans(places)}: {reason}"
            for reason, places in self.reasons.items()
        ]
        return f"{self}. Not read: {'; '.join(missing)}" if missing else str(self)


def coverage_of(notes: Sequence[Note], whole: int) -> Coverage:
    reasons: dict[str, list[int]] = {}
    for note in notes:
        if not note.read:
            reasons.setdefault(note.note, []).append(note.part)
    read = sum(note.read for note in notes)
    return Coverage(read, len(notes), whole, reasons=reasons)


def spans(numbers: Sequence[int]) -> str:
    """1–4, 7 of [1, 2, 3, 4, 7]; the first few of many."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    told = [str(first) if first == last else f"{first}–{last}" for first, last in found[:12]]
    return ", ".join(told) + (" and more" if len(found) > 12 else "")
