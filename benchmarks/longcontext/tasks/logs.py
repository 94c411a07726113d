"""Logs of a machine that people try to break into, and of one that computes: what happened how often, and by whom.

The lines are made by templates of our own in the form of such logs. A log of yours, in the form of OpenSSH's or of a
Spark executor's, can stand in their place (`read_from`); it is repeated to any size.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count, cycle
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.longcontext.corpus import Line, Record, Task, filled
from benchmarks.longcontext.scores import placed
from benchmarks.longcontext.words import words

EVENTS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("refused", re.compile(r"message repeated (?P<times>\d+) times: \[ Failed password .* from (?P<source>\S+) port")),
    ("refused", re.compile(r"Failed password .* from (?P<source>\S+) port")),
    ("accepted", re.compile(r"Accepted (?:password|publickey) .* from (?P<source>\S+) port")),
    ("warning", re.compile(r"\[(?P<source>[\d.]+)\] failed - POSSIBLE BREAK-IN ATTEMPT")),
    ("broken", re.compile(r" ERROR .*(?:Exception|exit(?:ed)? with|failed)")),
    ("finished", re.compile(r" Executor: Finished task|\.Executor: Finished task")),
    ("computed", re.compile(r"Partition rdd_\d+_\d+ not found, computing it")),
)
KINDS = (*dict.fromkeys(kind for kind, _ in EVENTS), "other")
ABOUT = f"""\
Each line is of a log. kind is refused (a wrong password was turned away), accepted (somebody got in), warning (a \
possible break-in is reported), broken (something ended with an error), finished (a task came to its end), computed (a \
partition had to be computed, since it was not there), or other. One of: {", ".join(KINDS)}. times is how often it \
happened: 1, or the number of repetitions if the line tells of several. source is the address it came from, for \
refused ones alone, else null."""
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "kind": {"type": "string", "enum": list(KINDS)},
        "times": {"type": "integer"},
        "source": {"type": ["string", "null"]},
    },
    "required": ["kind", "times", "source"],
}
TOP = 5

SSH = (
    "Failed password for {name} from {address} port {port} ssh2",
    "Failed password for invalid user {name} from {address} port {port} ssh2",
    "message repeated {times} times: [ Failed password for {name} from {address} port {port} ssh2]",
    "Accepted password for {name} from {address} port {port} ssh2",
    "reverse mapping checking getaddrinfo for {name}.net [{address}] failed - POSSIBLE BREAK-IN ATTEMPT!",
    "Received disconnect from {address}: 11: Bye Bye [preauth]",
    "Invalid user {name} from {address}",
    "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={address}",
)
SPARK = (
    "INFO executor.Executor: Running task {times}.0 in stage 3.0 (TID {port})",
    "INFO executor.Executor: Finished task {times}.0 in stage 3.0 (TID {port}). 2128 bytes result sent to driver",
    "INFO storage.BlockManager: Found block rdd_{times}_4 locally",
    "INFO spark.CacheManager: Partition rdd_{times}_4 not found, computing it",
    "ERROR executor.Executor: Exception in task {times}.0 in stage 3.0 (TID {port})",
    "ERROR python.PythonRunner: Python worker exited with code {times}",
)
NAMES = words("root admin test oracle git pi ubuntu guest www backup support postgres")


def lines(tokens: int, random: Random) -> Iterator[Line]:
    addresses = [".".join(str(random.randint(1, 254)) for _ in range(4)) for _ in range(40)]
    weights = [1 / rank for rank in range(1, len(addresses) + 1)]
    return filled(tokens, random, logged(random, addresses, weights))


def logged(random: Random, addresses: list[str], weights: list[float]) -> Iterator[Line]:
    for seconds in count(random.randrange(86_400)):
        clock = f"{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        (address,) = random.choices(addresses, weights)
        slots = {"name": random.choice(NAMES), "address": address, "port": random.randint(1024, 65535)}
        slots["times"] = random.randint(2, 9)
        if random.random() < 0.6:
            text = f"Dec 10 {clock} host7 sshd[{random.randint(2000, 29999)}]: {random.choice(SSH).format(**slots)}"
        else:
            text = f"17/06/09 {clock} {random.choice(SPARK).format(**slots)}"
        yield Line(text, understand(text))


def read_from(paths: Iterable[Path]) -> Task:
    """The same questions about these logs, repeated to any size. Raises ValueError for logs without a line."""
    texts = [line for path in paths for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line]
    if not texts:
        raise ValueError("the log has no lines")
    records = [Line(text, understand(text)) for text in texts]
    return replace(LOGS, name="real logs", lines=lambda tokens, random: filled(tokens, random, cycle(records)))


def understand(text: str) -> Record:
    for kind, event in EVENTS:
        if found := event.search(text):
            slots = found.groupdict()
            source = slots.get("source") if kind == "refused" else None
            return {"kind": kind, "times": int(slots.get("times") or 1), "source": source}
    return {"kind": "other", "times": 1, "source": None}


def misread(record: Record, random: Random) -> Record:
    """Taken for something else."""
    return {"kind": "other" if record["kind"] != "other" else "finished", "times": 1, "source": None}


def solve(records: Iterable[Record]) -> dict[str, int]:
    """How often each kind happened, and how many were refused from each of the busiest addresses."""
    kinds: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    for record in records:
        kinds[record["kind"]] += record["times"]
        if record["kind"] == "refused":
            sources[record["source"]] += record["times"]
    busiest = sorted(sources.items(), key=lambda item: (-item[1], item[0]))[:TOP]
    return {kind: kinds[kind] for kind in KINDS if kinds[kind]} | {f"from {ip}": times for ip, times in busiest}


CODE = f"""\
read = llm_map(
    context.chunks(lines=1),
    {ABOUT!r},
    schema={SCHEMA!r},
)
kinds = read.groupby("kind")["times"].sum()
sources = read[read["kind"] == "refused"].groupby("source")["times"].sum()
busiest = sorted(sources.items(), key=lambda item: (-item[1], item[0]))[:{TOP}]
answer({{kind: int(n) for kind, n in kinds.items()}} | {{f"from {{ip}}": int(n) for ip, n in busiest}})
print(len(read), "lines were read")"""

LOGS = Task(
    name="logs",
    question=f"""\
How often did each kind of thing happen, and from which {TOP} addresses were most passwords refused, and how many \
from each? {ABOUT}""",
    instruction=ABOUT,
    schema=SCHEMA,
    form=f'an object with a number by kind, for those that happened, and by "from ADDRESS" for the {TOP} addresses',
    code=CODE,
    lines=lines,
    understand=understand,
    misread=misread,
    solve=solve,
    score=placed,
)
