"""Packed sooner, but to the same bytes as by LangGraph's serializer."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.types import Command, Interrupt, Send
from pydantic import BaseModel
from pydantic.dataclasses import dataclass as pydantic_dataclass

from checkpointers.encoding import strict_serializer
from checkpointers.packing import packed


class Kind(enum.Enum):
    ONE = "one"


@dataclass
class Plain:
    number: int
    more: Any = None
    kind: Kind = Kind.ONE
    when: list[datetime] = field(default_factory=list)


@dataclass(slots=True)
class Slots:
    number: int


@dataclass
class HalfSlots(Slots):
    more: str = ""


@dataclass
class LikeASend:
    node: str
    arg: str


@dataclass
class LikeAModel:
    number: int

    def model_dump(self) -> dict[str, int]:
        return {"dumped": self.number}


@dataclass
class HoldsACallable:
    dict: Callable[[], Any]


@dataclass
class WithExtras:
    number: int

    def __post_init__(self) -> None:
        self.extra = self.dict = lambda: {"other": 1}


@dataclass
class Deduced(list):  # type: ignore[type-arg]
    number: int = 1


class Fails(Exception):
    pass


@dataclass
class Failure(Fails):
    code: int


class Row(NamedTuple):
    number: int


class Model(BaseModel):
    inner: Any


@pydantic_dataclass
class Checked:
    number: int


@pytest.mark.parametrize(
    "value",
    [
        Plain(1, Plain(2, {"deep": [Plain(3)]}), when=[datetime(2026, 1, 1, tzinfo=UTC)]),
        Slots(1),
        HalfSlots(1, "x"),
        LikeASend("node", "arg"),
        LikeAModel(1),
        HoldsACallable(dict),
        WithExtras(1),
        Deduced(),
        Failure(3),
        Row(1),
        Model(inner=Plain(1)),
        Checked(1),
        Send("node", Plain(1)),
        Interrupt(value=Plain(1), id="i"),
        Command(resume=Plain(1)),
        [HumanMessage("a"), AIMessage("b", additional_kwargs={"plain": 1})],
        {"set": {1}, 1: (2, None), "lone": "\ud800"},
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_same_bytes(value: Any):
    for _ in range(2):
        assert ("msgpack", packed(value)) == strict_serializer().dumps_typed(value)


def test_a_field_that_was_added_or_removed_by_hand():
    value = Plain(1)
    value.more = Plain(2)
    value.unknown = 3  # type: ignore[attr-defined]
    assert ("msgpack", packed(value)) == strict_serializer().dumps_typed(value)
