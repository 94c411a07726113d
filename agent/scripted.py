"""A chat model that says what it is told to: for testing agents, this one and your own.

model = ScriptedModel(delegates("print(6 * 7)", instruction="Quote the number"), says("It is 42."))
agent.run(Request("What is six times seven?"))
assert model.shown[1][-1].content == ...          # what the second call saw
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field, PrivateAttr

from agent.spoken import (
    Call,
    Reply,
    call_prefix,
    calls,
    delegates,
    exits,
    fails,
    malformed,
    pieces,
    says,
    together,
    whole,
)

__all__ = [
    "Call",
    "Reply",
    "ScriptEnded",
    "ScriptedModel",
    "calls",
    "delegates",
    "exits",
    "fails",
    "malformed",
    "says",
    "together",
]

Step = Reply | str | Callable[[Sequence[BaseMessage]], "Reply | str"]


class ScriptEnded(AssertionError):
    """The model was called more often than its script has replies."""


class ScriptedModel(BaseChatModel):
    """Gives its steps in order, one a call. A step is a Reply, a text, or a function of the messages.

    `shown` lists the messages of each call so far and `offered` the names of the tools bound to it. Every call takes
    `latency` seconds. Calls may come from many threads; each takes one step.
    """

    latency: float = 0.0
    shown: list[list[BaseMessage]] = Field(default_factory=list)
    offered: list[list[str]] = Field(default_factory=list)
    _steps: tuple[Step, ...] = PrivateAttr(())
    _always: Callable[[Sequence[BaseMessage]], Reply | str] | None = PrivateAttr(None)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    def __init__(self, *steps: Step, **fields: Any) -> None:
        super().__init__(**fields)
        self._steps = steps

    @classmethod
    def by(cls, answer: Callable[[Sequence[BaseMessage]], Reply | str], *, latency: float = 0.0) -> ScriptedModel:
        """A model that answers every call by a function of the messages; it never runs out."""
        model = cls(latency=latency)
        model._always = answer
        return model

    @property
    def remaining(self) -> int:
        """Steps not taken yet."""
        return max(0, len(self._steps) - len(self.shown))

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(
        self, tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool], **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        reply, prefix = self._next(messages, kwargs)
        if reply.error is not None:
            raise reply.error
        return ChatResult(generations=[ChatGeneration(message=whole(reply, prefix, messages))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        reply, prefix = self._next(messages, kwargs)
        for chunk in pieces(reply, prefix, messages):
            yield ChatGenerationChunk(message=chunk)

    def _next(self, messages: list[BaseMessage], kwargs: Mapping[str, Any]) -> tuple[Reply, str]:
        """The call's reply and the prefix of its call ids."""
        with self._lock:
            position = len(self.shown)
            if self._always is None and position >= len(self._steps):
                raise ScriptEnded(run_out(len(self._steps), messages))
            self.shown.append(list(messages))
            self.offered.append([tool["function"]["name"] for tool in kwargs.get("tools") or ()])
        time.sleep(self.latency)
        step = self._always or self._steps[position]
        answer = step(messages) if callable(step) else step
        reply = Reply(text=answer) if isinstance(answer, str) else answer
        return reply, call_prefix(position, messages)


def run_out(replies: int, messages: Sequence[BaseMessage]) -> str:
    last = str(messages[-1].content)[:300] if messages else ""
    return (
        f"The script has {replies} replies and the model was called once more. The last message it was shown: {last!r}"
    )
