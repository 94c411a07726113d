"""The host's side of a run that can't reach its host: the same names answered within the run's own process.

A job's notebook makes a JobHost from what it was handed, gives its `line` to the code's namespace, and writes
`report()` into the result, by which the allowance is settled.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable, Mapping
from time import time
from typing import Any, BinaryIO, cast

from agent.execution.host import Kept
from agent.execution.inside.endpoint import Endpoint, Exhausted, Unanswered
from agent.execution.inside.line import AskError, Take
from agent.execution.served.answers import Answers
from agent.execution.served.handed import Handed
from agent.execution.served.models import Models
from agent.execution.served.uploads import Uploads
from agent.execution.served.values import Earlier, Values
from agent.prompts import AgentPrompts
from agent.schema import check_schema
from graph.context import Handler, ReadingAllowance
from graph.errors import BudgetExceeded, HostError, ModelUnavailable
from graph.reading.llm_map import NoRecall, Reader, Recall
from graph.types import Artifact


class JobHost:
    """`told` hears of progress; `recall` is what was read on the thread before, where the job can look it up."""

    def __init__(
        self,
        allowance: ReadingAllowance,
        endpoint: Endpoint,
        kept: Kept,
        artifact: Artifact,
        recall: Recall | None = None,
        told: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._endpoint, self._told = endpoint, told
        handed = Handed(kept.artifacts, artifact.artifact_id)
        self._uploads = Uploads(kept.value_bytes, "execution.value_mb")
        reader = Reader(
            ask=self._ask,
            model=allowance.model,
            recall=recall or NoRecall(),
            leaf_tokens=allowance.leaf_tokens,
            leaf_items=allowance.leaf_items,
            parallel=allowance.parallel,
        )
        values = Values(kept.values, self._uploads, artifact, time(), handed.note_saved, itertools.count(1))
        models = Models(reader, AgentPrompts("databricks"), check_schema, self._tell, handed.note_maps)
        answers = Answers(kept.artifacts.answers(artifact.artifact_id), self._uploads, {}, handed.note_answers)
        self.handlers: dict[str, Handler] = {
            "llm_map": models.answer_map,
            "llm_query": models.answer_query,
            "upload": self._uploads.answer_upload,
            "save": values.answer_save,
            "load": values.answer_load,
            "artifact": Earlier(kept.artifacts, artifact.thread_id).answer_artifact,
            "answer": answers.answer_answer,
            "progress": self._answer_progress,
            "budget": self._answer_budget,
        }
        self.line = JobLine(self.handlers)

    def report(self) -> Mapping[str, int]:
        """`input_tokens`, `output_tokens` and `calls`, for RunHost.settle."""
        return self._endpoint.report()

    def close(self) -> None:
        self._uploads.close()

    def _ask(self, system: str, message: str) -> str:
        try:
            return self._endpoint.ask(system, message)
        except Exhausted as error:
            raise BudgetExceeded(str(error)) from error
        except Unanswered as error:
            raise ModelUnavailable(str(error)) from error

    def _answer_progress(self, request: Mapping[str, Any], frames: BinaryIO) -> Mapping[str, Any]:
        self._told(int(request["done"]), int(request["total"]))
        return {}

    def _answer_budget(self, request: Mapping[str, Any], frames: BinaryIO) -> Mapping[str, Any]:
        spent = self._endpoint.report()
        told = {"tokens_left": self._endpoint.left, "usd_left": None, "usd_spent": None, "calls": spent["calls"]}
        return {"budget": told | {"tokens_spent": spent["input_tokens"] + spent["output_tokens"]}}

    def _tell(self, done: int, total: int, missed: int) -> None:
        self._told(done, max(done, total))


class JobLine:
    """Implements inside.line.Line over handlers in this process: what is asked and answered is JSON here, too."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers

    def ask(self, kind: str, take: Take | None = None, **request: Any) -> tuple[Any, dict[str, Any]]:
        handler = self._handlers.get(kind)
        if handler is None:
            raise AskError(f"{kind} is not answered in a job")
        frames = io.BytesIO()
        try:
            answer = json.loads(json.dumps(handler(json.loads(json.dumps(request)), frames)))
        except HostError as error:
            raise AskError(str(error)) from None
        frames.seek(0)
        return take(cast(BinaryIO, io.BufferedReader(frames))) if take else None, answer
