"""The live things that tools need, as Protocols: local stand-ins and a workspace's own fit the same places."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from graph.errors import AgentError

TableType = Literal["BASE TABLE", "VIEW"]
Operator = Literal["LIKE", "NOT LIKE"]

LifeCycleState = Literal["PENDING", "RUNNING", "TERMINATING", "TERMINATED", "SKIPPED", "INTERNAL_ERROR"]
ResultState = Literal["SUCCESS", "FAILED", "CANCELED", "TIMEDOUT"]


class GenieUnavailable(AgentError):
    """The question could not be turned into rows; the text says why."""


class JobsUnavailable(AgentError):
    """A job can't be started, looked at or stopped; the text says why."""


class Matches(Protocol):
    """`rows` are catalog, schema, table, table type, column, column type; `total` counts those not shown, too."""

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]: ...

    @property
    def total(self) -> int: ...

    @property
    def sql(self) -> str: ...


class Column(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def type(self) -> str: ...


class Table(Protocol):
    """A table as the catalog lists it; `rows` may be unknown."""

    @property
    def full_name(self) -> str: ...

    @property
    def columns(self) -> Sequence[Column]: ...

    @property
    def rows(self) -> int | None: ...

    @property
    def source(self) -> str: ...


class Catalog(Protocol):
    def tables(self) -> Sequence[Table]:
        """What is there to ask about. Raises AgentError when the catalog can't be asked."""

    def search(
        self, keyword: str, table_type: TableType | None = None, operator: Operator = "LIKE", *, limit: int = 5
    ) -> Matches:
        """Columns by keyword. Raises AgentError when the catalog can't be asked."""


@dataclass(frozen=True)
class GenieAnswer:
    """`rows` are the first of `row_count`; `truncated` when there are more than could be counted."""

    text: str
    sql: str | None = None
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    row_count: int = 0
    truncated: bool = False


class Genie(Protocol):
    def ask(self, question: str, thread_id: str, cancelled: threading.Event | None = None) -> GenieAnswer:
        """Answer in the thread's own conversation, until `cancelled` is set. Raises GenieUnavailable."""


@dataclass(frozen=True)
class JobOrder:
    """What to run and for whom. The same `idempotency_token` starts one run only, also after a crash."""

    user_request: str
    thread_id: str
    idempotency_token: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class JobTask:
    task_key: str
    life_cycle_state: LifeCycleState
    result_state: ResultState | None = None


@dataclass(frozen=True)
class JobRun:
    """A run as the Jobs API tells it. `result` is what the notebook returned, when it is done."""

    run_id: str
    life_cycle_state: LifeCycleState
    result_state: ResultState | None = None
    state_message: str = ""
    tasks: tuple[JobTask, ...] = ()
    run_page_url: str = ""
    result: str | None = None
    result_truncated: bool = False
    error: str | None = None


class Jobs(Protocol):
    """Raises JobsUnavailable for orders that can't be started and runs that can't be reached."""

    @property
    def about(self) -> str:
        """What can be run and with which parameters, for the model."""

    def start(self, order: JobOrder) -> str:
        """Start a run and return its id at once."""

    def find(self, idempotency_token: str) -> str | None:
        """The run that this token has started, or None when none is known here."""

    def poll(self, run_id: str) -> JobRun: ...

    def cancel(self, run_id: str) -> JobRun:
        """End the run; one that has ended stays as it is."""

    def owns(self, run_id: str, thread_id: str) -> bool:
        """Whether the thread started the run."""


class FileRefused(AgentError):
    """A file can't be saved under this name; the text says what to change."""


class Volumes(Protocol):
    def save(self, filename: str, content: str) -> str:
        """Write the file whole or not at all and return where it is. Raises FileRefused."""


@dataclass(frozen=True)
class ToolServices:
    catalog: Catalog
    volumes: Volumes
    genie: Genie
    jobs: Jobs
    genie_name: str = "Genie"
    genie_description: str = "Answers questions about the tables in natural language"
