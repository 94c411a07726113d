"""The agent as everyone runs it: `run(request)` yields what happens, whoever asks: terminal, server or notebook."""

from __future__ import annotations

import contextvars
import errno
import logging
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from queue import SimpleQueue
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from weakref import WeakSet

from agent.artifacts.answers import Filling, fill, with_answers
from agent.contract import contract_of, holding
from agent.conversation import choose_thread, has_gone_on, turns_until
from agent.data.question import LONGEST_QUESTION
from agent.data.source import DataSource, describe_source, source_from_json
from agent.home import place_of
from agent.principal import Principal
from agent.records.index import Place
from agent.redaction.secrets import redact_text
from agent.request import CURRENT, Request, check_id, check_kept, check_state
from agent.resuming import CALLS, ThreadClaims, close_calls, drop_unfinished, may_resume
from agent.snapshot import find_answer, pending_nodes, result_of
from agent.threads import Threads, check_owner
from checkpointers import StoreError, ThreadBusy
from graph.budget import Ledger
from graph.context import Model, RunContext, SystemClock
from graph.errors import AgentError, InvalidRequest, NotFound
from graph.events import Event, TurnEnded, TurnStarted
from graph.types import ConversationResult, Refusal, Turn

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage

    from agent.artifacts.protocol import Artifacts
    from agent.config import Settings
    from agent.platforms.parts import Parts
    from agent.tools.services import Catalog

__all__ = ["Agent", "Request", "cancel_turn", "open_agent", "open_artifacts", "open_threads", "source_of"]

log = logging.getLogger(__name__)

GRACE_SECONDS = 20.0
"""How long a cancelled turn may take to end its runs and write down how far it came."""
WATCH_SECONDS = 0.5

Invoke = Callable[[Any, Turn | None], dict[str, Any]]
"""Runs the graph on an input, or resumes it (None) for the turn that was cut off."""


class GoneOn(Exception):
    """The thread has turns after the one that a request follows."""

    def __init__(self, turns: int) -> None:
        super().__init__(turns)
        self.turns = turns


@dataclass(frozen=True)
class Running:
    """A turn under way in this process."""

    thread_id: str
    request_id: str
    user_id: str
    principal: Principal
    cancelled: threading.Event
    emit: Callable[[Event], None]
    began: float = field(default_factory=monotonic)
    about: str = ""


def open_agent(settings: Settings, **given: Any) -> Agent:
    """Compose an agent; use it in a `with`. `given` are the fields of `agent.platforms.parts.Given`.

    Raises AgentError or StoreError, which name the setting to change.
    """
    from agent.platforms import open_parts
    from agent.platforms.parts import Given

    with ExitStack() as stack:
        parts = open_parts(settings, Given(**given), stack)
        bench = stack.enter_context(parts.workbenches.hold(Principal(), source_of(settings)))
        return Agent(settings, parts, bench.catalog, stack.pop_all())
    raise AssertionError("unreachable")


@contextmanager
def open_threads(settings: Settings, **given: Any) -> Iterator[Threads]:
    """The saved threads alone: no model, no data."""
    from agent.platforms import open_stores
    from agent.platforms.parts import Given

    with ExitStack() as stack:
        yield Threads(open_stores(settings, Given(**given), stack))


@contextmanager
def open_artifacts(settings: Settings, **given: Any) -> Iterator[Artifacts]:
    """What delegations left, alone: no model, no data, no threads."""
    from agent.platforms import platform_of
    from agent.platforms.parts import Given

    with ExitStack() as stack:
        yield platform_of(settings).open_artifacts(settings, Given(**given), stack)


def cancel_turn(settings: Settings, text: str, **given: Any) -> bool:
    """Ask the turn on this thread (its id, or the start of it), in whichever process it runs, to stop; False when none
    runs. Needs the records alone: the process that runs the turn may have the threads' file to itself.
    """
    from agent.platforms import platform_of
    from agent.platforms.parts import Given

    with ExitStack() as stack:
        records = platform_of(settings).open_record_store(settings, Given(**given), stack)
        running = records.running_threads()
        found = [text] if text in running else [thread_id for thread_id in running if thread_id.startswith(text)]
        if len(found) > 1:
            raise InvalidRequest(f"{len(found)} threads with a running turn start with {text}; give more of the id")
        return any(records.request_cancel(thread_id) for thread_id in found)
    raise AssertionError("unreachable")


