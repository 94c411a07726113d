"""One chat model made of several: tries again what passes, and asks the next model where trying again is no use."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from random import uniform
from time import monotonic
from typing import Any, TypeVar, cast

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableBinding
from langchain_core.tools import BaseTool
from pydantic import Field
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from agent.models.failures import Blocked, Failure, Garbled, classify
from graph.context import Model
from graph.errors import BrokenOff, Cancelled, ModelUnavailable, OutOfTime, TooLong, Withheld

log = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds before the second try at most, and before any try at most; a wait is drawn evenly from half of it up."""

CANCEL_SECONDS = 0.1
"""How soon a cancellation is noticed while an answer is awaited."""

BLOCKED_FINISHES = {"content_filter", "input_guardrail_triggered", "output_guardrail_triggered", "refusal"}

T = TypeVar("T")
Tool = dict[str, Any] | type | Callable[..., Any] | BaseTool


@dataclass(frozen=True)
class Candidate:
    """A model that can be asked. `open` is called when it is first needed; it raises ModelUnavailable.

    `advice` says by reason what to change. With `running_totals` each streamed count is the total so far, as in the
    OpenAI protocol, and the last one counts; without it they are parts that add up.
    """

    name: str
    open: Callable[[], BaseChatModel]
    advice: Callable[[Failure], str]
    running_totals: bool = False
    close: Callable[[], None] = lambda: None


class SteadyModel(BaseChatModel):
    """Asks its candidates in order.

    A rate limit, a timeout, a lost connection, a fault of the server: the same candidate again, up to `retries` times,
    after the wait it asks for or a growing random one; then the next. A refused key, a used-up quota, blocked content:
    the next one at once. Anything else, and when none is left: ModelUnavailable. A stream is tried again only until its
    first words or call. Waits end with Cancelled when `cancelled` is set; none longer than `patience` seconds is begun.
    """

    candidates: tuple[Candidate, ...] = Field(exclude=True)
    retries: int = 4
    patience: float = 120.0
    cancelled: threading.Event = Field(default_factory=threading.Event, exclude=True)
    until: float | None = Field(default=None, exclude=True)
    tools: tuple[Any, ...] = Field(default=(), exclude=True)
    tool_options: dict[str, Any] = Field(default_factory=dict)

    @property
    def _llm_type(self) -> str:
        return "steady"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"models": [candidate.name for candidate in self.candidates]}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        provider, _, name = self.candidates[0].name.rpartition(":")
        return LangSmithParams(ls_provider=provider or "openai", ls_model_name=name, ls_model_type="chat")

    def bind_tools(
        self, tools: Sequence[Tool], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        options = kwargs if tool_choice is None else {**kwargs, "tool_choice": tool_choice}
        return self.model_copy(update={"tools": tuple(tools), "tool_options": options})

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        def ask(candidate: Candidate) -> ChatResult:
            chat, bound = self._bound(candidate)
            result = chat._generate(messages, stop, **bound, **kwargs)
            if is_withheld(result.generations[0]):
                raise Blocked(f"{candidate.name} withheld its answer")
            return result

        return self._first(ask)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        def begin(candidate: Candidate) -> tuple[Candidate, Iterator[ChatGenerationChunk]]:
            chat, bound = self._bound(candidate)
            chunks = stream_of(chat, messages, stop, {**bound, **kwargs})
            if candidate.running_totals:
                chunks = count_usage_once(chunks)
            return candidate, begun(chunks, candidate.name)

        candidate, chunks = self._first(begin)
        broken = f"{candidate.name}: {candidate.advice(Failure('broken off'))}"
        ended = not candidate.running_totals
        try:
            for chunk in chunks:
                self._check()
                ended = ended or is_last(chunk)
                yield chunk
        except Exception as error:
            if classify(error) is None:
                raise
            raise BrokenOff(broken) from error
        if not ended:
            raise BrokenOff(broken)

    def _bound(self, candidate: Candidate) -> tuple[BaseChatModel, dict[str, Any]]:
        """The candidate's model and the keywords that its own way of binding the tools comes to."""
        chat = candidate.open()
        if not self.tools:
            return chat, {}
        binding = chat.bind_tools(self.tools, **self.tool_options)
        assert isinstance(binding, RunnableBinding)
        return cast(BaseChatModel, binding.bound), dict(binding.kwargs)

    def _first(self, ask: Callable[[Candidate], T]) -> T:
        """What the first candidate that answers says. Raises ModelUnavailable with what each needs."""
        said: list[str] = []
        blocked = True
        for candidate in self.candidates:
            try:
                return self._patiently(ask, candidate)
            except ModelUnavailable as error:
                blocked = False
                said.append(str(error))
            except Exception as error:
                failure = classify(error)
                if failure is None:
                    raise
                log.info("model_failed", extra={"model": candidate.name, "reason": failure.reason})
                blocked = blocked and failure.reason == "blocked"
                said.append(f"{candidate.name}: {candidate.advice(failure)}")
                if failure.reason == "too long":
                    raise TooLong(said[-1]) from error
                if failure.action == "stop":
                    raise ModelUnavailable(said[-1]) from error
        raise (Withheld if blocked else ModelUnavailable)("; ".join(said))

    def _patiently(self, ask: Callable[[Candidate], T], candidate: Candidate) -> T:
        """The same candidate again while waiting can help; the last error otherwise."""
        for attempt in Retrying(
            stop=stop_after_attempt(self.retries + 1),
            retry=retry_if_exception(lambda error: passes(error, self.patience)),
            wait=pause,
            sleep=self._sleep,
            reraise=True,
        ):
            with attempt:
                self._check()
                return self._interruptibly(partial(ask, candidate))
        raise AssertionError("unreachable")

    def _interruptibly(self, ask: Callable[[], T]) -> T:
        """Wait for the answer or for the cancellation. A request that is given up ends by itself, at its timeout."""
        answer: Future[T] = Future()
        work = partial(contextvars.copy_context().run, fulfil, answer, ask)
        threading.Thread(target=work, name="model-call", daemon=True).start()
        while not wait([answer], CANCEL_SECONDS).done:
            self._check()
        return answer.result()

    def _sleep(self, seconds: float) -> None:
        self.cancelled.wait(seconds if self.until is None else max(0.0, min(seconds, self.until - monotonic())))
        self._check()

    def _check(self) -> None:
        if self.cancelled.is_set():
            raise Cancelled("the request was cancelled while the model was asked")
        if self.until is not None and monotonic() >= self.until:
            raise OutOfTime("the time limit (limits.max_seconds) was reached while the model was asked")


def fulfil(answer: Future[T], ask: Callable[[], T]) -> None:
    try:
        answer.set_result(ask())
    except BaseException as error:  # noqa: BLE001 - raised again by who waits
        answer.set_exception(error)


def cancellable(model: Model, cancelled: threading.Event, until: float | None = None) -> Model:
    """The same model for one request: its waits end when `cancelled` is set, and at `until` on the monotonic clock."""
    if not isinstance(model.chat, SteadyModel):
        return model
    fallback = cancellable(model.fallback, cancelled, until) if model.fallback is not None else None
    chat = model.chat.model_copy(update={"cancelled": cancelled, "until": until})
    return replace(model, chat=chat, fallback=fallback)


def close_model(model: Model) -> None:
    """Let go of the connections that the model's clients hold."""
    if isinstance(model.chat, SteadyModel):
        for candidate in model.chat.candidates:
            candidate.close()


def passes(error: BaseException, patience: float) -> bool:
    failure = classify(error)
    return failure is not None and failure.action == "retry" and (failure.retry_after or 0.0) <= patience


def pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    failure = classify(error) if error else None
    if failure is not None and failure.retry_after is not None:
        return failure.retry_after + uniform(0, 0.1)  # noqa: S311 - spreads requests, guards nothing
    most = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (state.attempt_number - 1))
    return uniform(most / 2, most)  # noqa: S311


