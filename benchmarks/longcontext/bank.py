"""Sentences by what they mean: made from templates, and understood by whoever knows the templates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from benchmarks.longcontext.words import WORDS

SLOT = re.compile(r"\{(\w+)\}")
NUMBERS = {"n": (2, 900), "code": (10_000, 99_999), "day": (1, 28)}
"""Slots that hold a number, and between which."""


@dataclass(frozen=True)
class Meaning:
    """What a sentence says: its kind, and what stands in the template's slots."""

    kind: str
    slots: Mapping[str, str]


class Bank:
    """Templates by kind, such as `{"place": ("Where was {person} born?",)}`; slots are filled with words of their name.

    No two templates fit one sentence, so that what is understood is what was meant (tests hold that).
    """

    def __init__(self, templates: Mapping[str, Sequence[str]]) -> None:
        self.kinds = tuple(templates)
        self._templates = {kind: tuple(found) for kind, found in templates.items()}
        numbered = [(kind, template) for kind, found in templates.items() for template in found]
        self._by_number = [(kind, re.compile(pattern(template, named=True))) for kind, template in numbered]
        each = (f"(?P<t{number}>{pattern(template)})" for number, (_, template) in enumerate(numbered))
        self._any = re.compile("|".join(each))

    def sentence(self, kind: str, random: Random, **given: str) -> str:
        """A sentence of this kind. `given` fills slots; the others are filled by chance."""
        template = random.choice(self._templates[kind])
        return SLOT.sub(lambda slot: given.get(slot[1]) or word(slot[1], random), template)

    def understand(self, sentence: str) -> Meaning | None:
        """None for what no template says."""
        found = self._any.fullmatch(sentence)
        if found is None or found.lastgroup is None:
            return None
        kind, exact = self._by_number[int(found.lastgroup[1:])]
        slots = exact.fullmatch(sentence)
        return Meaning(kind, slots.groupdict() if slots else {})

    def meanings(self, sentence: str) -> list[str]:
        """The kinds of all templates that fit."""
        return [kind for kind, exact in self._by_number if exact.fullmatch(sentence)]


def pattern(template: str, named: bool = False) -> str:
    parts = SLOT.split(template)
    texts, slots = parts[::2], parts[1::2]
    made = re.escape(texts[0])
    for slot, text in zip(slots, texts[1:], strict=True):
        body = r"\d+" if slot in NUMBERS else r"[^|]+?"
        made += (f"(?P<{slot}>{body})" if named else f"(?:{body})") + re.escape(text)
    return made


def word(slot: str, random: Random) -> str:
    if slot in NUMBERS:
        return str(random.randint(*NUMBERS[slot]))
    return random.choice(WORDS[slot])