def source_of(settings: Settings) -> DataSource:
    """The data that the settings name."""
    data = settings.data
    return describe_source(data.paths, data.text, data.catalog, data.schema_name, data.sample)


class Agent:
    """Threads of conversation over one set of live parts. Safe to use from many threads; close it when done."""

    def __init__(self, settings: Settings, parts: Parts, catalog: Catalog, stack: ExitStack) -> None:
        from graph.builder import build_graph

        self.settings = settings
        self.catalog = catalog
        self.artifacts, self.records, self.scopes = (
            parts.stores.artifacts,
            parts.stores.records,
            parts.stores.scopes,
        )
        self.index = parts.stores.index
        self._questions = parts.stores.questions
        self._saver = parts.stores.saver
        self._graph = build_graph(self._saver)
        self._place = parts.stores.place or place_of(settings.home.absolute())
        self._parts = parts
        self._stack = stack
        self._turns: dict[tuple[str, str], Running] = {}
        self._announced: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._watcher: threading.Thread | None = None
        self._workers: WeakSet[threading.Thread] = WeakSet()

    def threads(self, principal: Principal | None = None) -> Threads:
        """The principal's threads; the local user's by default."""
        return Threads(self._parts.stores, principal)

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

        Raises as `place` does before anything is done. Later trouble is a TurnEnded with status `fatal_error`.
        """
        events: SimpleQueue[Event | None] = SimpleQueue()
        request = self.place(request)
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

    def place(self, request: Request) -> Request:
        """The request with the ids of its thread and of its turn. To place it again changes nothing.

        Raises InvalidRequest for what can't be served, NotFound for what is not there or somebody else's.
        """
        if not request.text.strip():
            raise InvalidRequest("The question is empty.")
        checked = replace(
            request,
            thread_id=check_id("thread_id", request.thread_id),
            after=check_id("after", request.after),
            state=check_state(request.state),
        )
        contract_of(request, self.artifacts)
        threads = self.threads(request.principal)
        if checked.thread_id and not request.principal.is_local:
            self._check_thread(checked.thread_id, request.principal, threads)
        placed = choose_thread(checked, threads, self.index)
        return replace(placed, request_id=check_id("request_id", request.request_id) or str(uuid4()))

    def _check_thread(self, thread_id: str, principal: Principal, threads: Threads) -> None:
        """Before its lease is waited for, which would tell that it is there. A first turn has saved nothing yet."""
        threads.state(thread_id)
        if any(turn.thread_id == thread_id and turn.principal != principal for turn in self._running()):
            raise NotFound(f"There is no thread {thread_id}.")

    def cancel(self, thread_id: str, principal: Principal | None = None, request_id: str | None = None) -> bool:
        """Cancel the thread's running turn, or only this request's, in whichever process it runs; False when none does.

        Raises NotFound for another principal's thread.
        """
        asking = principal or Principal()
        values = self.threads(asking).state(thread_id)
        here = [
            turn
            for turn in self._running()
            if turn.thread_id == thread_id and turn.principal == asking and request_id in (None, turn.request_id)
        ]
        for turn in here:
            turn.cancelled.set()
        if here:
            return True
        elsewhere = {turn.request_id for turn in self.records.running_turns(thread_id)} if values else set()
        if request_id is not None and request_id not in elsewhere:
            return False
        return bool(values or asking.is_local) and self.records.request_cancel(thread_id)

    def runs(self, thread_id: str, request_id: str) -> bool:
        """Whether the request's turn goes on, in any process that announced it."""
        here = [turn.request_id for turn in self._running() if turn.thread_id == thread_id]
        return request_id in here or any(
            turn.request_id == request_id for turn in self.records.running_turns(thread_id)
        )

    def _running(self) -> list[Running]:
        with self._lock:
            return list(self._turns.values())

    def messages(self, thread_id: str, principal: Principal | None = None) -> list[AnyMessage]:
        """The thread's messages, oldest first; empty for an unknown thread."""
        return self.threads(principal).messages(thread_id)

    def _begin(self, request: Request, cancelled: threading.Event, emit: Callable[[Event], None]) -> Running:
        assert request.thread_id is not None
        assert request.request_id is not None
        return Running(
            thread_id=request.thread_id,
            request_id=request.request_id,
            user_id=self._user(request),
            principal=request.principal,
            cancelled=cancelled,
            emit=emit,
        )

    def _user(self, request: Request) -> str:
        """Whose `user:` keys are meant: the local person may say, everybody else is who they are."""
        if not request.principal.is_local:
            return request.principal.name
        return check_id("user_id", request.user_id) or self.settings.user_id

    def _work(self, request: Request, turn: Running, events: SimpleQueue[Event | None]) -> None:
        began = monotonic()
        CURRENT.set(turn.request_id)
        try:
            result = replace(self._leased(request, turn), seconds=monotonic() - began)
            log.info("turn on thread %s ended with %s after %.1f s", result.thread_id, result.end, result.seconds)
            events.put(TurnEnded(result))
        except (AgentError, StoreError) as error:
            events.put(TurnEnded(make_error_result(turn, str(error), refusal_of(error))))
        except OSError as error:
            log.exception("turn %s on thread %s failed", turn.request_id, turn.thread_id)
            events.put(TurnEnded(make_error_result(turn, explain_os_error(error))))
        except Exception as error:
            log.exception("turn %s on thread %s failed", turn.request_id, turn.thread_id)
            events.put(TurnEnded(make_error_result(turn, f"{type(error).__name__}: {error}")))
        finally:
            events.put(None)

    def _leased(self, request: Request, turn: Running) -> ConversationResult:
        """Hold the thread while the turn runs, so that two requests at once lose nothing."""
        policy, seconds = self.settings.checkpointer.on_busy, self.settings.checkpointer.busy_seconds
        try:
            with self._saver.lease(turn.thread_id, policy=policy, timeout=seconds) as lease:
                held = replace(turn, thread_id=lease.thread_id)
                if lease.forked_from is not None:
                    drop_unfinished(self._graph, self._config(held.thread_id, held.user_id))
                self._watch(held)
                try:
                    return self._handed(request, self._turn(request, held))
                finally:
                    self._unwatch(held)
        except GoneOn as gone_on:
            copy = self._copy(request, turn.thread_id, gone_on.turns)
        return self._leased(replace(request, thread_id=copy), replace(turn, thread_id=copy))

    def _handed(self, request: Request, result: ConversationResult) -> ConversationResult:
        """As the caller gets it: with what code answered with, in the form that was asked for."""
        contract = contract_of(replace(request, thread_id=result.thread_id), self.artifacts)
        if contract is None or contract.fits is None:
            return with_answers(result, self.artifacts)
        return with_answers(contract.keep(result), self.artifacts, alone=result.end == "answer")

    def _copy(self, request: Request, thread_id: str, turns: int) -> str:
        """A copy of the thread as it was after so many turns; a new one that begins with the request's history when
        the thread is no longer kept so far back.
        """
        threads, copy = self.threads(request.principal), str(uuid4())
        try:
            return threads.fork(thread_id, copy, turns)
        except InvalidRequest:
            threads.delete(copy)
            if not request.history:
                raise
        return copy

    def _turn(self, request: Request, turn: Running) -> ConversationResult:
        """Answer again, resume, or begin: by what the thread's last checkpoint says."""
        config = self._config(turn.thread_id, turn.user_id)
        saved = self._saver.get_tuple(config)
        values = saved.checkpoint["channel_values"] if saved else {}
        check_owner(values, turn.principal, turn.thread_id)
        if (before := find_answer(values, turn.thread_id, turn.request_id)) is not None:
            turn.emit(TurnStarted(turn.thread_id, turn.request_id))
            return before
        check_followed(request, values)
        source = self._source(request, values)
        source.check()
        turn = replace(turn, about=describe_change(source, values))
        request, source = self._hand_over(request, turn, source, values)
        with self._parts.workbenches.hold(turn.principal, source) as bench:
            invoke = partial(self._invoke, bench.context, request, turn, config)
            return self._go_on(request, turn, values, invoke, source)

    def _go_on(
        self, request: Request, turn: Running, values: Mapping[str, Any], invoke: Invoke, source: DataSource
    ) -> ConversationResult:
        config = self._config(turn.thread_id, turn.user_id)
        unfinished = "turn" in values and values["turn"].end is None
        snapshot = self._graph.get_state(config) if unfinished else None
        pending = pending_nodes(snapshot) if snapshot is not None else set()
        turn.emit(TurnStarted(turn.thread_id, turn.request_id, resumed=bool(pending)))
        same = bool(pending) and values["turn"].request_id == turn.request_id
        if snapshot is not None and pending & CALLS and not may_resume(snapshot, self._claims(turn), self._place):
            close_calls(self._graph, config, snapshot)
        if same or pending & CALLS:
            values = invoke(None, values["turn"])
        self.index.note_request(turn.principal.name, Place(turn.thread_id, turn.request_id))
        if not same:
            values = invoke(self._input(request, turn, source, values), None)
        return result_of(values, turn.thread_id)

    def _source(self, request: Request, values: Mapping[str, Any]) -> DataSource:
        """What the turn is about: the data that is named now, else the thread's own, else the settings'."""
        if request.source is not None:
            return request.source
        if saved := values.get("source"):
            return source_from_json(saved)
        return source_of(self.settings)

    def _hand_over(
        self, request: Request, turn: Running, source: DataSource, values: Mapping[str, Any]
    ) -> tuple[Request, DataSource]:
        """A question that is too long to be read becomes the thread's text; on a new thread instead of the sample."""
        if len(request.text) <= LONGEST_QUESTION:
            return request, source
        text, source = self._questions.keep(request.text, turn.thread_id, turn.request_id, source)
        sample = source.sample and bool(values)
        return replace(request, text=text), replace(source, sample=sample)

    def _invoke(
        self, bench: RunContext, request: Request, turn: Running, config: Any, given: Any, resumed: Turn | None
    ) -> dict[str, Any]:
        context = self._context(bench, request, turn, resumed)
        values: dict[str, Any] = self._graph.invoke(given, config, context=context, durability="sync")
        return values

    def _claims(self, turn: Running) -> ThreadClaims:
        return ThreadClaims(self._saver, turn.thread_id)

    def _input(self, request: Request, turn: Running, source: DataSource, values: Mapping[str, Any]) -> dict[str, Any]:
        from langchain_core.messages import HumanMessage

        if request.state:
            check_kept({**self.scopes.shared(turn.user_id), **values.get("session", {}), **request.state})
        session, temp = self.scopes.take(request.state, turn.user_id)
        began = SystemClock().now().timestamp()
        history = [] if values.get("messages") else take_history(request.history)
        return {
            "messages": [*history, HumanMessage(request.text, id=turn.request_id)],
            "turn": Turn(turn.request_id, turn.user_id, began),
            "owner": turn.principal.name,
            "source": source.to_json(),
            "session": session,
            "temp": temp,
        }

    def _context(self, bench: RunContext, request: Request, turn: Running, resumed: Turn | None) -> RunContext:
        """The request's live things, with a ledger of its own. Its times are the request's, also for an old turn."""
        from agent.models import cancellable

        limits, clock = self.settings.limits, SystemClock()
        until = None if limits.max_seconds is None else turn.began + limits.max_seconds
        own = resumed is None or resumed.request_id == turn.request_id
        contract = contract_of(replace(request, thread_id=turn.thread_id), self.artifacts) if own else None
        filled = Filling(turn.emit, partial(fill, thread_id=turn.thread_id, artifacts=self.artifacts))
        return replace(
            bench,
            base_model=bound_by(cancellable(bench.base_model, turn.cancelled, until), request.max_output_tokens),
            sub_model=cancellable(bench.sub_model, turn.cancelled, until),
            records=self.records.for_request(turn.thread_id, turn.request_id, turn.user_id),
            ledger=Ledger(limits, resumed.usage) if resumed else Ledger(limits),
            scoped=self.scopes.shared(turn.user_id) | self._saved_values(turn.thread_id),
            clock=clock,
            cancelled=turn.cancelled,
            closing=self._closed,
            claims=self._claims(turn),
            place=self._place,
            deadline=None if limits.request_deadline is None else turn.began + limits.request_deadline,
            until=until,
            thread_id=turn.thread_id,
            about=turn.about,
            instructions="\n\n".join(filter(None, [contract.told if contract else "", request.instructions])),
            refuse=contract.refuse if contract else None,
            emit=holding(turn.emit) if contract else filled,
        )

    def _saved_values(self, thread_id: str) -> dict[str, str]:
        """What code saved on the thread, as the analyst is shown it."""
        return {f"saved value {value.name}": value.described for value in self._parts.stores.values.list(thread_id)}

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
            with heeded("the end of a turn is not announced"):
                self.records.turn_ended(turn.thread_id, turn.request_id)

    def _look_out(self) -> None:
        """Announce the turns that last, so that other processes find them, and heed what those ask for."""
        while not self._closed.wait(WATCH_SECONDS):
            with heeded("cancellations are not seen"):
                self._look()

    def _look(self) -> None:
        with self._lock:
            turns = dict(self._turns)
            new = turns.keys() - self._announced
        for key in new:
            self.records.turn_started(*key)
        with self._lock:
            self._announced |= new & self._turns.keys()
        for key, turn in turns.items():
            if self.records.cancel_requested(*key):
                turn.cancelled.set()


