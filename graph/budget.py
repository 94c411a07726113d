"""One ledger for a request's whole tree of calls: what may be spent, what is reserved and what was spent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import Protocol

from graph.errors import BudgetExceeded
from graph.types import ModelRole, Usage

FIRST_OUTPUT = 2_048
"""Tokens that a reply is taken for while nothing is known of its model: at most an eighth of the budget."""
MARGIN = 2
"""A reply is taken for twice the mean of those before, where `max_output_tokens` doesn't bound it."""
ANSWER_ROOM, MERGE_ROOM = 2_500, 6_000
"""Tokens that readers leave: for a digest in the analyst's next call, for merging notes. Each at most a tenth of the
budget."""
WAIT_SECONDS = 0.1
ROUNDING = 1e-9


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


class Priced(Protocol):
    """What the ledger has to know of a model."""

    @property
    def name(self) -> str: ...

    @property
    def max_output_tokens(self) -> int | None: ...

    def price(self, input_tokens: int, output_tokens: int) -> Usage: ...


@dataclass
class _Habit:
    """What the calls of one model in one role took so far: the mean of their replies, and of their input beyond what
    was estimated (the tools' descriptions, for instance)."""

    calls: int = 0
    output: float = 0.0
    unseen: float = 0.0

    def learn(self, estimated: int, usage: Usage) -> None:
        self.calls += 1
        self.output += (usage.output_tokens - self.output) / self.calls
        self.unseen += (max(0, usage.input_tokens - estimated) - self.unseen) / self.calls


Settle = Callable[[Usage], None]


class Ledger:
    """Thread-safe. A call reserves what it can cost before it is made, and settles with what it really took.

    Calls of the role `sub` leave enough for merging what they read and for the analyst's next reply, calls of the role
    `reduce` leave enough for that reply.
    """

    def __init__(self, limits: Limits, spent: Usage = Usage()) -> None:  # noqa: B008 - frozen
        self.limits = limits
        self._spent = spent
        self._held = Usage()
        self._reply = Usage()
        self._habits: dict[tuple[str, ModelRole], _Habit] = {}
        self._free = threading.Condition()

    @property
    def spent(self) -> Usage:
        with self._free:
            return self._spent

    def exceeded(self) -> str | None:
        """What is used up, in words, or None."""
        with self._free:
            return self._lacking(self._spent)

    def is_last(self, model: Priced, input_tokens: int) -> str | None:
        """What runs out, in words, when another reply of the analyst fits and a further one doesn't; else None."""
        with self._free:
            once = self._estimate(model, "base", input_tokens)
            return self._lacking(self._spent + once + self._room(model, ANSWER_ROOM) + once)

    @contextmanager
    def reserve(
        self, model: Priced, role: ModelRole, input_tokens: int, heed: Callable[[], None] = lambda: None
    ) -> Iterator[Settle]:
        """Hold what a call can cost while it runs; yields the function that settles it.

        Waits for calls under way that hold what is lacking; meanwhile `heed` is called, and may raise. Raises
        BudgetExceeded when the call does not fit beside what is spent already.
        """
        held = self._take(model, role, input_tokens, heed)

        def settle(usage: Usage) -> None:
            with self._free:
                self._spent = self._spent + usage
                self._habit(model, role).learn(input_tokens, usage)

        try:
            yield settle
        finally:
            with self._free:
                self._held = self._held - held
                self._free.notify_all()

    def _take(self, model: Priced, role: ModelRole, input_tokens: int, heed: Callable[[], None]) -> Usage:
        with self._free:
            while True:
                cost = self._estimate(model, role, input_tokens)
                least = self._spent + cost + self._kept(model, role)
                if reason := self._lacking(least):
                    raise BudgetExceeded(reason)
                if not self._lacking(least + self._held):
                    break
                self._free.wait(WAIT_SECONDS)
                heed()
            if role == "base":
                self._reply = cost
            self._held = self._held + cost
            return cost

    def _estimate(self, model: Priced, role: ModelRole, input_tokens: int) -> Usage:
        habit = self._habit(model, role)
        usual = ceil(MARGIN * habit.output) if habit.calls else self._first_guess()
        output = model.max_output_tokens or max(usual, 1)
        return model.price(input_tokens + ceil(habit.unseen), output)

    def _first_guess(self) -> int:
        most = self.limits.max_tokens
        return FIRST_OUTPUT if most is None else min(FIRST_OUTPUT, most // 8)

    def _kept(self, model: Priced, role: ModelRole) -> Usage:
        """What calls of this role must leave."""
        if role == "base":
            return Usage()
        answer = self._reply + self._room(model, ANSWER_ROOM)
        return answer if role == "reduce" else answer + self._room(model, MERGE_ROOM)

    def _room(self, model: Priced, tokens: int) -> Usage:
        most = self.limits.max_tokens
        return model.price(tokens if most is None else min(tokens, most // 10), 0)

    def _habit(self, model: Priced, role: ModelRole) -> _Habit:
        return self._habits.setdefault((model.name, role), _Habit())

    def _lacking(self, used: Usage) -> str | None:
        tokens, money = self.limits.max_tokens, self.limits.max_cost_usd
        if tokens is not None and used.input_tokens + used.output_tokens > tokens:
            return f"the token budget of {tokens:,} (limits.max_tokens)"
        if money is not None and used.cost_usd > money + ROUNDING:
            return f"the money budget of ${money:,.2f} (limits.max_cost_usd)"
        return None
