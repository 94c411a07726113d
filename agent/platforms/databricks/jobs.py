"""The job that start_databricks_job runs, and its runs: those of the settings' job that the thread itself started."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from agent.execution.databricks_job import Claims
from agent.tools.services import JobOrder, JobRun, JobsUnavailable, JobTask
from agent.workspace.refusals import named, read_refusal, refusals

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

SETTING = "databricks_job_id"
TRIES = 5
MOST_RESULT = 20_000
CANCEL_SECONDS = 20.0


@dataclass(frozen=True)
class WorkspaceJobs:
    """Implements agent.tools.services.Jobs. Which runs are a thread's own is kept beside it."""

    client: Callable[[], WorkspaceClient]
    job_id: int | None
    claims: Claims

    @property
    def about(self) -> str:
        if self.job_id is None:
            return f"No job is configured ({SETTING})."
        return f"It is job {self.job_id} of the workspace; user_request reaches it as a parameter of that name."

    def start(self, order: JobOrder) -> str:
        """Start a run and return its id at once. The same token is one run, however often it is asked for."""
        if self.job_id is None:
            raise JobsUnavailable(f"there is no job: set {SETTING}.")
        run_id = self._ask(order, {"user_request": order.user_request, **order.parameters})
        self.claims.claim(order.thread_id, f"job_run:{run_id}", order.idempotency_token)
        return run_id

    def _ask(self, order: JobOrder, parameters: dict[str, str]) -> str:
        said = ""
        job_parameters = self._takes_job_parameters()
        for attempt in range(TRIES):
            try:
                started: Any = (
                    self.client()
                    .jobs.run_now(
                        int(self.job_id or 0),
                        idempotency_token=order.idempotency_token,
                        job_parameters=parameters if job_parameters else None,
                        notebook_params=None if job_parameters else parameters,
                    )
                    .response
                )
                if started.run_id is not None:
                    return str(started.run_id)
                said = "an answer without a run id"
            except refusals() as error:
                refusal = read_refusal(error)
                if refusal.kind != "unknown":
                    raise JobsUnavailable(refusal.sentence(f"Job {self.job_id}", SETTING)) from error
                said = refusal.said
            sleep(2**attempt / 4)
        raise JobsUnavailable(
            f"whether it was started is unknown after {TRIES} tries ({said}). Start it again: it is one run only."
        )

    def _takes_job_parameters(self) -> bool:
        """Jobs with parameters of their own take no notebook parameters."""
        with named(JobsUnavailable, f"Job {self.job_id}", SETTING):
            settings = self.client().jobs.get(int(self.job_id or 0)).settings
        return bool(settings and settings.parameters)

    def find(self, idempotency_token: str) -> str | None:
        """None: which run a token has started is known when it is started again, and only then."""
        return None

    def poll(self, run_id: str) -> JobRun:
        with named(JobsUnavailable, f"Run {run_id}", SETTING):
            run = self.client().jobs.get_run(int(run_id))
        return self._describe(run)

    def cancel(self, run_id: str) -> JobRun:
        """End the run; one that has ended stays as it is."""
        with named(JobsUnavailable, f"Run {run_id}", SETTING):
            self.client().jobs.cancel_run(int(run_id))
        until = monotonic() + CANCEL_SECONDS
        while (run := self.poll(run_id)).life_cycle_state not in ENDED and monotonic() < until:
            sleep(0.5)
        return run

    def owns(self, run_id: str, thread_id: str) -> bool:
        known = run_id.isascii() and run_id.isdigit()
        return known and self.claims.claimed(thread_id, f"job_run:{run_id}") is not None

    def _describe(self, run: Any) -> JobRun:
        state = run.state
        life: Any = state.life_cycle_state.value if state and state.life_cycle_state else "PENDING"
        result = state.result_state.value if state and state.result_state else None
        left, error = self._left(run) if life in ENDED else (None, None)
        return JobRun(
            run_id=str(run.run_id),
            life_cycle_state=life,
            result_state=result,
            state_message=(state.state_message or "") if state else "",
            tasks=tuple(map(describe_task, run.tasks or ())),
            run_page_url=run.run_page_url or "",
            result=None if left is None else left[:MOST_RESULT],
            result_truncated=left is not None and len(left) > MOST_RESULT,
            error=error,
        )

    def _left(self, run: Any) -> tuple[str | None, str | None]:
        """What the last task that left something returned, and the first error."""
        results, errors = [], []
        for task in run.tasks or ():
            try:
                output = self.client().jobs.get_run_output(task.run_id)
            except refusals():
                continue
            left = output.notebook_output.result if output.notebook_output else output.logs
            results += [left] if left else []
            errors += [f"{task.task_key}: {output.error}"] if output.error else []
        return (results[-1] if results else None), (errors[0] if errors else None)


ENDED = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")


def describe_task(task: Any) -> JobTask:
    state = task.state
    life: Any = state.life_cycle_state.value if state and state.life_cycle_state else "PENDING"
    return JobTask(task.task_key, life, state.result_state.value if state and state.result_state else None)
