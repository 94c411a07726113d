"""Every store passes langgraph-checkpoint-conformance and our own contract, sync and async."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from langgraph.checkpoint.conformance.initializer import RegisteredCheckpointer
from langgraph.checkpoint.conformance.validate import validate

from checkpointers import CHECKPOINTERS, Saver
from tests.checkpointers.conftest import STORES, Opener
from tests.checkpointers.contract import CHECKS
from tests.checkpointers.making import chat, config
from tests.checkpointers.wrapped import on_the_loop

ALL = 81


def test_every_registered_checkpointer_is_under_test():
    assert set(CHECKPOINTERS) <= set(STORES)


@pytest.mark.parametrize("face", [lambda saver: saver, on_the_loop], ids=["async", "sync"])
def test_conformance(open_store: Opener, face: Callable[[Saver], Any]):
    with open_store() as opened:

        async def factory() -> AsyncGenerator[Any, None]:
            yield face(opened)

        report = asyncio.run(validate(RegisteredCheckpointer(name="ours", factory=factory)))
    failures = [failure for result in report.results.values() for failure in result.failures]
    assert failures == []
    assert sum(result.tests_passed for result in report.results.values()) == ALL
    assert all(result.detected for result in report.results.values())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(saver: Saver, check: Callable[[Saver], None]):
    check(saver)


def test_one_class_serves_both_apis(saver: Saver):
    graph = chat(saver)

    async def turns() -> int:
        await graph.ainvoke({"messages": [("user", "hi")]}, config("t"))
        seen = [found async for found in graph.aget_state_history(config("t"))]
        return len(seen)

    assert asyncio.run(turns()) == 3
    assert len(graph.invoke({"messages": [("user", "again")]}, config("t"))["messages"]) == 4
    assert len(list(saver.list(config("t")))) == 6


def test_state_survives_closing(open_store: Opener):
    with open_store() as saver:
        chat(saver).invoke({"messages": [("user", "hi")]}, config("t"))
    with open_store() as saver:
        assert len(chat(saver).invoke({"messages": [("user", "again")]}, config("t"))["messages"]) == 4
        info = next(iter(saver.threads()))
        assert (info.thread_id, info.checkpoints, info.namespaces) == ("t", 6, 1)
        assert info.bytes > 0
        assert info.updated_at is not None


def test_a_clone_with_more_types_shares_the_store(saver: Saver):
    chat(saver).invoke({"messages": [("user", "hi")]}, config("t"))
    clone = saver.with_allowlist([("tests.checkpointers.making", "Line")])
    assert clone is not saver
    assert len(chat(clone).invoke({"messages": [("user", "again")]}, config("t"))["messages"]) == 4
    assert len(chat(saver).get_state(config("t")).values["messages"]) == 4
