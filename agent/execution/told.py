"""The statements of a run as events: what was asked, how long it took, how many rows came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

from graph.context import Handler, RunContext
from graph.errors import HostError
from graph.events import StatementRan


def tell_statements(answer: Handler, ctx: RunContext, artifact_id: str) -> Handler:
    """`answer`, and each statement told."""

    def told(request: Mapping[str, Any], frames: BinaryIO) -> Mapping[str, Any]:
        sql, began, start = str(request.get("sql")), ctx.clock.now().timestamp(), ctx.clock.monotonic()
        try:
            answered = answer(request, frames)
        except HostError as error:
            ctx.emit(StatementRan(artifact_id, sql, None, began, ctx.clock.monotonic() - start, str(error)))
            raise
        ctx.emit(StatementRan(artifact_id, sql, answered.get("row_count"), began, ctx.clock.monotonic() - start))
        return answered

    return told
