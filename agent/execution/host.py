"""What a run may ask of us while it runs. A new kind of request is a line in `handlers`."""

from __future__ import annotations

import contextvars
import itertools
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from agent.execution.served.answers import Answers
from agent.execution.served.handed import Handed
from agent.execution.served.models import Models
from agent.execution.served.queries import Queries
from agent.execution.served.uploads import Uploads
from agent.execution.served.values import Earlier, Values
from agent.execution.told import tell_statements
from graph.context import Handler, ReadingAllowance, RunContext
from graph.errors import BudgetExceeded
from graph.events import ChunkRead
from graph.reading.reader import reader_of
from graph.types import Artifact, Rejection

if TYPE_CHECKING:
    from agent.artifacts.protocol import Artifacts
    from agent.artifacts.values import ValueStore
    from agent.data.session import Session

CheckSql = Callable[[str], Rejection | None]
TOLD_SECONDS = 0.2
"""How often progress is told."""


@dataclass(frozen=True)
class Data:
    """What runs may ask about: `session` opens a database for one run, `check_sql` sees every SQL text before it runs
    and may say no with a reason.

    `text` are the files of `context`; `catalog` and `schema` are where unqualified names are looked up first. A
    statement may take `sql_seconds`. `opening` is what opens the same data again, for the notebook.
    """

    session: Callable[[], Session]
    check_sql: CheckSql
    text: tuple[Path, ...] = ()
    catalog: str | None = None
    schema: str | None = None
    sql_seconds: float = 300.0
    opening: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Kept:
    """Where what a run hands over is kept, and how large it may be in bytes."""

    artifacts: Artifacts
    values: ValueStore
    value_bytes: int = 256 << 20


def open_host(data: Data, kept: Kept, ctx: RunContext, artifact: Artifact) -> LocalHost:
    return LocalHost(data, kept, ctx, artifact)


class LocalHost:
    """Implements graph.context.RunHost. Identity, models and budget are the request's: nothing of a run sets them."""

    def __init__(self, data: Data, kept: Kept, ctx: RunContext, artifact: Artifact) -> None:
        self._data, self._ctx, self._artifact = data, ctx, artifact
        self._ended = threading.Event()
        handed = Handed(kept.artifacts, artifact.artifact_id)
        self._told_at = float("-inf")
        self._reserved = ExitStack()
        self._queries = Queries(data, artifact.artifact_id)
        self._uploads = Uploads(kept.value_bytes, "execution.value_mb")
        began = ctx.clock.now().timestamp()
        values = Values(kept.values, self._uploads, artifact, began, handed.note_saved, itertools.count(1))
        folder = kept.artifacts.answers(artifact.artifact_id)
        reader = reader_of(ctx, self._ended.is_set)
        models = Models(reader, ctx.prompts, ctx.check_schema, partial(self._tell, "items"), handed.note_maps)
        self.handlers: Mapping[str, Handler] = {
            "sql": tell_statements(self._queries.answer_sql, ctx, artifact.artifact_id),
            "llm_map": self._in_context(models.answer_map),
            "llm_query": self._in_context(models.answer_query),
            "upload": self._uploads.answer_upload,
            "save": values.answer_save,
            "load": values.answer_load,
            "artifact": Earlier(kept.artifacts, artifact.thread_id).answer_artifact,
            "answer": Answers(folder, self._uploads, {}, handed.note_answers).answer_answer,
            "progress": self.answer_progress,
            "budget": self.answer_budget,
        }

    @property
    def setup(self) -> Mapping[str, Any]:
        data = self._data
        text = [str(path) for path in data.text]
        return {"catalog": data.catalog, "schema": data.schema, "text": text, "opening": data.opening}

    def close(self) -> None:
        self._ended.set()
        self._queries.close()
        self._uploads.close()
        self._reserved.close()

    def answer_progress(self, request: Mapping[str, Any], frames: BinaryIO) -> Mapping[str, Any]:
        self._tell("steps", int(request["done"]), int(request["total"]), 0)
        return {}

    def answer_budget(self, request: Mapping[str, Any], frames: BinaryIO) -> Mapping[str, Any]:
        spent, limits = self._ctx.ledger.spent, self._ctx.ledger.limits
        tokens = spent.input_tokens + spent.output_tokens
        left = None if limits.max_tokens is None else max(0, limits.max_tokens - tokens)
        money = None if limits.max_cost_usd is None else max(0.0, limits.max_cost_usd - spent.cost_usd)
        told = {"tokens_left": left, "usd_left": money, "tokens_spent": tokens, "usd_spent": spent.cost_usd}
        return {"budget": told | {"calls": spent.calls}}

    def allowance(self) -> ReadingAllowance:
        """Half of what is left of the tokens: the other half is for the answer."""
        ctx, sizes = self._ctx, self._ctx.digesting
        spent = ctx.ledger.spent
        most = ctx.limits.max_tokens
        left = (most if most is not None else DEFAULT_ALLOWANCE * 2) - spent.input_tokens - spent.output_tokens
        tokens = left // 2
        if tokens <= 0:
            raise BudgetExceeded(f"the token budget of {most or 0:,} (limits.max_tokens)")
        self._settle = self._reserved.enter_context(ctx.ledger.reserve(ctx.sub_model, "sub", tokens))
        self._allowed = ReadingAllowance(
            ctx.sub_model.name, tokens, sizes.leaf_tokens, sizes.leaf_items, sizes.parallel_reads
        )
        return self._allowed

    def settle(self, report: Mapping[str, Any] | None) -> None:
        model = self._ctx.sub_model
        try:
            spent = model.price(int(report["input_tokens"]), int(report["output_tokens"])) if report else None
        except (KeyError, TypeError, ValueError):
            spent = None
        self._settle(spent or model.price(self._allowed.tokens, 0))
        self._reserved.close()

    def _in_context(self, handler: Handler) -> Handler:
        """With the request's context, so that a trace shows model calls below the delegation that makes them."""
        context = contextvars.copy_context()

        def answer(request: Mapping[str, Any], frames: Any) -> Mapping[str, Any]:
            return context.copy().run(handler, request, frames)

        return answer

    def _tell(self, unit: str, done: int, total: int, missed: int) -> None:
        """`total` is 0 where nobody knows it: then there is always one more to come."""
        now = self._ctx.clock.monotonic()
        if done != total and now - self._told_at < TOLD_SECONDS:
            return
        self._told_at = now
        total = max(done, total) if total else done + 1
        self._ctx.emit(ChunkRead(self._artifact.call_id, self._artifact.artifact_id, done, total, missed, unit))


DEFAULT_ALLOWANCE = 1_000_000
"""Tokens for a run where the settings set no limit."""
