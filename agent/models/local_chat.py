"""Replies of models that are no language models: texts and tool calls, said whole or streamed as a provider would."""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from graph.types import DELEGATE, EXIT_LOOP

PIECE = re.compile(r"\S*\s*", re.ASCII)
ARGUMENT_PIECE = 16


@dataclass(frozen=True)
class Call:
    """One tool call. Text as `arguments` is sent as it is, so it may be broken JSON."""

    name: str
    arguments: Mapping[str, Any] | str
    call_id: str | None = None

    def text(self) -> str:
        return self.arguments if isinstance(self.arguments, str) else json.dumps(dict(self.arguments))


@dataclass(frozen=True)
class Reply:
    """What one call of the model answers. With `error` it raises, after `text` when it is streamed.

    `usage` is (input, output) tokens; None counts four characters as one. `marks` go into the response_metadata.
    """

    text: str = ""
    calls: tuple[Call, ...] = ()
    error: Exception | type[Exception] | None = None
    usage: tuple[int, int] | None = None
    marks: Mapping[str, Any] = field(default_factory=dict)


def says(text: str, *, usage: tuple[int, int] | None = None) -> Reply:
    return Reply(text=text, usage=usage)


def calls(*named: tuple[str, Mapping[str, Any]], text: str = "") -> Reply:
    """Call tools: `calls(("query_genie", {"query": "…"}), ("exit_loop", {}))`."""
    return Reply(text=text, calls=tuple(Call(name, arguments) for name, arguments in named))


def delegates(code: str, *, instruction: str | None = None, text: str = "") -> Reply:
    """Delegate one blob: the instruction, if there is one, in triple quotes, then the code."""
    quotes = '"""' if instruction and "'''" in instruction else "'''"
    blob = code if instruction is None else f"{quotes}{instruction}\n{quotes}\n{code}"
    return calls((DELEGATE, {"code": blob}), text=text)


def exits(**arguments: Any) -> Reply:
    return calls((EXIT_LOOP, arguments))


def malformed(name: str, arguments: str) -> Reply:
    """Call a tool with arguments that are not a JSON object."""
    return Reply(calls=(Call(name, arguments),))


def fails(error: Exception | type[Exception], *, after: str = "") -> Reply:
    """Raise; a streamed reply gives the text `after` first."""
    return Reply(text=after, error=error)


def cuts(text: str, finish: str = "length") -> Reply:
    """Stop in the middle, for the reason that a provider gives."""
    return Reply(text=text, marks={"finish_reason": finish})


def together(*replies: Reply) -> Reply:
    """One reply with the texts and the calls of all."""
    return Reply(
        text="\n".join(reply.text for reply in replies if reply.text),
        calls=tuple(call for reply in replies for call in reply.calls),
    )


class LocalChatModel(BaseChatModel):
    """A chat model that is no language model: `_reply` says what it answers and the prefix of its call ids."""

    @abstractmethod
    def _reply(self, messages: Sequence[BaseMessage], offered: Sequence[str]) -> tuple[Reply, str]:
        """`offered` are the names of the tools bound to it."""

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
        reply, prefix = self._reply(messages, offered_tools(kwargs))
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
        reply, prefix = self._reply(messages, offered_tools(kwargs))
        for chunk in pieces(reply, prefix, messages):
            yield ChatGenerationChunk(message=chunk)


def offered_tools(kwargs: Mapping[str, Any]) -> list[str]:
    return [tool["function"]["name"] for tool in kwargs.get("tools") or ()]


def call_prefix(position: int, messages: Sequence[BaseMessage]) -> str:
    """Differs between the calls of a thread, also after a restart with a new script, and is the same in each run."""
    seen = "\0".join(f"{message.type}:{message.text}" for message in messages)
    return f"call_{sha256(f'{position}{seen}'.encode()).hexdigest()[:8]}"


def give_ids(reply: Reply, prefix: str) -> Iterator[tuple[str, Call]]:
    for number, call in enumerate(reply.calls, start=1):
        yield call.call_id or f"{prefix}_{number}", call


def whole(reply: Reply, prefix: str, messages: Sequence[BaseMessage]) -> AIMessage:
    message = AIMessage(content=reply.text, usage_metadata=usage(reply, messages), response_metadata=dict(reply.marks))
    for call_id, call in give_ids(reply, prefix):
        arguments = as_object(call.text())
        if arguments is None:
            error = "the arguments are not a JSON object"
            message.invalid_tool_calls.append(
                invalid_tool_call(name=call.name, args=call.text(), id=call_id, error=error)
            )
        else:
            message.tool_calls.append(tool_call(name=call.name, args=arguments, id=call_id))
    return message


def pieces(reply: Reply, prefix: str, messages: Sequence[BaseMessage]) -> Iterator[AIMessageChunk]:
    """The reply as a provider streams it: words, each call's name and its arguments bit by bit, then the usage."""
    for piece in PIECE.findall(reply.text):
        if piece:
            yield AIMessageChunk(content=piece)
    for index, (call_id, call) in enumerate(give_ids(reply, prefix)):
        head = tool_call_chunk(name=call.name, args="", id=call_id, index=index)
        yield AIMessageChunk(content="", tool_call_chunks=[head])
        text = call.text()
        for start in range(0, len(text), ARGUMENT_PIECE):
            part = tool_call_chunk(args=text[start : start + ARGUMENT_PIECE], index=index)
            yield AIMessageChunk(content="", tool_call_chunks=[part])
    if reply.error is not None:
        raise reply.error
    yield AIMessageChunk(
        content="", usage_metadata=usage(reply, messages), response_metadata=dict(reply.marks), chunk_position="last"
    )


def as_object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def usage(reply: Reply, messages: Sequence[BaseMessage]) -> UsageMetadata:
    if reply.usage is not None:
        read, written = reply.usage
    else:
        read = tokens(sum(len(message.text) for message in messages))
        written = tokens(len(reply.text) + sum(len(call.text()) for call in reply.calls))
    return UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)


def tokens(characters: int) -> int:
    return -(-characters // 4)
