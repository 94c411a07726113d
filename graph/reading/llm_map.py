"""The map: any number of items to typed records, by fresh models in parallel, each asked about one leaf and no more.

Whoever reads, an agent's host or a job by itself, brings a Reader. Nothing here holds more than what is being read.
"""

from __future__ import annotations

import contextvars
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Any, Protocol

from graph.errors import BudgetExceeded, Cancelled, ModelUnavailable, OutOfTime
from graph.reading.leaves import Count, count_tokens, cut, pack
from graph.reading.records import Check, record_of, records_of

LOOK_SECONDS = 0.2
LOOKED_UP = 500
MOST_WAITING = 20_000
"""Pieces that may wait for one before them, since readings come in the order of the items."""
WORDS_FOR_KEY = 12
"""Tokens of `{"key": …, "item": ""}` around an item."""

Record = Mapping[str, Any]


class Recall(Protocol):
    """What was read before. Both may be called from any thread."""

    def find(self, keys: Sequence[str]) -> Mapping[str, Record]:
        """Records that were kept, by key; those that were not are left out."""

    def keep(self, found: Mapping[str, Record]) -> None:
        """Keep records for good."""


class NoRecall:
    """Nothing was read before, and nothing is kept."""

    def find(self, keys: Sequence[str]) -> Mapping[str, Record]:
        return {}

    def keep(self, found: Mapping[str, Record]) -> None: ...


@dataclass(frozen=True)
class Reader:
    """Who reads, and how much at a time. `ask` gives the reply to a system text and a message.

    `ask` raises ModelUnavailable, BudgetExceeded, Cancelled or OutOfTime. `stopped` says why nothing more is to be
    asked, or None.
    """

    ask: Callable[[str, str], str]
    model: str
    recall: Recall
    leaf_tokens: int = 4_000
    leaf_items: int = 100
    parallel: int = 8
    count: Count = count_tokens
    stopped: Callable[[], str | None] = lambda: None


@dataclass(frozen=True)
class Question:
    """What every leaf is asked. `single`: each item is a leaf of its own and its message, without more words.

    `plain`: the reply is the answer itself, not JSON. `prose` is the field that takes a reply which is no JSON the
    second time either: a reader who can't write JSON may have read well.
    """

    system: str
    check: Check
    single: bool = False
    plain: bool = False
    prose: str | None = None


@dataclass(frozen=True)
class Reading:
    """What became of an item, or of one slice of an item that is longer than a leaf: a record, or why there is none."""

    item: int
    slice: tuple[int, int] | None
    record: Record | None
    error: str | None = None
    again: bool = False
    """Whether it was read before, and not asked for now."""


@dataclass
class Piece:
    """An item, or a slice of it, on its way. `key` is what its record is kept under."""

    item: int
    slice: tuple[int, int] | None
    text: str
    key: str
    reading: Reading | None = None

    def ends(self, record: Record | None, error: str | None = None, again: bool = False) -> None:
        self.reading = Reading(self.item, self.slice, record, error, again)
        self.text = ""


def read_items(reader: Reader, question: Question, items: Iterable[str]) -> Iterator[Reading]:
    """The readings of all items, in their order, as they come; an item that can't be read costs no other one."""
    flow = Flow(reader, question)
    try:
        pieces = pieces_of(reader, question, items)
        while some := list(islice(pieces, LOOKED_UP)):
            yield from flow.take(some)
        yield from flow.finish()
    finally:
        flow.close()


def pieces_of(reader: Reader, question: Question, items: Iterable[str]) -> Iterator[Piece]:
    base = sha256(f"{reader.model}\0{question.system}\0".encode("utf-8", "surrogatepass"))
    room = max(1, reader.leaf_tokens - WORDS_FOR_KEY)
    for number, item in enumerate(items):
        slices = [item] if question.single or reader.count(item) <= room else list(cut(item, room, reader.count))
        for place, text in enumerate(slices or [""], 1):
            key = base.copy()
            key.update(text.encode("utf-8", "surrogatepass"))
            yield Piece(number, (place, len(slices)) if len(slices) > 1 else None, text, key.hexdigest())


