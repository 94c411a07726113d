"""One ledger for a request's whole tree of calls: what may be spent, what is reserved and what was spent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from graph.errors import BudgetExceeded
from graph.types import Usage


@dataclass(frozen=True)
class Limits:
    """What one turn may use. Times are seconds, money is US dollars; None is no limit.

    `request_deadline` is how long a request waits for runs, which go on after it (270 s fits Model Serving's 297 s).
    `run_seconds` is how long one run may take.
    """

    max_iterations: int = 10
    max_repairs: int = 3
    max_delegations: int = 32
    max_seconds: float | None = 1800.0
    max_tokens: int | None = 2_000_000
    max_cost_usd: float | None = None
    request_deadline: float | None = None
    run_seconds: float = 600.0
    max_parallel: int = 16


@dataclass(frozen=True)
class Memory:
    """What the analyst is shown of the thread. `window_chars` bounds the messages, the capsule carries the rest."""

    window_chars: int = 60_000
    capsule_entries: int = 20


@dataclass(frozen=True)
class Digesting:
    """How outputs and items are read. An output of at most `short_chars` characters goes to the analyst as it is.

    What is longer is read in leaves of at most `leaf_tokens` tokens, of which an output has at most `max_leaves`: of a
    longer one an even sample is read. `leaf_items` is how many items of `llm_map` share a leaf. With `cache`, what was
    read once on a thread is not read again.
    """

    short_chars: int = 6_000
    leaf_tokens: int = 4_000
    leaf_items: int = 100
    max_leaves: int = 400
    parallel_reads: int = 8
    cache: bool = True
    strict_instruction: bool = False


class Ledger:
    """Thread-safe. A call reserves its estimated tokens before it is made and settles with what it really used."""

    def __init__(self, limits: Limits, spent: Usage = Usage()) -> None:  # noqa: B008 - frozen
        self.limits = limits
        self._spent = spent
        self._reserved = 0
        self._lock = threading.Lock()

    @property
    def spent(self) -> Usage:
        with self._lock:
            return self._spent

    def exceeded(self) -> str | None:
        """What is used up, in words, or None."""
        with self._lock:
            return self._over(0)

    @contextmanager
    def reserve(self, tokens: int) -> Iterator[None]:
        """Hold `tokens` while a call runs; raises BudgetExceeded when they don't fit."""
        with self._lock:
            if reason := self._over(tokens):
                raise BudgetExceeded(reason)
            self._reserved += tokens
        try:
            yield
        finally:
            with self._lock:
                self._reserved -= tokens

    def settle(self, usage: Usage) -> None:
        with self._lock:
            self._spent = self._spent + usage

    def _over(self, tokens: int) -> str | None:
        used = self._spent.input_tokens + self._spent.output_tokens + self._reserved + tokens
        most = self.limits.max_tokens
        if most is not None and used > most:
            return f"the token budget of {most:,} (limits.max_tokens)"
        money = self.limits.max_cost_usd
        if money is not None and self._spent.cost_usd >= money:
            return f"the money budget of ${money:,.2f} (limits.max_cost_usd)"
        return None
