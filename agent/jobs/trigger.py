"""Starting the orchestrator's job: once for a key, however often it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import sleep
from typing import TYPE_CHECKING, Any

from agent.workspace.refusals import read_refusal, refusals
from graph.errors import AgentError

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

SETTING = "ADK_ORCHESTRATOR_JOB_ID"
TRIES = 4


class TriggerFailed(AgentError):
    """The job was not started, or it is not known; the text names the parameter."""


@dataclass(frozen=True)
class Trigger:
    client: Callable[[], WorkspaceClient]
    job_id: int

    def start(self, key: str, parameters: Mapping[str, str]) -> int:
        """The run that this key has: a new one the first time. Raises TriggerFailed."""
        said = ""
        for attempt in range(TRIES):
            try:
                jobs = self.client().jobs
                run: Any = jobs.run_now(self.job_id, idempotency_token=key, notebook_params=dict(parameters)).response
                if run.run_id is not None:
                    return int(run.run_id)
                said = "an answer without a run id"
            except refusals() as error:
                refusal = read_refusal(error)
                said = refusal.sentence(f"The orchestrator's job {self.job_id}", SETTING)
                if refusal.kind not in ("unknown", "busy"):
                    raise TriggerFailed(said) from error
            sleep(2**attempt / 4)
        raise TriggerFailed(said)

    def was_skipped(self, run_id: int) -> bool:
        """Whether the run ended before it began: the job had too many, and no queue. Raises TriggerFailed."""
        try:
            state = self.client().jobs.get_run(run_id).state
        except refusals() as error:
            said = read_refusal(error).sentence(f"Run {run_id} of the orchestrator's job", SETTING)
            raise TriggerFailed(said) from error
        return bool(state and state.life_cycle_state and state.life_cycle_state.value == "SKIPPED")
