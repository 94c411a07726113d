"""What the analyst carries of a thread: what the user laid down, what was tried and what came of it, what is open.

What the machine knows is kept by rules, turn by turn. When turns leave the window, a model adds what their words laid
down; until then the analyst sees them as they were said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.messages import AnyMessage

from graph.types import Capsule, Delegation
from graph.window import length, open_turns

ENTRY_CHARS = 400
RULE_SHARE = 4
"""What the user laid down may take one part in so many of the window."""
SENTENCE = re.compile(r"[^.!?\n]*(?:[.!?](?=\S)[^.!?\n]*)*[.!?]?")
RULE = re.compile(
    r"\b(always|never|from now on|henceforth|remember|keep in mind|note that|must|should|don't|do not|"
    r"only (?:use|count|include|report|show)|exclude|ignore|leave out|call (?:me|it|them)|my name is|i am|i'm|"
    r"means?|mean by|is defined as|are defined as|define[sd]?|counts? as|stands? for|refers? to|"
    r"(?:starts|begins|ends) (?:in|on|at|with)|unless|assume|treat|prefer|in (?:eur|usd|euros?|dollars|thousands|"
    r"millions|percent|kg|km|hours|days)|round(?:ed)?|units?|currency|immer|nie|niemals|ab jetzt|merke?|bedeutet|"
    r"heißt|gilt|ohne|nur)\b",
    re.IGNORECASE,
)
ASKS = re.compile(r"\?\s*$")


@dataclass(frozen=True)
class Told:
    """What a turn that ended leaves: the question, the answer, and what a forced end left undone."""

    question: str
    answer: str
    missing: str | None = None


def fold(capsule: Capsule, told: Told, delegations: Iterable[Delegation], most: int, window: int) -> Capsule:
    """The capsule after a turn. Lists keep their newest `most` entries, what the user laid down is kept whole."""
    done = sorted(delegations, key=lambda delegation: delegation.iteration)
    found = [f"Asked: {entry(told.question, 150)} Answered: {entry(told.answer, 240)}"] if told.answer.strip() else []
    running = [f"run {d.run_id} of {d.artifact_id} is still running" for d in done if d.running]
    undone = (
        [f"Asked, and not finished ({entry(told.missing, 150)}): {entry(told.question, 200)}"] if told.missing else []
    )
    return replace(
        capsule,
        intent=entry(told.question),
        constraints=keep_rules([*capsule.constraints, *find_rules(told.question)], window // RULE_SHARE),
        tried=newest([*capsule.tried, *(describe(d) for d in done if not d.running)], most),
        findings=newest([*capsule.findings, *([] if told.missing else found)], most),
        open_questions=newest([*still_open(capsule, told), *running, *undone], most),
        artifact_ids=newest([*capsule.artifact_ids, *(d.artifact_id for d in done)], most),
    )


def describe(delegation: Delegation) -> str:
    """What was tried and what came of it."""
    d = delegation
    outcome = "came to" if d.succeeded else "failed" if d.run_id else "was refused"
    task = f" ({entry(d.instruction, 120)})" if d.instruction else ""
    return f"{d.artifact_id}{task} {outcome}: {entry(d.summary, 260) or 'nothing was printed'}"


def still_open(capsule: Capsule, told: Told) -> list[str]:
    """What earlier turns left undone, without runs, which are looked at anew, and without what was asked again."""
    again = entry(told.question, 200)
    return [one for one in capsule.open_questions if one.startswith("Asked") and not one.endswith(again)]


def find_rules(question: str) -> list[str]:
    """The sentences of a question that lay something down for later: rules, definitions, units, names."""
    sentences = (match.strip() for match in SENTENCE.findall(question))
    return [sentence for sentence in sentences if RULE.search(sentence) and not ASKS.search(sentence)]


def keep_rules(rules: Sequence[str], chars: int) -> tuple[str, ...]:
    """Each once and whole, in order; where they are too many characters, the oldest go."""
    return newest_within(list(dict.fromkeys(rules)), chars)


def fit_capsule(capsule: Capsule, chars: int) -> Capsule:
    """The capsule in at most so many characters: what the user laid down first, then the newest of each list."""
    rules = keep_rules(capsule.constraints, chars)
    left = chars - sum(map(len, rules))
    kept: dict[str, tuple[str, ...]] = {"constraints": rules}
    for name in ("open_questions", "findings", "tried", "artifact_ids"):
        kept[name] = newest_within(getattr(capsule, name), left)
        left -= sum(map(len, kept[name]))
    return replace(capsule, intent=entry(capsule.intent, max(chars // 4, 80)), **kept)  # type: ignore[arg-type]


def newest_within(entries: Sequence[str], chars: int) -> tuple[str, ...]:
    kept: list[str] = []
    for one in reversed(entries):
        chars -= len(one)
        if chars < 0:
            break
        kept.append(one)
    return tuple(reversed(kept))


def leaving(capsule: Capsule, messages: Sequence[AnyMessage], window: int) -> tuple[list[list[AnyMessage]], int]:
    """The turns that no longer fit the window and that no model has folded yet, and how many have left in all."""
    turns = open_turns(messages)
    left, shown = len(turns) - 1, length(turns[-1]) if turns else 0
    while left > 0 and shown + length(turns[left - 1]) <= window:
        left -= 1
        shown += length(turns[left])
    return turns[capsule.folded : left], max(left, capsule.folded)


def take_in(capsule: Capsule, reply: str, most: int, window: int) -> Capsule:
    """The capsule with what a model read in turns that leave; a reply that is no such JSON object changes nothing."""
    said = read_object(reply)
    return replace(
        capsule,
        constraints=keep_rules([*texts(said.get("constraints")), *capsule.constraints], window // RULE_SHARE),
        findings=newest([*texts(said.get("findings")), *capsule.findings], most),
        open_questions=newest([*texts(said.get("open_questions")), *capsule.open_questions], most),
    )


def read_object(reply: str) -> dict[str, Any]:
    begin, end = reply.find("{"), reply.rfind("}")
    try:
        value = json.loads(reply[begin : end + 1]) if 0 <= begin < end else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def texts(value: Any) -> list[str]:
    return [one.strip() for one in value if isinstance(one, str) and one.strip()] if isinstance(value, list) else []


def entry(text: str, most: int = ENTRY_CHARS) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= most else f"{flat[: most - 1]}…"


def newest(entries: Sequence[str], most: int) -> tuple[str, ...]:
    unique = dict.fromkeys(entry(text) for text in reversed(entries))
    return tuple(reversed(list(unique)[:most]))
