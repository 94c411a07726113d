"""How many lines are of each kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from random import Random

from benchmarks.longcontext.corpus import Line, Record, Task
from benchmarks.longcontext.scores import placed
from benchmarks.longcontext.tasks.asked import ABOUT_KINDS, KIND_SCHEMA, KINDS, asked, misread, understand, users_for


def lines(tokens: int, random: Random) -> Iterator[Line]:
    return asked(tokens, random, users_for(tokens), [random.randint(1, 4) for _ in KINDS])


def solve(records: Iterable[Record]) -> dict[str, int]:
    counts = Counter(record["kind"] for record in records)
    return {kind: counts[kind] for kind in KINDS}


CODE = f"""\
read = llm_map(
    context.chunks(lines=1),
    {ABOUT_KINDS!r},
    schema={KIND_SCHEMA!r},
)
counts = read["kind"].value_counts()
answer({{kind: int(counts.get(kind, 0)) for kind in {KINDS!r}}})
print(len(read), "questions were read")"""

COUNTING = Task(
    name="counting",
    question=f"How many questions of each kind were asked? {ABOUT_KINDS}",
    instruction=ABOUT_KINDS,
    schema=KIND_SCHEMA,
    form="an object with the number of questions by kind, and all kinds in it",
    code=CODE,
    lines=lines,
    understand=understand,
    misread=misread,
    solve=solve,
    score=placed,
)
