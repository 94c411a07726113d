"""Letters of two kinds that only make an answer together: who delivered how much, and where each of them sits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from random import Random
from typing import Any

from benchmarks.longcontext.bank import Bank
from benchmarks.longcontext.corpus import Line, Record, Task, filled
from benchmarks.longcontext.scores import placed
from benchmarks.longcontext.words import CITIES, SUPPLIERS

LETTERS = Bank(
    {
        "delivery": (
            "Dear {person}, on {weekday} we took in {n} pallets of {goods} from {supplier}; the driver would not wait.",
            "The ramp was free at last, so {supplier} could put down {n} pallets, {goods} mostly, and {person} signed.",
            "{person} counted twice: {n} pallets of {goods} came, as {supplier} had promised.",
            "From {supplier} there are {n} pallets in the shed since {weekday}, says {person}. The {goods} are dry.",
        ),
        "seat": (
            "Please write to {supplier} at their yard in {city} from {month} on, not to {person} any more.",
            "{person} has visited {supplier}; they sit in {city}, behind the station.",
            "{supplier} of {city} have a new telephone, which {person} has noted.",
            "I was in {city} on {weekday} and saw the house of {supplier}, an old {thing} factory.",
        ),
        "refused": (
            "Dear {person}, {n} pallets of {goods} by {supplier} went back on {weekday}: wet to the core.",
            "{supplier} wanted to bring {n} pallets of {goods} on {weekday}, but never came, {person} says.",
            "{person} would like {n} pallets of {goods} from {supplier} by {month}.",
        ),
        "chatter": (
            "Dear {person}, the {animal} is back in the yard and eats the {goods}.",
            "{person} asks whether the {thing} from {city} can be mended before {month}.",
            "There was no light in the shed on {weekday}; {person} has written to {city}.",
        ),
    }
)
OF_TEN = ("delivery",) * 6 + ("refused",) * 2 + ("chatter",) * 2
TOKENS_FOR_A_SUPPLIER = 2_000

ABOUT = """\
Each line is a letter. kind is delivery if pallets of a supplier came and stayed, seat if the letter tells in which \
city a supplier is, else other (pallets that were refused, never came or are only wished for are other, too). Give \
the supplier's name for a delivery and for a seat, the number of pallets for a delivery, and the city for a seat; \
what is not asked is null."""
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "kind": {"type": "string", "enum": ["delivery", "seat", "other"]},
        "supplier": {"type": ["string", "null"]},
        "pallets": {"type": ["integer", "null"]},
        "city": {"type": ["string", "null"]},
    },
    "required": ["kind", "supplier", "pallets", "city"],
}
OTHER: Record = {"kind": "other", "supplier": None, "pallets": None, "city": None}


def lines(tokens: int, random: Random) -> Iterator[Line]:
    """Every supplier's seat is told once, somewhere; deliveries are by any of them."""
    most = min(len(SUPPLIERS), max(6, tokens // TOKENS_FOR_A_SUPPLIER))
    suppliers = random.sample(SUPPLIERS, most)
    seats = [letter("seat", random, supplier) for supplier in suppliers]
    return filled(tokens, random, letters(random, suppliers), seats)


def letters(random: Random, suppliers: list[str]) -> Iterator[Line]:
    while True:
        yield letter(random.choice(OF_TEN), random, random.choice(suppliers))


def letter(kind: str, random: Random, supplier: str) -> Line:
    text = LETTERS.sentence(kind, random, supplier=supplier)
    return Line(text, understand(text))


def understand(text: str) -> Record:
    meaning = LETTERS.understand(text)
    if meaning is None or meaning.kind not in ("delivery", "seat"):
        return OTHER
    slots = meaning.slots
    if meaning.kind == "seat":
        return {"kind": "seat", "supplier": slots["supplier"], "pallets": None, "city": slots["city"]}
    return {"kind": "delivery", "supplier": slots["supplier"], "pallets": int(slots["n"]), "city": None}


def misread(record: Record, random: Random) -> Record:
    """A delivery is overlooked; a seat is taken for another city; of anything else too much is not made."""
    if record["kind"] == "seat":
        return {**record, "city": random.choice([city for city in CITIES if city != record["city"]])}
    return OTHER


def solve(records: Iterable[Record]) -> dict[str, int]:
    """Pallets by the city of who delivered them."""
    pallets: Counter[str] = Counter()
    seats: dict[str, str] = {}
    for record in records:
        if record["kind"] == "delivery":
            pallets[record["supplier"]] += record["pallets"]
        elif record["kind"] == "seat":
            seats.setdefault(record["supplier"], record["city"])
    by_city: Counter[str] = Counter()
    for supplier, count in pallets.items():
        by_city[seats.get(supplier, "unknown")] += count
    return dict(sorted(by_city.items()))


CODE = f"""\
read = llm_map(
    context.chunks(lines=1),
    {ABOUT!r},
    schema={SCHEMA!r},
)
seats = read[read["kind"] == "seat"].drop_duplicates("supplier").set_index("supplier")["city"]
came = read[read["kind"] == "delivery"].groupby("supplier")["pallets"].sum()
totals = came.groupby(came.index.map(seats).fillna("unknown")).sum()
answer({{city: int(pallets) for city, pallets in sorted(totals.items())}})
print(len(came), "suppliers delivered, and", len(seats), "have a seat that is told")"""

JOINS = Task(
    name="joins",
    question=f"How many pallets came from the suppliers of each city? {ABOUT}",
    instruction=ABOUT,
    schema=SCHEMA,
    form="an object with the number of pallets by city",
    code=CODE,
    lines=lines,
    understand=understand,
    misread=misread,
    solve=solve,
    score=placed,
)
