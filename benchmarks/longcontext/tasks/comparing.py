"""Of which kind there is more, for each city: a comparison over lines that don't say what they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from random import Random
from typing import Any

from benchmarks.longcontext.bank import Bank
from benchmarks.longcontext.corpus import Line, Record, Task, filled
from benchmarks.longcontext.scores import agreed
from benchmarks.longcontext.words import CITIES

REMARKS = Bank(
    {
        "complaint": (
            "It took {n} days, and then half of the {goods} lay broken in the box.",
            "Nobody picked up the telephone, and on {weekday} the counter was shut.",
            "The {thing} I was sent rattles like an old cart.",
            "I had to carry the {goods} back to {city} myself.",
            "For that price I had hoped for more than a bent {thing}.",
            "The third letter, and still no {goods}.",
        ),
        "praise": (
            "It took {n} days less than they had said, and all the {goods} came whole.",
            "Somebody picked up at once and knew what a {thing} is.",
            "The {thing} I was sent runs like new.",
            "They carried the {goods} up four flights and would not take a coin.",
            "For that price I had not hoped for such a {thing}.",
            "One letter, and the {goods} were here on {weekday}.",
        ),
        "wish": (
            "It would be good to have the {goods} brought before {weekday}.",
            "Somebody should put a {thing} beside the counter.",
            "The {thing} might come in green as well.",
            "Could the {goods} go by way of {city} next time?",
            "For a little more I would take two of each {thing}.",
            "A letter when the {goods} leave would help.",
        ),
        "notice": (
            "It takes {n} days from here to {city}, as everybody knows.",
            "The counter moves to the other side of the street on {weekday}.",
            "The {thing} is in the second room on the left.",
            "They keep {goods} in the cellar and wool above it.",
            "The price of a {thing} is on the list at the door.",
            "Letters about {goods} go to {person}.",
        ),
    }
)
MOST_CITIES = 24
ABOUT = f"""\
Each line is: city | day | a remark of a customer there. Say what the remark is: complaint (the customer is unhappy \
with what happened), praise (happy with it), wish (asks for something in future), or notice (tells a fact, without any \
feeling). One of: {", ".join(REMARKS.kinds)}."""
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"kind": {"type": "string", "enum": list(REMARKS.kinds)}},
    "required": ["kind"],
}


def lines(tokens: int, random: Random) -> Iterator[Line]:
    """Each city has a leaning of its own; without lines enough a city may be even."""
    weights = {city: [random.randint(2, 6) for _ in REMARKS.kinds] for city in random.sample(CITIES, MOST_CITIES)}
    return filled(tokens, random, remarks(random, weights))


def remarks(random: Random, weights: dict[str, list[int]]) -> Iterator[Line]:
    cities = list(weights)
    while True:
        city = random.choice(cities)
        (kind,) = random.choices(REMARKS.kinds, weights[city])
        day = f"2026-{random.randint(1, 12):02}-{random.randint(1, 28):02}"
        yield Line(f"{city} | {day} | {REMARKS.sentence(kind, random)}", {"city": city, "kind": kind})


def understand(text: str) -> Record:
    city, _, rest = text.partition(" | ")
    meaning = REMARKS.understand(rest.partition(" | ")[2])
    return {"city": city, "kind": meaning.kind if meaning else None}


def misread(record: Record, random: Random) -> Record:
    """Taken for another kind."""
    return {**record, "kind": random.choice([kind for kind in REMARKS.kinds if kind != record["kind"]])}


def solve(records: Iterable[Record]) -> dict[str, str]:
    more: Counter[str] = Counter()
    for record in records:
        more[record["city"]] += (record["kind"] == "complaint") - (record["kind"] == "praise")
    return {city: verdict(more[city]) for city in sorted(more)}


def verdict(more: int) -> str:
    return "complaint" if more > 0 else "praise" if more < 0 else "even"


CODE = f"""\
read = llm_map(
    context.chunks(lines=1),
    {ABOUT!r},
    schema={SCHEMA!r},
)
read["city"] = [line.partition(" | ")[0] for line in context]
read["more"] = (read["kind"] == "complaint").astype(int) - (read["kind"] == "praise").astype(int)
more = read.groupby("city")["more"].sum()
answer({{city: "complaint" if n > 0 else "praise" if n < 0 else "even" for city, n in sorted(more.items())}})
print(len(read), "remarks of", len(more), "cities were read")"""

COMPARING = Task(
    name="comparing",
    question=f"For each city, is there more complaint or more praise, or is it even? {ABOUT}",
    instruction=ABOUT,
    schema=SCHEMA,
    form='an object by city, each "complaint", "praise" or "even"',
    code=CODE,
    lines=lines,
    understand=understand,
    misread=misread,
    solve=solve,
    score=agreed,
)
