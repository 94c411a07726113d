"""MLflow traces of turns: one trace a turn, in the thread's session, with the user who asked.

A span's payloads are cut and redacted before they leave the process. Nothing here runs unless `tracing.enabled`.
"""

from __future__ import annotations

import contextvars
import logging
import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import asdict
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers.context import register_configure_hook

from agent.core import Agent, Request
from agent.redaction.secrets import redact_text
from agent.tracing.spans import BRIEF, Spans, brief
from graph.events import Event, StageReached, StatementRan, TurnEnded, TurnStarted
from graph.types import ConversationResult

if TYPE_CHECKING:
    from mlflow.entities import LiveSpan

    from agent.config import Settings

T = TypeVar("T")
log = logging.getLogger(__name__)

CALLBACKS: contextvars.ContextVar[BaseCallbackHandler | None] = contextvars.ContextVar("spans", default=None)
"""LangChain looks here for a handler wherever a run begins, and the core's worker runs in the caller's context."""

register_configure_hook(CALLBACKS, inheritable=True)

PREVIEW_CHARS = 300
STORE = "traces.db"
AT_ONCE = "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"
"""MLflow's variable: with `false` a turn's trace is stored when the turn ends."""


def run_with_trace(
    agent: Agent,
    request: Request,
    cancelled: threading.Event | None = None,
    note: Callable[[str], None] = lambda trace_id: None,
) -> Generator[Event, None, None]:
    """`agent.run`, as one trace, whose id is noted. Closing it, or setting `cancelled`, cancels the turn and ends its
    spans.
    """
    if not agent.settings.tracing.enabled or not set_up(agent.settings):
        yield from agent.run(request, cancelled)
        return
    request = agent.place(request)
    events = agent.run(request, cancelled)
    try:
        with TurnSpan(request, agent.settings) as turn, closing(events):
            note(turn.trace_id)
            while (event := turn.within(next, events, None)) is not None:
                turn.note(event)
                yield event
    finally:
        _traces.note_turn()


class TurnSpan:
    """The span around a turn. It has a context of its own, since each event may be asked for by another thread."""

    def __init__(self, request: Request, settings: Settings) -> None:
        import mlflow

        self._request = request
        local = request.principal.is_local
        self._user = (request.user_id or settings.user_id) if local else request.principal.name
        self._limit = settings.tracing.max_payload_chars
        self._context = contextvars.copy_context()
        self._around = mlflow.start_span("turn", span_type="AGENT", attributes={BRIEF: "yes"})
        self._span: LiveSpan | None = None
        self._spans: Spans | None = None
        self._calls: dict[str, str] = {}

    def within(self, call: Callable[..., T], *args: Any) -> T:
        return self._context.run(call, *args)

    def __enter__(self) -> TurnSpan:
        self._span = self.within(self._around.__enter__)
        self._spans = Spans(self._span, self._limit)
        state = {"state": dict(self._request.state)} if self._request.state else {}
        self._span.set_inputs(brief({"question": self._request.text, **state}, self._limit))
        self.within(CALLBACKS.set, self._spans)
        self._update(self._request.thread_id, question=preview(self._request.text))
        return self

    @property
    def trace_id(self) -> str:
        return self._span.trace_id if self._span is not None else ""

    def note(self, event: Event) -> None:
        """Take over what the events tell of the turn as a whole."""
        if isinstance(event, TurnStarted) and event.thread_id != self._request.thread_id:
            self._update(event.thread_id)
        elif isinstance(event, StageReached):
            self._calls[event.artifact_id] = event.call_id
        elif isinstance(event, StatementRan) and self._spans is not None:
            self._spans.add_statement(event, self._calls.get(event.artifact_id, ""))
        elif isinstance(event, TurnEnded):
            self._finish(event.result)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """A client that left is no error; the span says that it did."""
        if isinstance(error, GeneratorExit):
            if self._span is not None and self._span.outputs is None:
                self._span.set_outputs({"end": "cancelled"})
            kind = error = at = None
        self.within(self._around.__exit__, kind, error, at)

    def _finish(self, result: ConversationResult) -> None:
        assert self._span is not None
        self._span.set_outputs(brief(told(result), self._limit))
        if result.status == "fatal_error":
            self._span.set_status("ERROR")
        self._update(result.thread_id, answer=preview(result.response_text or result.fatal_error_msg or ""))

    def _update(self, thread_id: str | None, question: str | None = None, answer: str | None = None) -> None:
        import mlflow

        if (
            self.within(mlflow.get_current_active_span) is None
        ):  # tracing is off in the process, or this one not sampled
            return
        self.within(
            partial(
                mlflow.update_current_trace,
                session_id=thread_id,
                user=self._user,
                client_request_id=self._request.request_id,
                request_preview=question,
                response_preview=answer,
            )
        )


def told(result: ConversationResult) -> dict[str, Any]:
    """The answer, and of the rest what there is."""
    rest = asdict(result)
    answer = rest.pop("response_text")
    return {"answer": answer, **{name: value for name, value in rest.items() if value not in (None, "", (), [], {})}}


