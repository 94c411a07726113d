"""The agent as an MLflow ResponsesAgent, traced by the turn's own span."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
    RESOURCE_CONFLICT,
    RESOURCE_DOES_NOT_EXIST,
)
from mlflow.pyfunc.model import ResponsesAgent
from mlflow.types.responses import ResponsesAgentRequest, ResponsesAgentResponse, ResponsesAgentStreamEvent

from agent.config import Settings, load_settings
from agent.core import Agent, open_agent
from agent.principal import Principal
from agent.redaction.secrets import redact_text
from agent.serving.errors import Refused, refuse
from agent.serving.identity import principal_of_model
from agent.serving.registration import rehearsal, rehearsing
from agent.serving.requests import Asked, Caller
from agent.serving.responses import read_response_request
from agent.serving.telling import tell
from agent.serving.transcript import Fields
from agent.tracing.turns import run_with_trace
from checkpointers import StoreError
from graph.errors import AgentError, InvalidRequest

CODES = {400: INVALID_PARAMETER_VALUE, 404: RESOURCE_DOES_NOT_EXIST, 409: RESOURCE_CONFLICT}


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
        """Raises MlflowException, with the HTTP status that goes with it, for a request that can't be served."""
        with closing(self._told(request)) as told:
            *_, last = told
        return ResponsesAgentResponse(**last["response"])

    def predict_stream(
        self, request: ResponsesAgentRequest | dict[str, Any]
    ) -> Generator[ResponsesAgentStreamEvent, None, None]:
        """Closing it cancels the turn. Raises as `predict` does, when the first event is asked for."""
        with closing(self._told(request)) as told:
            for fields in told:
                yield ResponsesAgentStreamEvent(**fields)

    def tell(self, asked: Asked, cancelled: threading.Event | None = None) -> Generator[Fields, None, None]:
        """The turn as Responses events; another thread can cancel it while it waits. Raises Refused."""
        agent, echo = self._ready(), dict(asked.echo)

        def note(trace_id: str) -> None:
            if asked.wants_trace:
                echo["metadata"] = {**echo.get("metadata", {}), "trace_id": trace_id}

        events = run_with_trace(agent, asked.request, cancelled, note)
        yield from tell(events, replace(asked, echo=echo), agent.index)

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

    def _told(self, request: ResponsesAgentRequest | dict[str, Any]) -> Generator[Fields, None, None]:
        body = request if isinstance(request, dict) else request.model_dump(exclude_none=True)
        try:
            asked = read_response_request(body, self._caller())
            yield from tell(rehearsal(asked.request), asked) if rehearsing() else self.tell(asked)
        except InvalidRequest as error:
            raise explain(refuse(error)) from error
        except Refused as error:
            raise explain(error) from error

    def _ready(self) -> Agent:
        try:
            return self.open()
        except (AgentError, StoreError) as error:
            raise MlflowException(f"The agent can't be opened: {redact_text(str(error))}") from error

    def _caller(self) -> Caller:
        return Caller(Principal() if rehearsing() else principal_of_model(), self.settings.serve.allow_app_state)

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


def explain(refused: Refused) -> MlflowException:
    """The refusal as MLflow's servers answer it: with its status."""
    return MlflowException(redact_text(str(refused)), error_code=CODES.get(refused.status, INTERNAL_ERROR))


def within_deadline(settings: Settings) -> Settings:
    """A served request waits no longer than the server lets it; `limits.request_deadline` can make it shorter."""
    deadlines = [settings.serve.request_deadline, settings.limits.request_deadline]
    shortest = min(seconds for seconds in deadlines if seconds is not None)
    return settings.model_copy(update={"limits": replace(settings.limits, request_deadline=shortest)})
