"""The reader of one request: the sub-model, within the request's ledger."""

from __future__ import annotations

from collections.abc import Callable

from langchain_core.messages import HumanMessage, SystemMessage

from graph.asking import ask
from graph.context import RunContext
from graph.reading.leaves import count_tokens
from graph.reading.llm_map import NoRecall, Reader
from graph.types import ModelRole


def reader_of(ctx: RunContext, ended: Callable[[], bool] = lambda: False, role: ModelRole = "sub") -> Reader:
    """`ended`: whether the run that asks has ended."""
    sizes = ctx.digesting

    def read(system: str, message: str) -> str:
        return ask(ctx, ctx.sub_model, role, [SystemMessage(system), HumanMessage(message)]).text

    def stopped() -> str | None:
        if ctx.cancelled.is_set():
            return "the request was cancelled"
        return "the run has ended" if ended() else None

    return Reader(
        ask=read,
        model=ctx.sub_model.name,
        recall=ctx.recall(ctx.thread_id) if sizes.cache else NoRecall(),
        leaf_tokens=sizes.leaf_tokens,
        leaf_items=sizes.leaf_items,
        parallel=sizes.parallel_reads,
        count=ctx.sub_model.counter or count_tokens,
        stopped=stopped,
    )
