"""The agent as an MLflow model, from code: what Model Serving, Playground, the Review App and `ai_query` load.

MLflow runs this file under a new module name each time that it loads the model, so nothing here is shared.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import ResponsesAgent
from mlflow.types.responses import ResponsesAgentRequest, ResponsesAgentResponse, ResponsesAgentStreamEvent

from agent.config import Settings, load_settings
from agent.core import Agent, Request, open_agent
from agent.serving.registration import rehearsal, rehearsing
from agent.serving.requests import read_request
from agent.serving.transcript import respond, stream
from agent.tracing.turns import run_with_trace
from checkpointers import StoreError
from graph.errors import AgentError, InvalidRequest
from graph.events import Event


class Answering:
    """`predict` and `predict_stream`, traced by the turn's own span.

    They are not in the ResponsesAgent's own body, since MLflow would wrap them there in a span that a client who leaves
    a stream early keeps open.
    """

    settings: Settings
    given: Mapping[str, Any]
    _agent: Agent | None = None
    _pid: int | None = None

    def predict(self, request: ResponsesAgentRequest | dict[str, Any]) -> ResponsesAgentResponse:
        """Raises MlflowException (INVALID_PARAMETER_VALUE, HTTP 400) for a request that can't be served."""
        with closing(self._events(request)) as events:
            return respond(events, time.time())

    def predict_stream(
        self, request: ResponsesAgentRequest | dict[str, Any]
    ) -> Generator[ResponsesAgentStreamEvent, None, None]:
        """Closing it cancels the turn. Raises as `predict` does, when the first event is asked for."""
        yield from self.stream_until(threading.Event(), request)

    def stream_until(
        self, cancelled: threading.Event, request: ResponsesAgentRequest | dict[str, Any]
    ) -> Generator[ResponsesAgentStreamEvent, None, None]:
        """`predict_stream` that another thread can cancel while it waits for the next event."""
        with closing(self._events(request, cancelled)) as events:
            yield from stream(events, time.time())

    def open(self) -> Agent:
        """The agent, opened by the first request of each process: a fork shares no connections."""
        with self._lock:
            if self._agent is None or self._pid != os.getpid():
                self._agent, self._pid = open_agent(within_deadline(self.settings), **self.given), os.getpid()
                atexit.register(self.close)
            return self._agent

    def close(self) -> None:
        """Cancel what runs and let go of everything; the next request opens it again."""
        with self._lock:
            if self._agent is not None and self._pid == os.getpid():
                self._agent.close()
                self._agent = None
                atexit.unregister(self.close)

    def _events(
        self, request: ResponsesAgentRequest | dict[str, Any], cancelled: threading.Event | None = None
    ) -> Generator[Event, None, None]:
        asked = read(request)
        if rehearsing():
            yield from rehearsal(asked)
        else:
            yield from run_with_trace(self._ready(), asked, cancelled)

    def _ready(self) -> Agent:
        try:
            return self.open()
        except (AgentError, StoreError) as error:
            raise MlflowException(f"The agent can't be opened: {error}") from error

    def _reset(self, settings: Settings, given: Mapping[str, Any]) -> None:
        self.settings, self.given = settings, given
        self._lock = threading.Lock()


class ServedAgent(Answering, ResponsesAgent):  # type: ignore[misc]  # MLflow's predict takes its context first
    """`given` replaces parts of the agent by name, as in `open_agent`; secrets come from the environment."""

    def __init__(self, settings: Settings | None = None, **given: Any) -> None:
        self._reset(settings or Settings(), {"secrets": os.environ.get, **given})

    def load_context(self, context: Any) -> None:
        """Take the settings that were logged with the model."""
        if config := context.model_config:
            self._reset(load_settings(dict(config), {}, {}).settings, self.given)


def read(request: ResponsesAgentRequest | dict[str, Any]) -> Request:
    try:
        return read_request(request if isinstance(request, ResponsesAgentRequest) else ResponsesAgentRequest(**request))
    except InvalidRequest as error:
        raise MlflowException.invalid_parameter_value(str(error)) from error


def within_deadline(settings: Settings) -> Settings:
    """A served request waits no longer than the server lets it; `limits.request_deadline` can make it shorter."""
    deadlines = [settings.serve.request_deadline, settings.limits.request_deadline]
    shortest = min(seconds for seconds in deadlines if seconds is not None)
    return settings.model_copy(update={"limits": replace(settings.limits, request_deadline=shortest)})


AGENT = ServedAgent()
mlflow.models.set_model(AGENT)
