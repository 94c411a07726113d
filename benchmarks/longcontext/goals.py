"""What is to hold of the deterministic reader and the scripted analyst, and whether it did in what was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.longcontext.measure import AGENT, Measured

MOST_SHOWN = 12_000
LEAST_OF_IDEAL = 0.9
COUNTED = ("counting",)
"""Tasks whose accuracy is the share of lines that were counted where they belong."""


@dataclass(frozen=True)
class Goal:
    """`about` says which measurements it is of."""

    words: str
    about: Callable[[Measured], bool]
    met: Callable[[Measured], bool]

    def verdict(self, measured: Sequence[Measured]) -> str:
        """In words; a goal that nothing was measured of is neither met nor missed."""
        chosen = [one for one in measured if one.way == AGENT and self.about(one)]
        missed = [f"{one.task} at {one.size:,}" for one in chosen if not self.met(one)]
        if not chosen:
            return "not measured"
        return f"missed by {len(missed)} of {len(chosen)}: {', '.join(missed)}" if missed else f"met by {len(chosen)}"


GOALS = (
    Goal("exact at every size with a reader that is never wrong", lambda one: not one.wrong, lambda one: one.exact),
    Goal(
        "counts are off by no more than the reader is",
        lambda one: one.task in COUNTED and one.misread is not None and one.wrong > 0,
        lambda one: 1 - one.accuracy <= (one.misread or 0.0) + 1e-9,
    ),
    Goal(
        f"the analyst is shown at most {MOST_SHOWN:,} tokens in all",
        lambda one: bool(one.calls),
        lambda one: one.shown <= MOST_SHOWN,
    ),
    Goal(
        f"at least {LEAST_OF_IDEAL:.0%} of ideal parallel speed",
        lambda one: one.of_ideal is not None,
        lambda one: (one.of_ideal or 0.0) >= LEAST_OF_IDEAL,
    ),
)


def verdicts(measured: Sequence[Measured]) -> list[str]:
    return [f"{goal.words}: {goal.verdict(measured)}" for goal in GOALS]
