"""Lines of a help desk: who asked what. What a question asks for has to be understood: no word of it says so."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from benchmarks.longcontext.bank import Bank
from benchmarks.longcontext.corpus import CHARS_PER_TOKEN, Line, Record, filled

QUESTIONS = Bank(
    {
        "person": (
            "Who built the first {thing} in {city}?",
            "Which painter left the portrait of a {animal} to the museum of {city}?",
            "By whom was the {thing} of {city} paid for?",
            "Whose name is on the old {thing} near {city}?",
            "The mayor who had the {thing} moved to {city}, what was she called?",
            "Name the captain that took {goods} to {city}.",
        ),
        "place": (
            "Where did {person} learn to repair a {thing}?",
            "In which town does the {animal} spend the winter?",
            "What country is the home of {person}?",
            "From where were the {goods} in the cellar of {person} shipped?",
            "On what island does {person} keep the {thing}?",
            "Under which bridge was the {animal} of {person} found?",
        ),
        "number": (
            "How many {goods} boats reach {city} on a {weekday}?",
            "How tall is the {thing} of {city}?",
            "What does a crate of {goods} cost in {city}?",
            "At what speed does a {animal} cross the square of {city}?",
            "How far is it from {city} to the house of {person}?",
            "What share of {city} has ever seen a {animal}?",
        ),
        "date": (
            "When was {person} born?",
            "In what year did the {thing} of {city} burn down?",
            "Since when has {person} sold {goods}?",
            "On which weekday does the market of {city} take in {goods}?",
            "What month did {person} come back from {city}?",
            "How long ago did the last {animal} leave {city}?",
        ),
        "reason": (
            "Why did {person} give up the {thing}?",
            "What made {city} forbid {goods}?",
            "For what cause is the {animal} feared by {person}?",
            "How come the {thing} in {city} never stops?",
            "What drove {person} out of {city}?",
            "What is it about {goods} that keeps a {animal} away?",
        ),
        "method": (
            "How do I clean a {thing} with {goods}?",
            "What is the best way to carry a {animal} to {city}?",
            "By what steps is {goods} packed into a {thing}?",
            "Can you tell me what I must do to repair the {thing} of {person}?",
            "How does one teach a {animal} to fetch {goods}?",
            "What should I do first when the {thing} catches fire?",
        ),
    }
)
"""Several kinds begin with the same words, so that the beginning does not tell."""
KINDS = QUESTIONS.kinds

ABOUT_KINDS = f"""\
Each line is: user | day | what that user asked. Say what the question asks for: person (who or whose), place, number \
(an amount, a size, a price, a share), date (a point or a stretch of time), reason, or method (how something is done). \
One of: {", ".join(KINDS)}."""
KIND_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"kind": {"type": "string", "enum": list(KINDS)}},
    "required": ["kind"],
}


def asked(tokens: int, random: Random, users: int, common: list[int]) -> Iterator[Line]:
    """Lines by `users` people. Each asks for some kinds more often than `common`, for others less, by the seed."""
    weights = [[weight * random.randint(1, 6) for weight in common] for _ in range(users)]
    return filled(tokens, random, questions(random, weights))


def questions(random: Random, weights: list[list[int]]) -> Iterator[Line]:
    while True:
        number = random.randrange(len(weights))
        (kind,) = random.choices(KINDS, weights[number])
        user, day = f"user {number:05}", f"2026-{random.randint(1, 12):02}-{random.randint(1, 28):02}"
        yield Line(f"{user} | {day} | {QUESTIONS.sentence(kind, random)}", {"user": user, "kind": kind})


def understand(text: str) -> Record:
    user, _, rest = text.partition(" | ")
    meaning = QUESTIONS.understand(rest.partition(" | ")[2])
    return {"user": user, "kind": meaning.kind if meaning else None}


def misread(record: Record, random: Random) -> Record:
    """Taken for another kind."""
    return {**record, "kind": random.choice([kind for kind in KINDS if kind != record["kind"]])}


def users_for(tokens: int) -> int:
    """As many that each asks a few times."""
    return max(8, tokens * CHARS_PER_TOKEN // 1000)
