"""Runs and the tasks in them, with their states in both of Databricks's shapes."""

import time
from dataclasses import dataclass, field
from typing import Any, Literal

Life = Literal[
    "QUEUED",
    "PENDING",
    "BLOCKED",
    "RUNNING",
    "TERMINATING",
    "TERMINATED",
    "SKIPPED",
    "INTERNAL_ERROR",
    "WAITING_FOR_RETRY",
]
Result = Literal[
    "SUCCESS",
    "FAILED",
    "TIMEDOUT",
    "CANCELED",
    "UPSTREAM_FAILED",
    "UPSTREAM_CANCELED",
    "EXCLUDED",
    "MAXIMUM_CONCURRENT_RUNS_REACHED",
]
ENDED = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")

# Termination codes and types of the newer shape, by result.
_CODES: dict[Result, tuple[str, str]] = {
    "SUCCESS": ("SUCCESS", "SUCCESS"),
    "FAILED": ("RUN_EXECUTION_ERROR", "CLIENT_ERROR"),
    "TIMEDOUT": ("RUN_EXECUTION_ERROR", "CLIENT_ERROR"),
    "CANCELED": ("USER_CANCELED", "CLIENT_ERROR"),
    "UPSTREAM_FAILED": ("RUN_EXECUTION_ERROR", "CLIENT_ERROR"),
    "UPSTREAM_CANCELED": ("USER_CANCELED", "CLIENT_ERROR"),
    "EXCLUDED": ("SKIPPED", "SUCCESS"),
    "MAXIMUM_CONCURRENT_RUNS_REACHED": ("MAX_CONCURRENT_RUNS_EXCEEDED", "CLIENT_ERROR"),
}
# Whose fault a termination code is, where it is not the client's.
_TYPES = {"INTERNAL_ERROR": "INTERNAL_ERROR", "CLUSTER_ERROR": "CLOUD_FAILURE", "CLOUD_FAILURE": "CLOUD_FAILURE"}


@dataclass
class State:
    """Where a run or a task stands."""

    life: Life = "PENDING"
    result: Result | None = None
    message: str = ""
    code: str | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.life in ENDED

    def legacy(self) -> dict[str, Any]:
        """The `state` object."""
        about: dict[str, Any] = {"life_cycle_state": self.life, "state_message": self.message}
        if self.result:
            about |= {
                "result_state": self.result,
                "user_cancelled_or_timedout": self.result in ("CANCELED", "TIMEDOUT"),
            }
        return about

    def status(self) -> dict[str, Any]:
        """The `status` object."""
        newer = {"SKIPPED": "TERMINATED", "INTERNAL_ERROR": "TERMINATED", "WAITING_FOR_RETRY": "WAITING"}
        about: dict[str, Any] = {"state": newer.get(self.life, self.life)}
        if self.ended and self.result:
            code, kind = _CODES[self.result]
            if self.code:
                code, kind = self.code, _TYPES.get(self.code, "CLIENT_ERROR")
            about["termination_details"] = {"code": code, "type": kind, "message": self.message}
        if self.life == "QUEUED":
            code = self.code or "ACTIVE_RUNS_LIMIT_REACHED"
            about["queue_details"] = {"code": code, "message": self.message or "queued on demand of the test"}
        return about


@dataclass
class Outcome:
    """What a task left behind."""

    result: str | None = None
    error: str | None = None
    trace: str | None = None
    logs: str = ""


@dataclass
class TaskRun:
    """One task of a run."""

    key: str
    run_id: int
    spec: dict[str, Any]
    state: State = field(default_factory=State)
    attempt: int = 0
    outcome: Outcome = field(default_factory=Outcome)
    parameters: dict[str, str] = field(default_factory=dict)
    started_at: int = 0
    ended_at: int = 0

    @property
    def depends_on(self) -> list[str]:
        """The keys of the tasks before it."""
        return [item["task_key"] for item in self.spec.get("depends_on") or []]


@dataclass
class Run:
    """One run of a job, or of tasks that were submitted once."""

    id: int
    job_id: int
    name: str
    tasks: list[TaskRun]
    creator: str
    principal: str
    settings: dict[str, Any]
    parameters: dict[str, str] = field(default_factory=dict)
    overrides: dict[str, Any] = field(default_factory=dict)
    trigger: str = "ONE_TIME"
    run_type: str = "SUBMIT_RUN"
    timeout: float | None = None
    state: State = field(default_factory=State)
    started_at: int = field(default_factory=lambda: now())
    ended_at: int = 0
    cancel_asked: bool = False
    admitted: bool = False
    number: int = 1
    repairs: list[dict[str, Any]] = field(default_factory=list)

    def task(self, key: str) -> TaskRun:
        """The task of a key."""
        return next(task for task in self.tasks if task.key == key)


def now() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)
