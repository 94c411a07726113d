"""Models for a run: its items to records and its questions to answers, by the request's reader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from graph.context import Prompts
from graph.errors import HostError, InvalidRequest
from graph.reading.llm_map import Question, Reader, Reading, read_items
from graph.reading.records import Check, shape

LONGEST_WORDS = 4_000
"""Characters of an instruction or a context: each leaf carries them."""
LONGEST_PROMPT = 400_000
MOST_PROMPTS = 10_000

Told = Callable[[int, int, int], None]
"""Done, of how many (0: not known), and how many of them could not be read."""


@dataclass
class Tally:
    """One map so far."""

    items: int = 0
    read: int = 0
    again: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, readings: Sequence[Reading]) -> None:
        """The readings of one item."""
        self.items += 1
        wrong = [reading.error for reading in readings if reading.error is not None]
        self.read += not wrong
        self.again += all(reading.again for reading in readings)
        self.reasons.update(wrong[:1])

    def as_dict(self) -> dict[str, Any]:
        told = dict(self.reasons.most_common(5))
        return {"items": self.items, "read": self.read, "again": self.again, "reasons": told}


class Models:
    """`told` hears of progress, `kept` of each map's tally so far."""

    def __init__(
        self,
        reader: Reader,
        prompts: Prompts,
        check_schema: Callable[[Mapping[str, Any]], Check],
        told: Told,
        kept: Callable[[Sequence[Mapping[str, Any]]], None],
    ) -> None:
        self._reader, self._prompts, self._check_schema = reader, prompts, check_schema
        self._told, self._kept = told, kept
        self._maps: dict[int, Tally] = {}

    def answer_map(self, request: Mapping[str, Any], frames: BinaryIO) -> Mapping[str, Any]:
        """`records` of the answer: for each item its readings, one or more, as record and error."""
        schema = shape(request["schema"])
        instruction, context = words("instruction", request["instruction"]), words("context", request["context"])
        system = self._prompts.leaf(instruction or "", schema, context)
        items = texts(request["items"])
        total = int(request["total"] or 0)
        tally = self._maps.setdefault(int(request["map"]), Tally())
        records: list[list[tuple[Any, str | None]]] = [[] for _ in items]
        held: list[Reading] = []
        for reading in read_items(self._reader, Question(system, self._check(schema)), items):
            records[reading.item].append((reading.record, reading.error))
            if held and held[0].item != reading.item:
                self._count(tally, held, total)
            held.append(reading)
        if held:
            self._count(tally, held, total)
        self._kept([one.as_dict() for one in self._maps.values()])
        return {"records": records}

    def answer_query(self, request: Mapping[str, Any], frames: BinaryIO) -> Mapping[str, Any]:
        prompts = texts(request["prompts"])
        if len(prompts) > MOST_PROMPTS:
            raise HostError(f"{len(prompts):,} prompts at once: ask at most {MOST_PROMPTS:,}, or use llm_map")
        if (longest := max(map(len, prompts), default=0)) > LONGEST_PROMPT:
            raise HostError(
                f"a prompt of {longest:,} characters is too long for one question: give llm_map its lines or slices"
            )
        given = request["schema"]
        schema = shape(given)
        system = self._prompts.query(None if given is None else schema)
        question = Question(system, self._check(schema), single=True, plain=given is None)
        readings = read_items(self._reader, question, prompts)
        return {"answers": [(reading.record, reading.error) for reading in readings]}

    def _check(self, schema: Mapping[str, Any]) -> Check:
        try:
            return self._check_schema(schema)
        except InvalidRequest as error:
            raise HostError(str(error)) from error

    def _count(self, tally: Tally, held: list[Reading], total: int) -> None:
        tally.add(held)
        held.clear()
        self._told(tally.items, total, tally.items - tally.read)


def words(name: str, given: object) -> str | None:
    if given is None:
        return None
    if not isinstance(given, str) or len(given) > LONGEST_WORDS:
        raise HostError(f"the {name} is no text of at most {LONGEST_WORDS:,} characters: each leaf carries it")
    return given


def texts(given: object) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise HostError("items and prompts are texts")
    return given
