"""A question's words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import product

SYNONYMS = {"hospital": "silo", "supplier": "vendor", "spend": "amount", "spent": "amount", "spending": "amount"}
QUOTED = re.compile(r"(?<!\w)([\"'`‘“])(.{2,80}?)(?:\1|[’”])")
FILLER = set(
    """a all an and any appear are as at be been by count did different distinct do does each every exist few find first
    for from get give had has have how i in is it list look like many me more most much my no number of often on or our
    over per please rows show some tell than that the their there these they this three to top two unique us was we were
    what which who whose why with within without across data database dataset file table""".split()  # noqa: SIM905
)


def quotes(text: str) -> list[str]:
    return [found.group(2) for found in QUOTED.finditer(text)]


def words(text: str) -> list[str]:
    """Each word in singular, by the catalog's name for it."""
    stems = [re.sub(r"ies$", "y", word) for word in re.findall(r"[^\W_]+", text.lower())]
    stems = [re.sub(r"(?<=..[^sui])s$", "", stem) for stem in stems]
    return [SYNONYMS.get(stem, stem) for stem in stems]


def tokens(name: str) -> list[str]:
    return words(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))


def likeness(asked: Iterable[str], parts: Iterable[str]) -> float:
    """1 when a word is one of the parts, less when one begins the other, else 0."""
    pairs = [sorted(pair, key=len) for pair in product(asked, parts)]
    loose = any(len(short) > 3 and long.startswith(short) and len(long) - len(short) <= 5 for short, long in pairs)
    return 1.0 if any(short == long for short, long in pairs) else 0.5 * loose
