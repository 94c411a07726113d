"""How a run in a workspace ended when the code itself left no result: a sentence, with the setting to change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LONGEST = 500

CONCURRENT = (
    "raise the job's max_concurrent_runs and turn its queue on (or lower limits.max_parallel): parallel delegations "
    "are runs of one job"
)
QUOTA = "the workspace's quota is used up: wait, lower limits.max_parallel, or have the quota raised"
PLATFORM = "the platform failed, not the code: delegate it again"

ADVICE = {
    "MAX_CONCURRENT_RUNS_EXCEEDED": CONCURRENT,
    "MAX_JOB_QUEUE_SIZE_EXCEEDED": "the job's queue is full: lower limits.max_parallel, or wait",
    "WORKSPACE_RUN_LIMIT_EXCEEDED": QUOTA,
    "CLUSTER_REQUEST_LIMIT_EXCEEDED": QUOTA,
    "BUDGET_POLICY_LIMIT_EXCEEDED": "the budget policy of the job's run_as is used up",
    "RESOURCE_NOT_FOUND": "check execution.notebook, execution.cluster_id and execution.job_id",
    "LIBRARY_INSTALLATION_ERROR": "a library could not be installed: check execution.wheel and the job's environment",
    "CLUSTER_ERROR": "its cluster could not be started: check execution.cluster_id, or leave it out for serverless",
    "INVALID_CLUSTER_REQUEST": "its cluster can't be made: check execution.cluster_id and the job's cluster",
    "DRIVER_ERROR": "its driver was lost: was memory short? Let Spark do the work, and bring back less",
    "STORAGE_ACCESS_ERROR": "it may not read or write the Volume: grant databricks.volume to the job's run_as",
    "UNAUTHORIZED_ERROR": "its run_as may not do what the job needs: check the grants of the job's run_as",
    "FEATURE_DISABLED": "the workspace has switched off what the job needs (serverless?): name execution.cluster_id",
    "INVALID_RUN_CONFIGURATION": "the job is not set up right: check execution.job_id",
    "REPOSITORY_CHECKOUT_FAILED": "its source could not be had: check execution.job_id",
    "CLOUD_FAILURE": PLATFORM,
    "INTERNAL_ERROR": PLATFORM,
}
"""By Databricks's termination codes."""

ENDED = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")
WAITING = ("QUEUED", "PENDING", "BLOCKED", "WAITING_FOR_RETRY")


@dataclass(frozen=True)
class RunState:
    """Where a run of the workspace stands, as far as anything hangs on it. Times are seconds since the epoch."""

    life: str
    result: str | None
    code: str | None
    message: str
    started: float
    ended: float
    page: str
    task_run_id: int | None

    @property
    def has_ended(self) -> bool:
        return self.life in ENDED

    @property
    def waits(self) -> bool:
        return self.life in WAITING


def read_state(run: Any) -> RunState:
    """`run` as the SDK gives it; what it does not know is taken for running."""
    state, status = run.state, run.status
    details = status.termination_details if status else None
    task = run.tasks[-1] if run.tasks else None
    message = (state.state_message if state else "") or (details.message if details else "") or ""
    return RunState(
        life=state.life_cycle_state.value if state and state.life_cycle_state else "RUNNING",
        result=state.result_state.value if state and state.result_state else None,
        code=details.code.value if details and details.code else None,
        message=" ".join(message.split())[:LONGEST],
        started=(run.start_time or 0) / 1000,
        ended=(run.end_time or 0) / 1000,
        page=run.run_page_url or "",
        task_run_id=task.run_id if task else None,
    )


def explain(state: RunState, cancelled: str | None) -> str:
    """Why there is no result of the code's own; `cancelled` is why we ended the run, when it was us."""
    if state.result == "CANCELED" or (cancelled and state.result != "SUCCESS"):
        return cancelled or "the run was cancelled in the workspace"
    if state.result == "MAXIMUM_CONCURRENT_RUNS_REACHED":
        return f"the run was skipped: {CONCURRENT}. {state.message}".rstrip()
    if state.result == "TIMEDOUT":
        return (
            "the run was ended by the job's own timeout: raise timeout_seconds of the job, or lower limits.run_seconds"
        )
    if state.life == "SKIPPED":
        return f"the run was skipped: {ADVICE.get(state.code or '', CONCURRENT)}. {state.message}".rstrip()
    if advice := ADVICE.get(state.code or ""):
        return f"the run ended as {state.code}: {advice}. {state.message}".rstrip()
    if state.result == "SUCCESS":
        return (
            "the job ended without a result: is execution.job_id the executor's, and may it write to databricks.volume?"
        )
    return f"the run ended as {state.result or state.life} without a result. {state.message}".rstrip()
