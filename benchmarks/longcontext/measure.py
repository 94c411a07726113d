"""One task at one size: by the agent, and by one plain call of the same reader."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage

from agent.core import Request, open_agent
from agent.models.scripted import ScriptedModel, delegates, says
from benchmarks.longcontext.corpus import CHARS_PER_TOKEN, Corpus, Task
from benchmarks.longcontext.reader import Reader, plainly
from benchmarks.longcontext.setting import Setting
from graph.errors import AgentError
from graph.types import Attachment

NAMES = ("llm_map", "llm_query", "answer")
"""What the analyst's code asks of generated code's namespace."""
AGENT, ONE_CALL = "the agent", "one call"
FEW_ROUNDS = 2


@dataclass(frozen=True)
class Measured:
    """`accuracy` is from 0 to 1. `tokens` are those of all calls; `shown` those that the analyst was shown in all,
    or the one call.

    `of_ideal` is the share of the time that calls of this latency would take at best; None where few are made.
    `misread` is the share of lines that the reader did misread; None for a model that can't be looked into.
    """

    task: str
    size: int
    wrong: float
    way: str
    accuracy: float = 0.0
    exact: bool = False
    calls: int = 0
    tokens: int = 0
    shown: int = 0
    seconds: float = 0.0
    of_ideal: float | None = None
    misread: float | None = None
    note: str = ""


def missing_names() -> list[str]:
    """What generated code does not find of what the analyst's code needs."""
    code = f"print('missing:', *(name for name in {NAMES!r} if name not in globals()))"
    model = ScriptedModel(delegates(code), says("done"))
    with tempfile.TemporaryDirectory() as folder:
        with open_agent(Setting().settings(Path(folder), None), base_model=model) as agent:
            agent.ask(Request("What is there?"))
    return model.shown[-1][-1].text.partition("missing:")[2].split()


def by_the_agent(task: Task, corpus: Corpus, setting: Setting) -> Measured:
    """The analyst's code, or what a configured analyst writes, over the text as `context`."""
    given: dict[str, Any] = {"secrets": os.environ.get}
    if setting.analyst is None:
        given["base_model"] = ScriptedModel(delegates(task.code, instruction="Quote the output"), says("That is it."))
    reader = None if setting.model else setting.reader(task)
    if reader is not None:
        given["sub_model"] = reader
    with tempfile.TemporaryDirectory() as folder:
        with open_agent(setting.settings(Path(folder), corpus.path), **given) as agent:
            began = time.monotonic()
            events: list[Any] = list(agent.run(Request(f"{task.question}\nAnswer with {task.form}.")))
            seconds = time.monotonic() - began
        result = events[-1].result
        value = attached(result.items) if result.items else handed_over(result.response_text)
    asked = [event.usage for event in events if getattr(event, "role", "") == "base"]
    return Measured(
        task=task.name,
        size=corpus.size,
        wrong=setting.wrong,
        way=AGENT,
        accuracy=task.score(value, corpus.answer),
        exact=value == corpus.answer,
        calls=result.usage.calls,
        tokens=result.usage.input_tokens + result.usage.output_tokens,
        shown=sum(usage.input_tokens for usage in asked),
        seconds=seconds,
        of_ideal=of_ideal(result.usage.calls - len(asked), seconds, setting),
        misread=misread(reader),
        note=result.fatal_error_msg or result.missing or "",
    )


def by_one_call(task: Task, corpus: Corpus, setting: Setting) -> Measured:
    """The whole text and the question in one message; a text that does not fit the window gets no answer."""
    if corpus.tokens > setting.window:
        return Measured(task.name, corpus.size, setting.wrong, ONE_CALL, note="does not fit")
    prompt = plainly(task, corpus.path.read_text(encoding="utf-8"))
    began = time.monotonic()
    try:
        reader = setting.reader(task)
        reply = reader.invoke([HumanMessage(prompt)])
    except AgentError as error:
        return Measured(task.name, corpus.size, setting.wrong, ONE_CALL, note=str(error))
    seconds = time.monotonic() - began
    value = handed_over(reply.text)
    counted: Any = reply.usage_metadata or {}
    read = counted.get("input_tokens", len(prompt) // CHARS_PER_TOKEN)
    return Measured(
        task=task.name,
        size=corpus.size,
        wrong=setting.wrong,
        way=ONE_CALL,
        accuracy=task.score(value, corpus.answer),
        exact=value == corpus.answer,
        calls=1,
        tokens=read + counted.get("output_tokens", len(reply.text) // CHARS_PER_TOKEN),
        shown=read,
        seconds=seconds,
        misread=misread(reader),
        note="" if value is not None else "no answer in JSON, or one that was cut off",
    )


WAYS: dict[str, Callable[[Task, Corpus, Setting], Measured]] = {AGENT: by_the_agent, ONE_CALL: by_one_call}


def attached(items: Sequence[Attachment]) -> Any:
    """The value that code answered with, as it was kept: nothing on its way clips it."""
    text = Path(items[-1].path).read_text(encoding="utf-8")
    return json.loads(text) if items[-1].media_type == "application/json" else text


def handed_over(text: str) -> Any:
    """The JSON value in what was answered: the whole text, a fenced block, or from its first bracket on; else None."""
    fenced = text.partition("```json")[2].partition("```")[0]
    starts = [place for bracket in "[{" if (place := text.find(bracket)) >= 0]
    for candidate in (text, fenced, text[min(starts) :] if starts else ""):
        try:
            return json.JSONDecoder().raw_decode(candidate.strip())[0]
        except ValueError:
            continue
    return None


def misread(reader: BaseChatModel | None) -> float | None:
    return reader.misread / reader.read if isinstance(reader, Reader) and reader.read else None


def of_ideal(calls: int, seconds: float, setting: Setting) -> float | None:
    """Against rounds of `parallel` calls with nothing between them."""
    rounds = -(-calls // setting.parallel)
    if setting.model is not None or not setting.latency or rounds <= FEW_ROUNDS:
        return None
    return rounds * setting.latency / seconds
