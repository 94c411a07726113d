"""A span for each node, model call and tool call of a turn, with payloads that are small and hold no secrets.

The payloads are made brief here and not in MLflow: a node's whole state, serialized at every step, is what makes
traces large and slow.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage, convert_to_openai_messages
from langchain_core.outputs import ChatGeneration, LLMResult

from agent.redaction.secrets import redact, redact_text
from graph.events import StatementRan

if TYPE_CHECKING:
    from mlflow.entities import LiveSpan

START, DELEGATION = "__start__", "delegation"
FIRST, LAST = 1, 7
"""Of a list, these many are shown: a prompt begins with its instructions, and what counts comes last."""

DEEPEST = 6
BRIEF = "rlm.brief"
"""Marks spans whose payloads are brief already."""


class Spans(BaseCallbackHandler):
    """The callbacks of one turn. `root` is the turn's span; payloads are at most `limit` characters each."""

    run_inline = True

    def __init__(self, root: LiveSpan, limit: int) -> None:
        self._root = root
        self._limit = limit
        self._open: dict[UUID, LiveSpan] = {}
        self._delegations: dict[str, LiveSpan] = {}
        self._hidden: dict[UUID, UUID | None] = {}

    def on_chain_start(
        self,
        serialized: Any,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """A node is a span; the graph around it, its start and the functions that route are not."""
        if name and name != START and name == (metadata or {}).get("langgraph_node"):
            if name == DELEGATION and (call := call_of(inputs)):
                span = self._start(run_id, parent_run_id, name, "TOOL", call["args"])
                self._delegations[str(call["id"])] = span
            else:
                self._start(run_id, parent_run_id, name, "CHAIN", inputs)
        else:
            self._hidden[run_id] = parent_run_id

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        if run_id in self._hidden:
            del self._hidden[run_id]
        else:
            is_call = self._open.get(run_id) in self._delegations.values()
            self._end(run_id, answer_of(outputs) if is_call else outputs)

    def add_statement(self, event: StatementRan, call_id: str) -> None:
        """A span below the delegation whose code asked; it is over already."""
        import mlflow

        began = int(event.began * 1e9)
        span = mlflow.start_span_no_context(
            "sql",
            span_type="RETRIEVER",
            parent_span=self._delegations.get(call_id, self._root),
            inputs=brief({"sql": event.sql}, self._limit),
            attributes={BRIEF: "yes"},
            start_time_ns=began,
        )
        told = {"rows": event.rows} if event.error is None else {"error": event.error}
        span.end(
            outputs=brief(told, self._limit),
            status="OK" if event.error is None else "ERROR",
            end_time_ns=began + int(event.seconds * 1e9),
        )

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        if run_id in self._hidden:
            del self._hidden[run_id]
        else:
            self._fail(run_id, error)

    def on_chat_model_start(
        self,
        serialized: Any,
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        known = metadata or {}
        model = known.get("ls_model_name") or name or (serialized or {}).get("name") or "model"
        span = self._start(run_id, parent_run_id, str(name or model), "CHAT_MODEL", chat(messages[0], self._limit))
        span.set_attributes({"mlflow.message.format": "openai", "mlflow.llm.model": str(model)})

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        spoken = [g.message for g in response.generations[0] if isinstance(g, ChatGeneration)]
        if (span := self._open.get(run_id)) and spoken and (usage := getattr(spoken[0], "usage_metadata", None)):
            counts = {key: usage[key] for key in ("input_tokens", "output_tokens", "total_tokens")}
            span.set_attribute("mlflow.chat.tokenUsage", counts)
        choices = [{"message": message} for message in chat(spoken, self._limit)["messages"]]
        self._end(run_id, {"choices": choices})

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._fail(run_id, error)

    def on_tool_start(
        self,
        serialized: Any,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        inputs: Mapping[str, Any] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        title = name or (serialized or {}).get("name") or "tool"
        self._start(run_id, parent_run_id, title, "TOOL", inputs if inputs is not None else input_str)

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self._end(run_id, output)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._fail(run_id, error)

    def _start(self, run_id: UUID, parent: UUID | None, name: str, kind: str, inputs: Any) -> LiveSpan:
        import mlflow

        span = mlflow.start_span_no_context(
            name,
            span_type=kind,
            parent_span=self._above(parent),
            inputs=brief(inputs, self._limit),
            attributes={BRIEF: "yes"},
        )
        self._open[run_id] = span
        return span

    def _above(self, run_id: UUID | None) -> LiveSpan:
        """The nearest shown span; the turn's own when there is none."""
        while run_id is not None and run_id not in self._open:
            run_id = self._hidden.get(run_id)
        return self._root if run_id is None else self._open[run_id]

    def _end(self, run_id: UUID, outputs: Any) -> None:
        if span := self._open.pop(run_id, None):
            span.end(outputs=brief(outputs, self._limit))

    def _fail(self, run_id: UUID, error: BaseException) -> None:
        if span := self._open.pop(run_id, None):
            trace = "".join(traceback.format_exception(error))
            span.record_exception(redact_text(trace)[-self._limit :])
            span.end(status="ERROR")


def call_of(inputs: Any) -> Mapping[str, Any]:
    """The tool call that a delegation answers."""
    call = inputs.get("call") if isinstance(inputs, Mapping) else None
    return call if isinstance(call, Mapping) and "args" in call else {}


def answer_of(outputs: Any) -> Any:
    """What the delegation's call was answered with."""
    messages = outputs.get("messages") if isinstance(outputs, Mapping) else None
    return messages[-1].text if messages else outputs


def brief(value: Any, limit: int) -> Any:
    """The value as JSON of at most about `limit` characters, without secrets."""
    small = redact(shorten(value, limit))
    text = json.dumps(small, default=str, ensure_ascii=False)
    return small if len(text) <= limit else {"cut": text[:limit], "characters": len(text)}


def shorten(value: Any, limit: int, depth: int = 0) -> Any:
    if isinstance(value, str):
        return cut(value, limit)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if depth >= DEEPEST:
        return cut(repr(value), 200)
    if isinstance(value, BaseMessage):
        return shorten(openai_message(value), limit, depth + 1)
    if is_dataclass(value) and not isinstance(value, type):
        return shorten(asdict(value), limit, depth + 1)
    if isinstance(value, Mapping):
        return {str(key): shorten(item, limit, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [shorten(item, limit, depth + 1) for item in ends_of(value)]
    return cut(str(value), limit)


def ends_of(items: Sequence[Any]) -> Sequence[Any]:
    """The first and the last few, with a word about what is left out between them."""
    left_out = len(items) - FIRST - LAST
    return items if left_out <= 0 else [*items[:FIRST], f"... ({left_out} more) ...", *items[-LAST:]]


def cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text):,} characters)"


def chat(messages: Sequence[BaseMessage], limit: int) -> dict[str, Any]:
    """Messages as MLflow's chat view reads them; each gets an equal share of the limit."""
    shown = ends_of(messages)
    share = max(200, limit // (len(shown) + 1))
    return {
        "messages": [
            {"role": "system", "content": one} if isinstance(one, str) else shorten(openai_message(one), share)
            for one in shown
        ]
    }


def openai_message(message: BaseMessage) -> dict[str, Any]:
    converted = convert_to_openai_messages(message)
    return converted if isinstance(converted, dict) else converted[0]