def preview(text: str) -> str:
    return redact_text(text[: 2 * PREVIEW_CHARS])[:PREVIEW_CHARS]


_lock = threading.Lock()
_made: tuple[Any, bool] = (None, False)
_own_store: str | None = None


def set_up(settings: Settings) -> bool:
    """Say where traces go, once; False when that failed, which is logged and no reason to refuse an answer.

    It is `tracing.uri`, else what the process has chosen, else a SQLite file under `home`; in Databricks the workspace.
    """
    global _made
    key = (settings.home.absolute(), settings.mode, settings.tracing, settings.mlflow_experiment_id)
    with _lock:
        if _made[0] != key:
            _made = (key, make_experiment(settings))
        return _made[1]


def prepare(settings: Settings) -> None:
    """Set up in the background, while somebody types: importing MLflow and opening its store takes seconds.

    A store on this machine is written to at the end of each turn, after its answer was shown: nothing is left to wait
    for when the person leaves. MLflow reads the variable when it makes its exporter.
    """
    if settings.tracing.enabled:
        if settings.mode == "local" and not settings.tracing.uri:
            os.environ.setdefault(AT_ONCE, "false")
        threading.Thread(target=set_up, args=(settings,), name="tracing", daemon=True).start()


def make_experiment(settings: Settings) -> bool:
    import mlflow

    before = mlflow.get_tracking_uri()
    try:
        destine(settings)
        guard(settings.tracing.max_payload_chars)
    except Exception:  # the edge to a store that may be full, locked or away
        log.warning("no traces: their store can't be used", exc_info=True)
        mlflow.set_tracking_uri(before)
        return False
    return True


def destine(settings: Settings) -> None:
    global _own_store
    import mlflow

    chosen = mlflow.is_tracking_uri_set()  # type: ignore[no-untyped-call]
    free = not chosen or mlflow.get_tracking_uri() == _own_store
    if settings.tracing.uri:
        mlflow.set_tracking_uri(settings.tracing.uri)
    elif free and settings.mode == "local":
        settings.home.mkdir(parents=True, exist_ok=True)
        _own_store = f"sqlite:///{settings.home.absolute() / STORE}"
        for talkative in ("mlflow.store", "mlflow.tracing"):
            logging.getLogger(talkative).setLevel(logging.WARNING)
        mlflow.set_tracking_uri(_own_store)
    elif not settings.mlflow_experiment_id:
        return
    choose_experiment(settings)


def choose_experiment(settings: Settings) -> None:
    """By id or by name. Model Serving has chosen one already."""
    import mlflow
    from mlflow.utils.databricks_utils import is_in_databricks_model_serving_environment

    if is_in_databricks_model_serving_environment():  # type: ignore[no-untyped-call]
        return
    if settings.mlflow_experiment_id:
        mlflow.set_experiment(experiment_id=settings.mlflow_experiment_id)
        return
    name = settings.tracing.experiment
    known = mlflow.get_experiment_by_name(name)
    if known is None and mlflow.get_tracking_uri() == _own_store:
        folder = (settings.home.absolute() / "mlartifacts").as_uri()
        mlflow.set_experiment(experiment_id=mlflow.create_experiment(name, artifact_location=folder))
    else:
        mlflow.set_experiment(name)


def guard(limit: int) -> None:
    """Make brief what other libraries put into spans. MLflow forgets it when the destination changes."""
    import mlflow

    def make_brief(span: LiveSpan) -> None:
        if span.get_attribute(BRIEF):
            return
        if span.inputs is not None:
            span.set_inputs(brief(span.inputs, limit))
        if span.outputs is not None:
            span.set_outputs(brief(span.outputs, limit))
        for name, value in span.attributes.items():
            if isinstance(value, str) and redact_text(value) != value:
                span.set_attribute(name, redact_text(value))

    mlflow.tracing.configure(span_processors=[make_brief])


class Storing:
    """Stores what was traced soon after the turns, so that nothing is left to wait for when the process ends."""

    def __init__(self) -> None:
        self._ended = self._stored = 0
        self._storing = threading.Lock()
        self._thread: threading.Thread | None = None

    def note_turn(self) -> None:
        self._ended += 1
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._store_when_quiet, name="storing-traces", daemon=True)
            self._thread.start()

    def store(self) -> None:
        with self._storing:
            ended = self._ended
            if ended != self._stored and os.environ.get(AT_ONCE) != "false":
                import mlflow

                mlflow.flush_trace_async_logging()
                self._stored = ended

    def _store_when_quiet(self) -> None:
        seen = -1
        while seen != self._ended:
            seen = self._ended
            time.sleep(QUIET_SECONDS)
        self.store()


_traces = Storing()
QUIET_SECONDS = 0.3


def flush() -> None:
    """Wait until what was traced is stored; at most about a second."""
    if _made[1]:
        _traces.store()
