"""The agent as everyone runs it: `run(request)` yields what happens, whoever asks: terminal, server or notebook."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from weakref import WeakSet

from agent.snapshot import answered, interrupted, result_of
from checkpointers import StoreError
from graph.budget import Ledger
from graph.context import RunContext, SystemClock
from graph.errors import AgentError, InvalidRequest
from graph.events import Event, TurnEnded, TurnStarted
from graph.types import ConversationResult, Turn

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage

    from agent.config import Settings
    from agent.platforms.local.composition import Parts

log = logging.getLogger(__name__)

ID_CHARS = 200
GRACE_SECONDS = 20.0
"""How long a cancelled turn may take to end its runs and write down how far it came."""
WATCH_SECONDS = 0.5


@dataclass(frozen=True)
class Request:
    """One question on a thread. The same `request_id` again gets the same turn, not a second one.

    `state` holds scoped keys: `temp:…` for this turn, `user:…`, `app:…`, and plain ones for the thread; None deletes.
    """

    text: str
    thread_id: str | None = None
    request_id: str | None = None
    user_id: str | None = None
    state: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Running:
    """A turn under way in this process."""

    thread_id: str
    request_id: str
    user_id: str
    cancelled: threading.Event
    emit: Callable[[Event], None]


def open_agent(settings: Settings, **given: Any) -> Agent:
    """Compose an agent; use it in a `with`. `given` are the fields of `agent.platforms.local.composition.Given`.

    Raises AgentError or StoreError, which name the setting to change.
    """
    from agent.platforms.local.composition import Given, compose

    stack = ExitStack()
    with stack:
        parts = compose(settings, stack, Given(**given))
        return Agent(settings, parts, stack.pop_all())
    raise AssertionError("unreachable")


class Agent:
    """Threads of conversation over one set of live parts. Safe to use from many threads; close it when done."""

    def __init__(self, settings: Settings, parts: Parts, stack: ExitStack) -> None:
        self.settings = settings
        self.saver, self.records, self.artifacts = parts.saver, parts.records, parts.artifacts
        self.warehouse, self.backend, self.graph = parts.warehouse, parts.backend, parts.graph
        self._parts = parts
        self._stack = stack
        self._turns: dict[tuple[str, str], Running] = {}
        self._announced: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._watcher: threading.Thread | None = None
        self._workers: WeakSet[threading.Thread] = WeakSet()

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Cancel what runs, wait until it has ended, and let go of every file, process and connection."""
        self._closed.set()
        for turn in list(self._turns.values()):
            turn.cancelled.set()
        for worker in list(self._workers):
            worker.join(GRACE_SECONDS)
        self._stack.close()

    def run(self, request: Request, cancelled: threading.Event | None = None) -> Generator[Event, None, None]:
        """The turn's events as they happen; the last is TurnEnded. Setting `cancelled` or closing it cancels the turn.

        Raises InvalidRequest before anything is done. Later trouble is a TurnEnded with status `fatal_error`.
        """
        events: SimpleQueue[Event | None] = SimpleQueue()
        turn = self._begin(request, cancelled or threading.Event(), events.put)
        context = contextvars.copy_context()
        worker = threading.Thread(
            target=context.run, args=(self._work, request, turn, events), name=f"turn-{turn.request_id}", daemon=True
        )
        self._workers.add(worker)
        worker.start()
        try:
            while (event := events.get()) is not None:
                yield event
        finally:
            turn.cancelled.set()
            worker.join(GRACE_SECONDS)

    def ask(self, request: Request) -> ConversationResult:
        """Run a turn to its end and return only that."""
        for event in self.run(request):
            if isinstance(event, TurnEnded):
                return event.result
        raise AssertionError("a turn always ends with TurnEnded")

    def cancel(self, thread_id: str) -> bool:
        """Cancel the thread's running turn, in whichever process it runs; False when none does."""
        with self._lock:
            here = [turn for turn in self._turns.values() if turn.thread_id == thread_id]
        for turn in here:
            turn.cancelled.set()
        return bool(here) or self.records.request_cancel(thread_id)

    def messages(self, thread_id: str) -> list[AnyMessage]:
        """The thread's messages, oldest first; empty for an unknown thread."""
        values = self.graph.get_state(self._config(thread_id, "")).values
        return list(values.get("messages", []))

    def _begin(self, request: Request, cancelled: threading.Event, emit: Callable[[Event], None]) -> Running:
        if not request.text.strip():
            raise InvalidRequest("The question is empty.")
        return Running(
            thread_id=checked("thread_id", request.thread_id) or str(uuid4()),
            request_id=checked("request_id", request.request_id) or str(uuid4()),
            user_id=checked("user_id", request.user_id) or self.settings.user_id,
            cancelled=cancelled,
            emit=emit,
        )

    def _work(self, request: Request, turn: Running, events: SimpleQueue[Event | None]) -> None:
        began = monotonic()
        try:
            events.put(TurnEnded(replace(self._leased(request, turn), seconds=monotonic() - began)))
        except (AgentError, StoreError) as error:
            events.put(TurnEnded(broken(turn, str(error))))
        except Exception as error:
            log.exception("turn %s on thread %s failed", turn.request_id, turn.thread_id)
            events.put(TurnEnded(broken(turn, f"{type(error).__name__}: {error}")))
        finally:
            events.put(None)

    def _leased(self, request: Request, turn: Running) -> ConversationResult:
        """Hold the thread while the turn runs, so that two requests at once lose nothing."""
        policy, seconds = self.settings.checkpointer.on_busy, self.settings.checkpointer.busy_seconds
        with self.saver.lease(turn.thread_id, policy=policy, timeout=seconds) as lease:
            turn = replace(turn, thread_id=lease.thread_id)
            self._watch(turn)
            try:
                return self._turn(request, turn)
            finally:
                self._unwatch(turn)

    def _turn(self, request: Request, turn: Running) -> ConversationResult:
        """Answer again, resume, or begin: by what the thread's last checkpoint says."""
        config = self._config(turn.thread_id, turn.user_id)
        saved = self.saver.get_tuple(config)
        values = saved.checkpoint["channel_values"] if saved else {}
        if (before := answered(values, turn.thread_id, turn.request_id)) is not None:
            turn.emit(TurnStarted(turn.thread_id, turn.request_id))
            return before
        unfinished = "turn" in values and values["turn"].end is None
        pending = interrupted(self.graph.get_state(config)) if unfinished else set()
        turn.emit(TurnStarted(turn.thread_id, turn.request_id, resumed=bool(pending)))
        same = bool(pending) and values["turn"].request_id == turn.request_id
        if same or pending & {"delegation", "tools"}:
            values = self._invoke(None, values["turn"], turn, config)
        if not same:
            values = self._invoke(self._input(request, turn), None, turn, config)
        return result_of(values, turn.thread_id)

    def _invoke(self, given: Any, resumed: Turn | None, turn: Running, config: Any) -> dict[str, Any]:
        context = self._context(turn, resumed)
        values: dict[str, Any] = self.graph.invoke(given, config, context=context, durability="sync")
        return values

    def _input(self, request: Request, turn: Running) -> dict[str, Any]:
        from langchain_core.messages import HumanMessage

        session, temp = self._parts.scopes.take(request.state, turn.user_id)
        began = SystemClock().now().timestamp()
        return {
            "messages": [HumanMessage(request.text, id=turn.request_id)],
            "turn": Turn(turn.request_id, turn.user_id, began),
            "session": session,
            "temp": temp,
        }

    def _context(self, turn: Running, resumed: Turn | None) -> RunContext:
        """The request's live things, with a ledger and limits of its own."""
        from agent.models import cancellable

        limits, clock = self.settings.limits, SystemClock()
        now, shared = clock.monotonic(), self._parts.context
        return replace(
            shared,
            base_model=cancellable(shared.base_model, turn.cancelled),
            sub_model=cancellable(shared.sub_model, turn.cancelled),
            records=self.records.for_request(turn.thread_id, turn.request_id, turn.user_id),
            ledger=Ledger(limits, resumed.usage) if resumed else Ledger(limits),
            scoped=self._parts.scopes.shared(turn.user_id),
            clock=clock,
            cancelled=turn.cancelled,
            deadline=None if limits.request_deadline is None else now + limits.request_deadline,
            until=None if limits.max_seconds is None else now + limits.max_seconds,
            thread_id=turn.thread_id,
            emit=turn.emit,
        )

    def _config(self, thread_id: str, user_id: str) -> Any:
        return {
            "configurable": {"thread_id": thread_id, "user_id": user_id},
            "max_concurrency": self.settings.limits.max_parallel,
            "recursion_limit": 10_000,
        }

    def _watch(self, turn: Running) -> None:
        """Look out for a cancellation that another process asks for; one watcher for all turns of this one."""
        with self._lock:
            self._turns[turn.thread_id, turn.request_id] = turn
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._look_out, name="cancellations", daemon=True)
                self._watcher.start()

    def _unwatch(self, turn: Running) -> None:
        key = (turn.thread_id, turn.request_id)
        with self._lock:
            del self._turns[key]
            announced = key in self._announced
            self._announced.discard(key)
        if announced:
            self.records.turn_ended(turn.thread_id, turn.request_id)

    def _look_out(self) -> None:
        """Announce the turns that last, so that other processes find them, and heed what those ask for."""
        while not self._closed.wait(WATCH_SECONDS):
            with self._lock:
                turns = dict(self._turns)
                for key in turns.keys() - self._announced:
                    self._announced.add(key)
                    self.records.turn_started(*key)
            for key, turn in turns.items():
                if self.records.cancel_requested(*key):
                    turn.cancelled.set()


def checked(name: str, value: object) -> str | None:
    """An id from outside. Raises InvalidRequest unless it is a short text of visible characters."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > ID_CHARS or not value.isprintable() or value != value.strip():
        raise InvalidRequest(
            f"{name} must be a text of 1 to {ID_CHARS} printable characters, without blanks around it."
        )
    return value


def broken(turn: Running, message: str) -> ConversationResult:
    return ConversationResult(
        response_text="",
        status="fatal_error",
        fatal_error_msg=message,
        delegation_count=0,
        end="error",
        thread_id=turn.thread_id,
        request_id=turn.request_id,
    )
