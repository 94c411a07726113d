"""A chat model that says what it is told to: for testing agents, this one and your own.

model = ScriptedModel(delegates("print(6 * 7)", instruction="Quote the number"), says("It is 42."))
agent.run(Request("What is six times seven?"))
assert model.shown[1][-1].content == ...          # what the second call saw
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from pydantic import Field, PrivateAttr

from agent.models.local_chat import (
    Call,
    LocalChatModel,
    Reply,
    call_prefix,
    calls,
    cuts,
    delegates,
    exits,
    fails,
    malformed,
    says,
    together,
)

__all__ = [
    "Call",
    "Reply",
    "ScriptEnded",
    "ScriptedModel",
    "calls",
    "cuts",
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


class ScriptedModel(LocalChatModel):
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

    def _reply(self, messages: Sequence[BaseMessage], offered: Sequence[str]) -> tuple[Reply, str]:
        with self._lock:
            position = len(self.shown)
            if self._always is None and position >= len(self._steps):
                raise ScriptEnded(run_out(len(self._steps), messages))
            self.shown.append(list(messages))
            self.offered.append(list(offered))
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
