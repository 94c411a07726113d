"""Checkpoints, configs and small graphs that the tests and benchmarks save."""

from __future__ import annotations

import random
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, Checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.graph import END, START, MessagesState, StateGraph

_VOWELS, _CONSONANTS = "aeiou", "bcdfghklmnprstvw"


def config(thread_id: Any, ns: str = "", checkpoint_id: str | None = None) -> RunnableConfig:
    configurable = {"thread_id": thread_id, "checkpoint_ns": ns}
    return {"configurable": configurable | ({"checkpoint_id": checkpoint_id} if checkpoint_id else {})}


def checkpoint(values: dict[str, Any], versions: dict[str, Any] | None = None, **more: Any) -> Checkpoint:
    return {
        "v": 4,
        "id": str(uuid6()),
        "ts": "2026-01-01T00:00:00.000000+00:00",
        "channel_values": values,
        "channel_versions": versions if versions is not None else dict.fromkeys(values, 1),
        "versions_seen": {},
        "updated_channels": None,
        **more,
    }  # type: ignore[return-value]


class Line:
    """Puts one checkpoint after another, with rising versions."""

    def __init__(self, saver: BaseCheckpointSaver[Any], thread_id: Any = "t", at: RunnableConfig | None = None) -> None:
        self.saver = saver
        self.at = at or config(thread_id)
        self.versions: dict[str, Any] = {}
        self.values: dict[str, Any] = {}
        self.step = -1

    def put(self, values: dict[str, Any], **metadata: Any) -> RunnableConfig:
        """`values` are the channels that change; the others stay."""
        newest = max(self.versions.values(), default=None)
        new = dict.fromkeys(values, self.saver.get_next_version(newest, None))
        self.versions = self.versions | new
        self.values = self.values | values
        self.step += 1
        made = checkpoint(dict(self.values), dict(self.versions))
        self.at = self.saver.put(self.at, made, {"source": "loop", "step": self.step, **metadata}, new)
        return self.at

    def branch(self) -> Line:
        other = Line(self.saver, at=self.at)
        other.versions, other.values, other.step = dict(self.versions), dict(self.values), self.step
        return other


def words(count: int = 3000, seed: int = 7) -> list[str]:
    """A vocabulary that compresses about as English does in short texts."""
    rng = random.Random(seed)
    syllables = [
        rng.choice(_CONSONANTS) + rng.choice(_VOWELS) + rng.choice(["", "n", "r", "s", "t"]) for _ in range(200)
    ]
    return ["".join(rng.choices(syllables, k=rng.choice([1, 1, 2, 2, 2, 3, 3, 4]))) for _ in range(count)]


class Prose:
    """Text with a natural spread of frequent and rare words."""

    def __init__(self, seed: int = 1) -> None:
        self._rng = random.Random(seed)
        self._words = words()

    def __call__(self, length: int) -> str:
        out: list[str] = []
        size = 0
        while size < length:
            rank = min(int(self._rng.paretovariate(0.6)) - 1, len(self._words) - 1)
            out.append(self._words[rank])
            size += len(out[-1]) + 1
        return " ".join(out)[:length]


def messages(count: int, size: int = 400) -> list[Any]:
    prose = Prose(count)
    return [(AIMessage if i % 2 else HumanMessage)(prose(size), id=f"m{i}") for i in range(count)]


def chat(saver: BaseCheckpointSaver[Any], reply: Any = None) -> Any:
    """START → model → END: three checkpoints a turn."""

    def model(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(reply() if reply else f"answer {len(state['messages'])}")]}

    return (
        StateGraph(MessagesState)
        .add_node("model", model)
        .add_edge(START, "model")
        .add_edge("model", END)
        .compile(checkpointer=saver)
    )


def snapshot(saver: BaseCheckpointSaver[Any], thread_id: Any) -> list[tuple[Any, ...]]:
    """All that a thread holds, newest first, without what differs between stores."""
    return [
        (
            found.checkpoint["id"],
            found.parent_config and found.parent_config["configurable"]["checkpoint_id"],
            found.config["configurable"]["checkpoint_ns"],
            dict(sorted(found.checkpoint["channel_values"].items())),
            found.metadata,
            found.pending_writes,
        )
        for found in saver.list({"configurable": {"thread_id": thread_id}})
    ]
