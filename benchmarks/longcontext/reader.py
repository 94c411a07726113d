"""A reader that knows what a task's lines mean, wrong at a rate of your choice: a chat model, but no language model."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import Any
from zlib import crc32

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field, PrivateAttr

from benchmarks.longcontext import leaf
from benchmarks.longcontext.corpus import CHARS_PER_TOKEN, Record, Task

PLAIN = "Answer with JSON alone:"
TEXT = "\n\nText:\n"


def plainly(task: Task, text: str) -> str:
    """The task as one message, for a model that gets the whole text at once."""
    return f"{task.question}\n{PLAIN} {task.form}.{TEXT}{text}"


class Reader(BaseChatModel):
    """Reads items, lines in a question, and whole texts of one task.

    A share `wrong` of the lines is misread; which ones is decided by each line's words and `seed`, so that reading a
    line again, or in another leaf, goes wrong in the same way. Every call takes `latency` seconds, and no reply is
    longer than `writes` tokens. `calls`, `read` and `misread` count what was done. Calls may come from many threads.
    """

    task: Task = Field(exclude=True)
    wrong: float = 0.0
    seed: int = 0
    latency: float = 0.0
    writes: int = 16_000
    calls: int = 0
    read: int = 0
    misread: int = 0
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    @property
    def _llm_type(self) -> str:
        return "reader"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        time.sleep(self.latency)
        with self._lock:
            self.calls += 1
        text = self._reply(messages[-1].text)[: self.writes * CHARS_PER_TOKEN]
        message = AIMessage(text, usage_metadata=usage(messages, text))
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _reply(self, message: str) -> str:
        if items := leaf.items_of(message):
            texts = [text for _, text in items]
            return leaf.reply(zip((key for key, _ in items), self.records(texts), strict=True))
        asked, marked, text = message.partition(TEXT)
        if marked and PLAIN in asked:
            return json.dumps(self.task.solve(self.records(text.splitlines())), ensure_ascii=False)
        return json.dumps(self._telling(message.splitlines()), ensure_ascii=False)

    def records(self, lines: Iterable[str]) -> Iterator[Record]:
        """What the reader takes each line for."""
        read = misread = 0
        for line in lines:
            record = self.task.understand(line)
            off = chance(f"{self.seed} {line}") < self.wrong
            yield self.task.misread(record, Random(f"{self.seed} {line}")) if off else record
            read, misread = read + 1, misread + off
        with self._lock:
            self.read, self.misread = self.read + read, self.misread + misread

    def _telling(self, lines: Sequence[str]) -> Record:
        """Of lines in a question, what the first that tells something says; else what lines say that tell nothing."""
        blank = self.task.understand("")
        records = list(self.records(lines))
        return next((record for record in records if record != blank), blank)


def chance(text: str) -> float:
    """From 0 up to 1, always the same for a text."""
    return crc32(text.encode()) / 2**32


def usage(messages: Sequence[BaseMessage], text: str) -> UsageMetadata:
    read = sum(len(message.text) for message in messages) // CHARS_PER_TOKEN
    written = -(-len(text) // CHARS_PER_TOKEN)
    return UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)
