"""Carries runs out: a thread for each run, a process for each task, in the order of their dependencies."""

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.workspace.errors import ApiError
from tests.workspace.jobs.compute import Compute, ComputeFailed, compute
from tests.workspace.jobs.environment import InstallationFailed
from tests.workspace.jobs.process import TaskProcess
from tests.workspace.jobs.run import Life, Outcome, Run, State, TaskRun, now

if TYPE_CHECKING:
    from tests.workspace.workspace import Workspace

TICK = 0.02
_FAILED = ("FAILED", "TIMEDOUT", "UPSTREAM_FAILED")
_CANCELED = ("CANCELED", "UPSTREAM_CANCELED")


@dataclass(frozen=True)
class Breakdown:
    """A scripted failure of the platform: before the task starts, or so many seconds after (its process is killed)."""

    code: str
    times: int
    task: str | None
    after: float | None
    message: str


class Scheduler:
    """All runs under way."""

    def __init__(self, ws: "Workspace") -> None:
        self._ws = ws
        self._held: Life | None = None
        self._breakdowns: list[Breakdown] = []
        self._lock = threading.Lock()
        self._waiting: list[Run] = []
        self._active: list[Run] = []
        self.serverless_retries = 1
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def hold(self, state: Life) -> None:
        """Keep new runs in a state."""
        self._held = state

    def release(self) -> None:
        """Let them start."""
        self._held = None

    def reset(self) -> None:
        """Forget what was scripted."""
        self._breakdowns.clear()
        self.serverless_retries = 1

    def break_next(self, breakdown: Breakdown) -> None:
        """Let the platform fail under the next tasks."""
        self._breakdowns.append(breakdown)

    def start(self, run: Run) -> None:
        """Carry a run out, when its job lets it: at once, when another has ended (`queue`), or not at all."""
        if not self._admits(run):
            return
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

    def _admits(self, run: Run) -> bool:
        """Whether a run may go on to wait for its turn; a run too many of a job without a queue is skipped."""
        with self._lock:
            if not self._crowded(run):
                run.admitted = True
                self._active.append(run)
                return True
            if (run.settings.get("queue") or {}).get("enabled"):
                message = f"Queued: the job's limit of {_limit(run)} concurrent runs is reached."
                run.state = State("QUEUED", message=message, code="MAX_CONCURRENT_RUNS_REACHED")
                self._waiting.append(run)
                return True
        message = f"Skipped: the job's limit of {_limit(run)} concurrent runs is reached (max_concurrent_runs)."
        run.state = State("SKIPPED", "MAXIMUM_CONCURRENT_RUNS_REACHED", message)
        run.ended_at = now()
        for task in run.tasks:
            task.state = run.state
        return False

    def _crowded(self, run: Run) -> bool:
        """Whether as many runs of its job go on as may, or others wait before it."""
        if run.run_type != "JOB_RUN":
            return False
        others = [known for known in self._waiting if known.job_id == run.job_id]
        if others and others[0] is not run:
            return True
        return sum(known.job_id == run.job_id for known in self._active) >= _limit(run)

    def _its_turn(self, run: Run) -> bool:
        with self._lock:
            if not run.admitted and not self._crowded(run):
                run.admitted = True
                self._waiting.remove(run)
                self._active.append(run)
                run.state = State("PENDING")
            return run.admitted

    def _leave(self, run: Run) -> None:
        with self._lock:
            for line in (self._waiting, self._active):
                if run in line:
                    line.remove(run)

    def _carry_out(self, run: Run) -> None:
        while (self._held or not self._its_turn(run)) and not self._interrupted(run):
            time.sleep(TICK)
        try:
            self._do_all(run)
        finally:
            self._leave(run)

    def _do_all(self, run: Run) -> None:
        run.state = State("RUNNING", message="In run")
        fresh = [task for task in run.tasks if not task.state.ended]
        for task in fresh:
            task.state = State("BLOCKED" if task.depends_on else "PENDING")
        workers = [threading.Thread(target=self._do, args=(run, task), daemon=True) for task in fresh]
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
        retries = self._retries(task)
        for attempt in range(1 + retries):
            task.attempt = attempt
            ended = self._attempt(run, task)
            again = ended.result == "FAILED" or (ended.result == "TIMEDOUT" and task.spec.get("retry_on_timeout"))
            if attempt == retries or not again:
                break
            self._pause(run, task)
        task.state = ended
        task.ended_at = now()
        self._ws.journal.write("task_ended", task.run_id, key=task.key, result=task.state.result)

    def _retries(self, task: TaskRun) -> int:
        """How often a task that failed is tried again: serverless does it by itself unless that is switched off."""
        asked = int(task.spec.get("max_retries") or 0)
        clusters = ("existing_cluster_id", "new_cluster", "job_cluster_key")
        if task.spec.get("disable_auto_optimization") or any(task.spec.get(name) for name in clusters):
            return asked
        return max(asked, self.serverless_retries)

    def _pause(self, run: Run, task: TaskRun) -> None:
        task.state = State("WAITING_FOR_RETRY", message="The attempt failed and is tried again.")
        until = time.monotonic() + int(task.spec.get("min_retry_interval_millis") or 0) / 1000
        while time.monotonic() < until and not self._interrupted(run):
            time.sleep(TICK)

    def _attempt(self, run: Run, task: TaskRun) -> State:
        task.state, task.started_at = State("PENDING", message="Waiting for compute"), now()
        broken = self._breakdown(task)
        try:
            if broken and broken.after is None:
                raise ComputeFailed(broken.code, broken.message)
            process = self._process(run, task, compute(self._ws, run.settings, task.spec))
        except (ComputeFailed, InstallationFailed) as error:
            code = error.code if isinstance(error, ComputeFailed) else "LIBRARY_INSTALLATION_ERROR"
            task.outcome = Outcome(error=str(error))
            return State("INTERNAL_ERROR", "FAILED", str(error), code)
        except ApiError as error:
            task.outcome = Outcome(error=error.message)
            return State("TERMINATED", "FAILED", error.message)
        deadline, end = _deadline(run, task), time.monotonic() + (broken.after or 0) if broken else None
        while process.running:
            if self._interrupted(run):
                return self._kill(process, task, "CANCELED", "Run cancelled.")
            if broken and end and time.monotonic() > end:
                self._kill(process, task, "FAILED", broken.message)
                return State("INTERNAL_ERROR", "FAILED", broken.message, broken.code)
            if deadline and time.monotonic() > deadline:
                return self._kill(process, task, "TIMEDOUT", "Run timed out.")
            time.sleep(TICK)
        task.outcome = process.outcome()
        if task.outcome.error:
            message = "Workload failed, see run output for details"
            return State("TERMINATED", "FAILED", message)
        return State("TERMINATED", "SUCCESS")

    def _process(self, run: Run, task: TaskRun, machine: Compute) -> TaskProcess:
        process = TaskProcess(self._ws, run, task, machine)
        task.state = State("RUNNING", message="In run")
        self._ws.journal.write("task_started", task.run_id, key=task.key, run=run.id, attempt=task.attempt)
        return process

    def _breakdown(self, task: TaskRun) -> Breakdown | None:
        """The failure that is scripted for this task, and one fewer left."""
        with self._lock:
            for index, known in enumerate(self._breakdowns):
                if known.task in (None, task.key):
                    self._breakdowns[index : index + 1] = (
                        [replace(known, times=known.times - 1)] if known.times > 1 else []
                    )
                    return known
        return None

    def _kill(self, process: TaskProcess, task: TaskRun, result: str, message: str) -> State:
        task.state = State("TERMINATING", message=message)
        process.kill()
        task.outcome = Outcome(error=message, logs=process.outcome().logs)
        return State("TERMINATED", result, message)  # type: ignore[arg-type]

    def _interrupted(self, run: Run) -> bool:
        return run.cancel_asked or self._stopping.is_set()


def _limit(run: Run) -> int:
    limit = run.settings.get("max_concurrent_runs")
    return 1 if limit is None else int(limit)


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
    broken = next((task for task in leaves if task.state.life == "INTERNAL_ERROR"), None)
    if broken:
        message = f"Task {broken.key} failed with message: {broken.state.message}."
        return State("INTERNAL_ERROR", "FAILED", message, broken.state.code)
    for result in ("TIMEDOUT", "FAILED", "UPSTREAM_FAILED", "CANCELED", "UPSTREAM_CANCELED"):
        failed = [task for task in leaves if task.state.result == result]
        if failed:
            kind = {"UPSTREAM_FAILED": "FAILED", "UPSTREAM_CANCELED": "CANCELED"}.get(result, result)
            return State("TERMINATED", kind, f"Task {failed[0].key} failed with message: {failed[0].state.message}.")  # type: ignore[arg-type]
    return State("TERMINATED", "SUCCESS")
