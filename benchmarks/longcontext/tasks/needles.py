"""One fact in a text of any length, found by a search and a question; and many facts, told in many ways."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random
from typing import Any

from benchmarks.longcontext.bank import Bank
from benchmarks.longcontext.corpus import Line, Record, Task, filled
from benchmarks.longcontext.scores import found, same
from benchmarks.longcontext.words import CITIES

NOTES = Bank(
    {
        "code": (
            "To open the depot of {city} you key in {code}.",
            "{code} lets you into the depot of {city}.",
            "In {city} the depot's lock answers to {code} and to nothing else.",
            "Whoever has to get into the depot at {city} needs {code}.",
            "The keeper in {city} changed the depot's number, it is {code} from now on.",
            "{city}, depot, side door: {code}.",
        ),
        "outdated": (
            "The depot of {city} could once be opened with {code}, which has not worked for years.",
            "Someone wrote {code} on the wall of the depot of {city}; it is wrong.",
            "{code} is what the depot of {city} cost, in crowns.",
            "Before the fire {code} was the number of the depot at {city}.",
        ),
        "chatter": (
            "The ferry to {city} was late again, {person} says.",
            "{person} keeps a {animal} behind the station of {city}.",
            "They sell {goods} on the market of {city} every {weekday}.",
            "A {thing} was left in the depot's yard on {weekday}, said {person}.",
            "Nobody in {city} remembers who bought the {thing}.",
            "{n} crates of {goods} went to {city} in {month}.",
            "The {animal} has come back to {city}, and so has {person}.",
            "It rained in {city} from {month} on.",
        ),
    }
)
OUTDATED = 3
"""For each fact, lines that look like it."""
MOST_NEEDLES = len(CITIES)

ABOUT = """\
Each line is a note. If the note tells the number that opens a city's depot today, give that city and the number. \
Numbers that no longer open it, or never did, do not count, nor do numbers of other things: then city and number are \
null."""
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": ["string", "null"]}, "number": {"type": ["string", "null"]}},
    "required": ["city", "number"],
}
NOTHING: Record = {"city": None, "number": None}


def lines_with(facts: int, tokens: int, random: Random) -> Iterator[Line]:
    """The first city is the one that is asked about when one is."""
    cities = ["Lisbon", *random.sample([city for city in CITIES if city != "Lisbon"], facts - 1)]
    scattered = [fact(city, random) for city in cities]
    scattered += [note("outdated", random, city) for city in cities for _ in range(OUTDATED)]
    random.shuffle(scattered)
    return filled(tokens, random, chatter(random), scattered)


def fact(city: str, random: Random) -> Line:
    code = str(random.randint(10_000, 99_999))
    return Line(NOTES.sentence("code", random, city=city, code=code), {"city": city, "number": code})


def note(kind: str, random: Random, city: str) -> Line:
    return Line(NOTES.sentence(kind, random, city=city), NOTHING)


def chatter(random: Random) -> Iterator[Line]:
    """Seldom of Lisbon, so that a search for it leaves little to read at any size."""
    seldom = [city for city in CITIES if city != "Lisbon"]
    while True:
        yield note("chatter", random, random.choice(seldom))


def understand(text: str) -> Record:
    meaning = NOTES.understand(text)
    if meaning is None or meaning.kind != "code":
        return NOTHING
    return {"city": meaning.slots["city"], "number": meaning.slots["code"]}


def misread(record: Record, random: Random) -> Record:
    """Passed over; what is not there is not made up."""
    return NOTHING


def solve_one(records: Iterable[Record]) -> str | None:
    return next((number for city, number in solve_many(records) if city == "Lisbon"), None)


def solve_many(records: Iterable[Record]) -> list[list[str]]:
    return sorted([record["city"], record["number"]] for record in records if record["city"])


def lines_with_one(tokens: int, random: Random) -> Iterator[Line]:
    return lines_with(min(8, max(1, tokens // 1000)), tokens, random)


def lines_with_many(tokens: int, random: Random) -> Iterator[Line]:
    return lines_with(min(MOST_NEEDLES, max(4, tokens // 1000)), tokens, random)


CODE_FOR_ONE = f"""\
hits = context.search("Lisbon")
notes = "\\n".join(hit if isinstance(hit, str) else hit[-1] for hit in hits)
read = llm_query(
    "Which number opens the depot of Lisbon today?\\n" + {ABOUT!r} + "\\n\\nNotes:\\n" + notes,
    schema={SCHEMA!r},
)
answer(read["number"])
print(len(hits), "notes name Lisbon")"""

CODE_FOR_MANY = f"""\
read = llm_map(
    context.chunks(lines=1),
    {ABOUT!r},
    schema={SCHEMA!r},
)
facts = read.dropna(subset=["city", "number"])
answer(sorted([city, number] for city, number in zip(facts["city"], facts["number"])))
print(len(facts), "of", len(read), "notes tell a number")"""

NEEDLE = Task(
    name="needle",
    question=f"Which number opens the depot of Lisbon today? {ABOUT}",
    instruction=ABOUT,
    schema=SCHEMA,
    form="the number as a text",
    code=CODE_FOR_ONE,
    lines=lines_with_one,
    understand=understand,
    misread=misread,
    solve=solve_one,
    score=same,
)
NEEDLES = Task(
    name="needles",
    question=f"Which numbers open the depots of which cities today? {ABOUT}",
    instruction=ABOUT,
    schema=SCHEMA,
    form='a sorted list of pairs such as ["Oslo", "12345"], both texts',
    code=CODE_FOR_MANY,
    lines=lines_with_many,
    understand=understand,
    misread=misread,
    solve=solve_many,
    score=found,
)
