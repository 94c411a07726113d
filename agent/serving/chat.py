"""Chat completions: what their clients ask, and what they are told of a turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.request import Request
from agent.serving.errors import BadField, Refused
from agent.serving.requests import (
    Asked,
    Caller,
    Line,
    Unserved,
    check_served,
    read_count,
    read_dialogue,
    read_flag,
    read_instructions,
    read_message,
    read_place,
    read_section,
)
from agent.serving.responses import read_format

UNSERVED: Unserved = {
    "tools": (bool, "this agent has its own tools"),
    "functions": (bool, "this agent has its own tools"),
    "tool_choice": (lambda value: value not in (None, "auto", "none"), "the agent chooses its tools itself"),
    "function_call": (lambda value: value not in (None, "auto", "none"), "the agent chooses its tools itself"),
    "n": (lambda value: value not in (None, 1), "there is one answer to a question"),
    "stop": (bool, "the agent says when it has finished"),
    "logprobs": (bool, "the agent is no single model"),
    "modalities": (lambda value: value not in (None, ["text"]), "answers are text"),
    "web_search_options": (lambda value: value is not None, "the agent looks at its own data only"),
}
FINISHED = {"completed": "stop", "incomplete": "length"}
FAILED = "the turn failed"


def read_chat_request(body: Mapping[str, Any], caller: Caller = Caller()) -> Asked:  # noqa: B008 - frozen
    """Raises InvalidRequest, which names the field to change."""
    check_served(body, UNSERVED)
    schema = read_format(body.get("response_format"), "response_format")
    said = read_dialogue(read_messages(body.get("messages")), "messages")
    request = Request(
        text=said.question,
        history=said.history,
        schema=schema,
        instructions=read_instructions(said.instructions, "messages"),
        max_output_tokens=read_count(body, "max_completion_tokens", "max_tokens"),
        **read_place(body, caller),
    )
    options = read_section(body, "stream_options")
    model = body.get("model")
    return Asked(
        request,
        stream=read_flag(body, "stream"),
        echo={"model": model} if isinstance(model, str) else {},
        include_usage=read_flag(options, "include_usage"),
    )


def read_messages(value: Any) -> Iterator[Line]:
    if not isinstance(value, list):
        raise BadField("messages", "messages has to be a list of messages")
    for message in value:
        if not isinstance(message, Mapping):
            raise BadField("messages", "messages has to be a list of objects with role and content")
        if message.get("role") in ("tool", "function"):
            yield Line("assistant", "")
        else:
            yield read_message(message, "messages")


@dataclass
class Completion:
    """A turn's Responses events, told as a chat completion: the words as content, the stages as reasoning."""

    asked: Asked
    content: str = ""
    reasoning: str = ""
    _base: dict[str, Any] = field(default_factory=dict)
    _item: str | None = None
    _finish: str | None = None
    _response: Mapping[str, Any] = field(default_factory=dict)

    def chunks(self, event: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """What a client that streams is told of it. Raises Refused for a turn that failed."""
        kind = event["type"]
        if kind == "response.created":
            self._begin(event["response"])
            yield self._chunk({"role": "assistant", "content": ""})
        elif kind == "response.output_text.delta":
            yield self._chunk({"content": self._say(event)})
        elif kind == "response.output_item.done" and event["item"]["type"] == "reasoning":
            text = "".join(f"{part['text']}\n" for part in event["item"]["summary"])
            self.reasoning += text
            yield self._chunk({"reasoning_content": text})
        elif kind in ("response.completed", "response.incomplete", "response.failed"):
            self._end(event["response"])
            yield self._chunk({}, self._finish) | {"custom_outputs": self._response["custom_outputs"]}
            if self.asked.include_usage:
                yield self._base | {"object": "chat.completion.chunk", "choices": [], "usage": self._usage()}

    def whole(self, events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """The completion of a client that waits. Raises Refused for a turn that failed."""
        for event in events:
            for _ in self.chunks(event):
                pass
        message = {"role": "assistant", "content": self.content, "refusal": None}
        if self.reasoning:
            message["reasoning_content"] = self.reasoning
        choice = {"index": 0, "message": message, "finish_reason": self._finish, "logprobs": None}
        outputs = {"usage": self._usage(), "custom_outputs": self._response["custom_outputs"]}
        return self._base | {"object": "chat.completion", "choices": [choice]} | outputs

    def _begin(self, response: Mapping[str, Any]) -> None:
        self._base = {
            "id": response["id"].replace("resp_", "chatcmpl-", 1),
            "created": int(response["created_at"]),
            "model": response.get("model", ""),
        }

    def _say(self, event: Mapping[str, Any]) -> str:
        """The next words. A message after others begins a paragraph."""
        fresh = event["item_id"] != self._item
        text = f"\n\n{event['delta']}" if fresh and self.content else str(event["delta"])
        self._item = event["item_id"]
        self.content += text
        return text

    def _end(self, response: Mapping[str, Any]) -> None:
        if response["status"] == "failed":
            raise Refused(500, (response.get("error") or {}).get("message") or FAILED, retry=False)
        self._response, self._finish = response, FINISHED[response["status"]]

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return self._base | {"object": "chat.completion.chunk", "choices": [choice]}

    def _usage(self) -> dict[str, Any]:
        usage = self._response["usage"]
        return {
            "prompt_tokens": usage["input_tokens"],
            "completion_tokens": usage["output_tokens"],
            "total_tokens": usage["total_tokens"],
        }