def stream_of(
    chat: BaseChatModel, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]
) -> Iterator[ChatGenerationChunk]:
    """The model's stream; of a model that can't stream, its whole reply as one chunk."""
    if type(chat)._stream is not BaseChatModel._stream:
        yield from chat._stream(messages, stop, **kwargs)
        return
    generation = chat._generate(messages, stop, **kwargs).generations[0]
    fields = generation.message.model_dump(exclude={"type"})
    yield ChatGenerationChunk(message=AIMessageChunk(**fields), generation_info=generation.generation_info)


def begun(chunks: Iterator[ChatGenerationChunk], name: str) -> Iterator[ChatGenerationChunk]:
    """The stream, after its first words or call have arrived: until then it can be tried again unnoticed."""
    held: list[ChatGenerationChunk] = []
    for chunk in chunks:
        held.append(chunk)
        if is_withheld(chunk):
            raise Blocked(f"{name} withheld its answer")
        if chunk.text or getattr(chunk.message, "tool_call_chunks", None):
            break
    if not held:
        raise Garbled(f"{name} sent an empty stream")
    return chain(held, chunks)


def is_last(chunk: ChatGenerationChunk) -> bool:
    """Whether the stream has come to its end: by the finish reason, or by the count that follows it."""
    return finish_of(chunk) is not None or getattr(chunk.message, "usage_metadata", None) is not None


def finish_of(generation: ChatGeneration) -> Any:
    info = {**generation.message.response_metadata, **(generation.generation_info or {})}
    return info.get("finish_reason") or info.get("finishReason") or info.get("stop_reason")


def is_withheld(generation: ChatGeneration) -> bool:
    """Whether the provider's filter ended the reply before it said anything."""
    finish = finish_of(generation)
    message = generation.message
    silent = not message.text and not getattr(message, "tool_calls", None)
    return silent and isinstance(finish, str) and finish in BLOCKED_FINISHES


def count_usage_once(chunks: Iterator[ChatGenerationChunk]) -> Iterator[ChatGenerationChunk]:
    """The stream with its last token count only, since chunks are added up by whoever reads them."""
    usage = None
    for chunk in chunks:
        message = chunk.message
        if isinstance(message, AIMessageChunk) and message.usage_metadata is not None:
            usage, message.usage_metadata = message.usage_metadata, None
        yield chunk
    if usage is not None:
        yield ChatGenerationChunk(message=AIMessageChunk(content="", usage_metadata=usage))