class Flow:
    """Pieces on their way through a pool of readers: looked up, packed into leaves, read, and given back in order."""

    def __init__(self, reader: Reader, question: Question) -> None:
        self._reader, self._question = reader, question
        self._pool = ThreadPoolExecutor(reader.parallel, "reader")
        self._running: set[Future[None]] = set()
        self._waiting: deque[Piece] = deque()
        self._unpacked: list[Piece] = []
        self._halted: str | None = None

    def take(self, pieces: Sequence[Piece]) -> Iterator[Reading]:
        """Start on these; yields what is ready."""
        known = self._reader.recall.find([piece.key for piece in pieces])
        for piece in pieces:
            self._waiting.append(piece)
            if (record := known.get(piece.key)) is not None:
                piece.ends(record, again=True)
            else:
                self._unpacked.append(piece)
        leaves = self._leaves()
        self._unpacked = leaves.pop() if leaves and len(self._waiting) <= MOST_WAITING else []
        for leaf in leaves:
            yield from self._start(leaf)

    def finish(self) -> Iterator[Reading]:
        for leaf in self._leaves():
            yield from self._start(leaf)
        while self._running:
            yield from self._await_one()
        yield from self._ready()

    def close(self) -> None:
        """Nothing more is begun; what is being asked ends by itself."""
        self._halted = self._halted or "the map was ended"
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _leaves(self) -> list[list[Piece]]:
        many = 1 if self._question.single else self._reader.leaf_items
        return list(pack(self._unpacked, self._size, self._reader.leaf_tokens, many))

    def _size(self, piece: Piece) -> int:
        return self._reader.count(piece.text) + WORDS_FOR_KEY

    def _start(self, leaf: list[Piece]) -> Iterator[Reading]:
        if self._halted:
            self._fail(leaf, self._halted)
            yield from self._ready()
            return
        task = contextvars.copy_context()
        self._running.add(self._pool.submit(task.run, self._read, leaf))
        while self._running and (self._crowded() or len(self._waiting) > MOST_WAITING):
            yield from self._await_one()

    def _crowded(self) -> bool:
        return len(self._running) >= 2 * self._reader.parallel

    def _await_one(self) -> Iterator[Reading]:
        done, self._running = wait(self._running, LOOK_SECONDS, FIRST_COMPLETED)
        for future in done:
            future.result()
        if (reason := self._reader.stopped()) and not done:
            self._give_up(reason)
        yield from self._ready()

    def _give_up(self, reason: str) -> None:
        """What is being asked may take minutes yet: it is not waited for."""
        self._halted = reason
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._running = set()
        for piece in self._waiting:
            if piece.reading is None:
                piece.ends(None, reason)

    def _ready(self) -> Iterator[Reading]:
        while self._waiting and (reading := self._waiting[0].reading) is not None:
            self._waiting.popleft()
            yield reading

    def _read(self, leaf: list[Piece]) -> None:
        """Ask about a leaf, about what did not fit once more, and write down what became of each piece."""
        if reason := self._halted or self._reader.stopped():
            return self._fail(leaf, reason)
        try:
            wrong = self._ask(leaf, {})
            for some in halves(list(wrong.items())):
                again = [leaf[number - 1] for number, _ in some]
                still = self._ask(again, {place: why for place, (_, why) in enumerate(some, 1)})
                for place, why in still.items():
                    again[place - 1].ends(None, f"the reader's answer did not fit: {why}")
        except (BudgetExceeded, Cancelled, OutOfTime) as error:
            self._halted = str(error)
            self._fail(leaf, str(error))
        except ModelUnavailable as error:
            self._fail(leaf, str(error))
        return None

    def _ask(self, leaf: Sequence[Piece], wrong: Mapping[int, str]) -> dict[int, str]:
        """Settle what fits; what does not, by its number in the leaf, with the reason."""
        question = self._question
        reply = self._reader.ask(question.system, worded(leaf, wrong, question.single))
        records = {1: record_of(reply, question.plain)} if question.single else records_of(reply)
        if wrong and question.prose and records.get(1) is None and reply.strip():
            records = {1: {question.prose: reply.strip()}}
        refused: dict[int, str] = {}
        fitting: dict[str, Record] = {}
        for number, piece in enumerate(leaf, 1):
            record = records.get(number)
            if record is None:
                refused[number] = "there is none"
            elif (reason := question.check(record)) is not None:
                refused[number] = reason
            else:
                fitting[piece.key] = record
                piece.ends(record)
        self._reader.recall.keep(fitting)
        return refused

    def _fail(self, leaf: Iterable[Piece], reason: str) -> None:
        for piece in leaf:
            if piece.reading is None:
                piece.ends(None, reason)


def halves(some: Sequence[Any]) -> list[Sequence[Any]]:
    """Two, so that what was cut off for its length fits the second time."""
    middle = -(-len(some) // 2)
    return [half for half in (some[:middle], some[middle:]) if half]


def worded(leaf: Sequence[Piece], wrong: Mapping[int, str], single: bool) -> str:
    """A leaf's message: an item a line, as JSON with its number; what was wrong with the last answer comes after."""
    lines = (
        [piece.text for piece in leaf]
        if single
        else [json.dumps({"key": n, "item": piece.text}, ensure_ascii=False) for n, piece in enumerate(leaf, 1)]
    )
    if wrong:
        told = "; ".join(reason if single else f"{number}: {reason}" for number, reason in wrong.items())
        lines.append(f"\nYour last answer did not fit. {told[:2_000]}")
    return "\n".join(lines)