@contextmanager
def heeded(what: str) -> Iterator[None]:
    """Go on without records that can't be used at the moment, and log it."""
    try:
        yield
    except (AgentError, OSError) as error:
        log.warning("records_unavailable", extra={"effect": what, "reason": str(error)})


def describe_change(source: DataSource, values: Mapping[str, Any]) -> str:
    """What the thread is about; when that is something else than before, both."""
    saved = values.get("source")
    before = source_from_json(saved).described if saved else source.described
    if before == source.described:
        return source.described
    return f"{source.described} (changed with this question; what was found before is about {before})"


def take_history(history: Sequence[AnyMessage]) -> list[AnyMessage]:
    """What was said before on a thread that is new here: the words of both sides, without calls and instructions."""
    from langchain_core.messages import AIMessage, HumanMessage

    said: list[AnyMessage] = []
    for message in history:
        if message.type == "human" and message.text.strip():
            said.append(HumanMessage(message.text))
        elif message.type == "ai" and message.text.strip() and said:
            said.append(AIMessage(message.text))
    return said


def explain_os_error(error: OSError) -> str:
    """Which file, and what to do."""
    file = f"{error.filename}: " if error.filename else ""
    remedy = REMEDIES.get(error.errno or 0, "check that the file and its folder are there and can be written")
    return f"{file}{error.strerror or error}; {remedy}, and ask again"


REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space (`threads prune`, `artifacts`, or other files)",
    errno.EDQUOT: "the disk quota is used up: free some space",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n) or ask less at once",
    errno.EACCES: "check who owns it, or choose another home",
    errno.EROFS: "it lies on a disk that can't be written: choose another home",
}


def check_followed(request: Request, values: Mapping[str, Any]) -> None:
    """Raises GoneOn when the thread has gone on since the turn that the request follows, NotFound without that turn."""
    if request.after is None or not values.get("messages"):
        return
    turns = turns_until(values, request.after)
    if turns is None:
        raise NotFound(f"There is no response resp_{request.after} in this conversation.")
    if has_gone_on(values, request.after):
        raise GoneOn(turns)


def bound_by(model: Model, most: int | None) -> Model:
    """The model with replies of at most so many tokens, by the name that LangChain's chat models have for it."""
    if most is None:
        return model
    fewest = min(most, model.max_output_tokens or most)
    fallback = bound_by(model.fallback, fewest) if model.fallback else None
    return replace(model, chat=model.chat.bind(max_tokens=fewest), max_output_tokens=fewest, fallback=fallback)


def refusal_of(error: Exception) -> Refusal | None:
    kinds: dict[type[Exception], Refusal] = {NotFound: "not_found", InvalidRequest: "invalid", ThreadBusy: "busy"}
    return next((refusal for kind, refusal in kinds.items() if isinstance(error, kind)), None)


def make_error_result(turn: Running, message: str, refusal: Refusal | None = None) -> ConversationResult:
    return ConversationResult(
        response_text="",
        status="fatal_error",
        fatal_error_msg=redact_text(message),
        delegation_count=0,
        end="error",
        thread_id=turn.thread_id,
        request_id=turn.request_id,
        refusal=refusal,
    )
