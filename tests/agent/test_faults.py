"""A few rounds of each fault of `python -m benchmarks.faults`, which runs them at length."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.faults import rounds
from benchmarks.faults.answers import ways
from benchmarks.faults.rounds import Count

FAULTS: dict[str, Callable[[], Count]] = {
    "killed, another home": lambda: rounds.kill_rounds("duckdb", 1, None, "other"),
    "killed, something gone": lambda: rounds.kill_rounds("sqlite", 1, None, "home", gone=True),
    "late": lambda: rounds.late_rounds(1),
    "forks": lambda: rounds.fork_rounds(2),
    "answers": lambda: rounds.broken_answer_rounds(1),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_wrong_nothing_runs_twice_nothing_hangs(fault: str) -> None:
    count = FAULTS[fault]()
    assert count.rounds
    assert (count.wrong, count.duplicate, count.hung) == (0, 0, 0), count.known


def test_there_are_many_ways_in_which_an_answer_can_break() -> None:
    names = [name for name, _ in ways()]
    assert len(names) == len(set(names)) >= 34
