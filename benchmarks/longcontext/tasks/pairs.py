"""Which pairs of users have something in common: quadratic in users, so code makes the pairs from typed records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product
from random import Random

from benchmarks.longcontext.corpus import Line, Record, Task
from benchmarks.longcontext.scores import found
from benchmarks.longcontext.tasks.asked import ABOUT_KINDS, KIND_SCHEMA, KINDS, asked, misread, understand, users_for

MOST_USERS = 300
"""Pairs grow with its square: 22,500 at most."""


def lines(tokens: int, random: Random) -> Iterator[Line]:
    return asked(tokens, random, min(users_for(tokens), MOST_USERS), [1] * len(KINDS))


def solve(records: Iterable[Record]) -> list[list[str]]:
    """Each of those who asked for reasons more often than for methods, with each of whom the opposite is true."""
    more: Counter[str] = Counter()
    for record in records:
        more[record["user"]] += (record["kind"] == "reason") - (record["kind"] == "method")
    reasons = sorted(user for user, count in more.items() if count > 0)
    methods = sorted(user for user, count in more.items() if count < 0)
    return [[a, b] for a, b in product(reasons, methods)]


CODE = f"""\
from itertools import product

read = llm_map(
    context.chunks(lines=1),
    {ABOUT_KINDS!r},
    schema={KIND_SCHEMA!r},
)
read["user"] = [line.partition(" | ")[0] for line in context]
read["more"] = (read["kind"] == "reason").astype(int) - (read["kind"] == "method").astype(int)
more = read.groupby("user")["more"].sum()
reasons, methods = sorted(more[more > 0].index), sorted(more[more < 0].index)
answer([[a, b] for a, b in product(reasons, methods)])
print(len(reasons), "users ask for reasons rather,", len(methods), "for methods")"""

PAIRS = Task(
    name="pairs",
    question=f"""\
List all pairs of users in which the first asked for reasons more often than for methods, and the second for methods \
more often than for reasons. {ABOUT_KINDS}""",
    instruction=ABOUT_KINDS,
    schema=KIND_SCHEMA,
    form='a list of pairs such as ["user 00007", "user 00001"], whole and sorted',
    code=CODE,
    lines=lines,
    understand=understand,
    misread=misread,
    solve=solve,
    score=found,
)
