"""Carries runs out: a thread for each run, a process for each task, in the order of their dependencies."""

import threading
import time
from typing import TYPE_CHECKING

from tests.workspace.errors import ApiError
from tests.workspace.jobs.process import TaskProcess
from tests.workspace.jobs.run import Life, Outcome, Run, State, TaskRun, now

if TYPE_CHECKING:
    from tests.workspace.workspace import Workspace

TICK = 0.02
_FAILED = ("FAILED", "TIMEDOUT", "UPSTREAM_FAILED")
_CANCELED = ("CANCELED", "UPSTREAM_CANCELED")


class Scheduler:
    """All runs under way."""

    def __init__(self, ws: "Workspace") -> None:
        self._ws = ws
        self._held: Life | None = None
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def hold(self, state: Life) -> None:
        """Keep new runs in a state."""
        self._held = state

    def release(self) -> None:
        """Let them start."""
        self._held = None

    def start(self, run: Run) -> None:
        """Carry a run out."""
        if self._held:
            run.state = State(self._held)
        thread = threading.Thread(target=self._carry_out, args=(run,), name=f"run-{run.id}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        """Kill what runs, and wait for the threads."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(10)

    def _carry_out(self, run: Run) -> None:
        while self._held and not run.cancel_asked and not self._stopping.is_set():
            time.sleep(TICK)
        run.state = State("RUNNING", message="In run")
        for task in run.tasks:
            task.state = State("BLOCKED" if task.depends_on else "PENDING")
        workers = [threading.Thread(target=self._do, args=(run, task), daemon=True) for task in run.tasks]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        run.ended_at = now()
        run.state = _summary(run)

    def _do(self, run: Run, task: TaskRun) -> None:
        """One task, from waiting for the others to its end, with its retries."""
        while not all(run.task(key).state.ended for key in task.depends_on) and not self._interrupted(run):
            time.sleep(TICK)
        verdict = State("TERMINATED", "CANCELED", "Run cancelled.") if self._interrupted(run) else _may_run(run, task)
        if verdict:
            task.state = verdict
            return
        for attempt in range(1 + int(task.spec.get("max_retries") or 0)):
            task.attempt = attempt
            task.state = self._attempt(run, task)
            if task.state.result != "FAILED":
                break
        task.ended_at = now()
        self._ws.journal.write("task_ended", task.run_id, key=task.key, result=task.state.result)

    def _attempt(self, run: Run, task: TaskRun) -> State:
        task.state, task.started_at = State("RUNNING", message="In run"), now()
        self._ws.journal.write("task_started", task.run_id, key=task.key, run=run.id, attempt=task.attempt)
        try:
            process = TaskProcess(self._ws, run, task)
        except ApiError as error:
            task.outcome = Outcome(error=error.message)
            return State("TERMINATED", "FAILED", error.message)
        deadline = _deadline(run, task)
        while process.running:
            if self._interrupted(run):
                return self._kill(process, task, "CANCELED", "Run cancelled.")
            if deadline and time.monotonic() > deadline:
                return self._kill(process, task, "TIMEDOUT", "Run timed out.")
            time.sleep(TICK)
        task.outcome = process.outcome()
        if task.outcome.error:
            message = "Workload failed, see run output for details"
            return State("TERMINATED", "FAILED", message)
        return State("TERMINATED", "SUCCESS")

    def _kill(self, process: TaskProcess, task: TaskRun, result: str, message: str) -> State:
        task.state = State("TERMINATING", message=message)
        process.kill()
        task.outcome = Outcome(error=message, logs=process.outcome().logs)
        return State("TERMINATED", result, message)  # type: ignore[arg-type]

    def _interrupted(self, run: Run) -> bool:
        return run.cancel_asked or self._stopping.is_set()


def _deadline(run: Run, task: TaskRun) -> float | None:
    limits = [limit for limit in (run.timeout, task.spec.get("timeout_seconds")) if limit]
    return time.monotonic() + min(limits) if limits else None


def _may_run(run: Run, task: TaskRun) -> State | None:
    """None when the task may run by its `run_if`; otherwise how it ends without running."""
    results = [run.task(key).state.result for key in task.depends_on]
    good = sum(result == "SUCCESS" for result in results)
    bad = sum(result in _FAILED for result in results)
    allowed = {
        "ALL_SUCCESS": good == len(results),
        "ALL_DONE": True,
        "AT_LEAST_ONE_SUCCESS": good > 0,
        "NONE_FAILED": bad == 0,
        "ALL_FAILED": bad == len(results),
        "AT_LEAST_ONE_FAILED": bad > 0,
    }[task.spec.get("run_if") or "ALL_SUCCESS"]
    if not results or allowed:
        return None
    if any(result in _CANCELED for result in results):
        return State("TERMINATED", "UPSTREAM_CANCELED", "An upstream task was cancelled.")
    if bad:
        return State("TERMINATED", "UPSTREAM_FAILED", "An upstream task failed.")
    return State("TERMINATED", "EXCLUDED", "The run_if condition is not met.")


def _summary(run: Run) -> State:
    """A run ends as its leaves end: one that failed fails the run."""
    if run.cancel_asked:
        return State("TERMINATED", "CANCELED", "Run cancelled.")
    needed = {key for task in run.tasks for key in task.depends_on}
    leaves = [task for task in run.tasks if task.key not in needed]
    for result in ("TIMEDOUT", "FAILED", "UPSTREAM_FAILED", "CANCELED", "UPSTREAM_CANCELED"):
        failed = [task for task in leaves if task.state.result == result]
        if failed:
            kind = {"UPSTREAM_FAILED": "FAILED", "UPSTREAM_CANCELED": "CANCELED"}.get(result, result)
            return State("TERMINATED", kind, f"Task {failed[0].key} failed with message: {failed[0].state.message}.")  # type: ignore[arg-type]
    return State("TERMINATED", "SUCCESS")
