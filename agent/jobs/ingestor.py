"""Job C: hands each new or newly assigned task to the orchestrator's job, once.

    change feed past the watermark → attachments and prompt to the Volume → run_now with the task's key → delivery noted
    → the watermark, up to the first task that could not be handed over

Each step may be the last before a crash: what is done again is the same.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from agent.jobs.attachments import Attachments
from agent.jobs.delivery import Deliveries, Delivery, delivery_key
from agent.jobs.feed import Change, ChangeFeed
from agent.jobs.parameters import CONFIG, Parameter, Values, complete, load
from agent.jobs.task import render_task, session_of
from agent.jobs.trigger import SETTING, Trigger, TriggerFailed
from agent.workspace.files import VolumeFiles, check_volume
from agent.workspace.statements import StatementFailed, Statements
from graph.errors import AgentError, BackendUnavailable, InvalidRequest

if TYPE_CHECKING:
    from agent.config import Settings

log = logging.getLogger(__name__)

PARAMETERS = (
    Parameter(
        "ADK_TASK_TABLE", "the table of tasks, catalog.schema.table, with a change data feed", flag="--task-table"
    ),
    Parameter("ADK_ASSIGNEE", "whose tasks are handed over", flag="--assignee"),
    Parameter("ADK_ORCHESTRATOR_JOB_ID", "Job A", flag="--orchestrator-job-id"),
    Parameter("ADK_DELTA_CATALOG", "catalog of the two tables that this job keeps", flag="--catalog"),
    Parameter("ADK_DELTA_SCHEMA", "their schema", flag="--schema"),
    Parameter("ADK_START_VERSION", "the first version to read when there is no watermark", "0", "--start-version"),
    Parameter("ADK_MAX_TASKS", "how many tasks are handed over in one run", "100", "--max-tasks"),
    Parameter("ADK_ATTACHMENT_HOSTS", "hosts of attachments; JIRA_TOKEN goes to the first", flag="--attachment-hosts"),
    Parameter("ADK_DRY_RUN", "true: say what would be done, and do nothing", "false", "--dry-run", switch=True),
    Parameter("ADK_SECRET_SCOPE", "databricks.secret_scope, which has JIRA_TOKEN", flag="--secret-scope"),
    CONFIG,
)


class NotAllDelivered(AgentError):
    """Some tasks could not be handed over; they are tried again by the next run."""


@dataclass
class Report:
    """`first` to `last` are the versions that were read; `watermark` the last that is done with."""

    first: int
    last: int
    watermark: int
    dry_run: bool
    triggered: list[Delivery] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


@dataclass(frozen=True)
class Ingestor:
    feed: ChangeFeed
    deliveries: Deliveries
    trigger: Trigger
    files: VolumeFiles
    attachments: Attachments
    assignee: str
    start: int = 0
    most: int = 100

    def run(self, dry_run: bool = False) -> Report:
        """Raises InvalidRequest or StatementFailed when nothing could be read."""
        if not dry_run:
            self.deliveries.make()
        done = self.deliveries.watermark() if not dry_run or self.deliveries.exist() else None
        first, last = self.start if done is None else done + 1, self.feed.latest()
        report = Report(first, last, first - 1, dry_run)
        changes = self.feed.read(first, last, self.assignee)
        waiting = self._deliver(changes, report)
        report.watermark = min([change.version - 1 for change in waiting], default=max(last, first - 1))
        if not dry_run and report.watermark >= first:
            self.deliveries.advance(report.watermark)
        return report

    def _deliver(self, changes: Sequence[Change], report: Report) -> list[Change]:
        """The tasks that are still to be handed over: they failed, or are more than one run takes."""
        waiting: list[Change] = []
        known = {} if report.dry_run and not self.deliveries.exist() else self._outcomes(changes)
        for change in changes:
            before = known.get(change.key, [])
            if "triggered" in before:
                report.known.append(change.key)
            elif len(report.triggered) >= self.most:
                report.left.append(change.key)
                waiting.append(change)
            elif not self._hand_over(change, len(before), report):
                waiting.append(change)
        return waiting

    def _outcomes(self, changes: Sequence[Change]) -> dict[str, list[str]]:
        return self.deliveries.outcomes([change.key for change in changes])

    def _hand_over(self, change: Change, attempt: int, report: Report) -> bool:
        """Whether the task is done with: handed over, or refused for good."""
        try:
            session = session_of(change.key, change.version)
        except InvalidRequest as error:
            report.refused[change.key] = str(error)
            return True
        key = delivery_key(self.feed.table, change.key, attempt)
        if report.dry_run:
            report.triggered.append(Delivery(key, change.key, change.version, session, 0, "would be triggered"))
            return True
        try:
            report.triggered.append(self._start(change, session, key))
        except (TriggerFailed, BackendUnavailable, StatementFailed) as error:
            log.warning("a task could not be handed over", extra={"issue": change.key, "reason": str(error)})
            report.failed[change.key] = str(error)
            return False
        return True

    def _start(self, change: Change, session: str, key: str) -> Delivery:
        """The prompt is a file, so that what people wrote is in no job's parameters."""
        folder = f"tasks/{session}"
        lines = self.attachments.fetch(f"{folder}/attachments", change.row.get("attachments"))
        self.files.write(f"{folder}/prompt.md", render_task(change.key, change.row, lines).encode(errors="replace"))
        parameters = {"ADK_PROMPT_FILE": self.files.path(f"{folder}/prompt.md"), "ADK_SESSION_ID": session}
        run_id = self.trigger.start(key, parameters)
        skipped = self.trigger.was_skipped(run_id)
        delivery = Delivery(key, change.key, change.version, session, run_id, "skipped" if skipped else "triggered")
        self.deliveries.note(delivery)
        if skipped:
            raise TriggerFailed(
                f"Run {run_id} was skipped, for the orchestrator's job has too many already: let it queue, or raise "
                "its max_concurrent_runs."
            )
        return delivery


def run_ingestor(given: Values) -> str:
    """One pass; what it did, as JSON. Raises NotAllDelivered, so that the job's run fails and somebody is told."""
    values = complete(PARAMETERS, given)
    report = open_ingestor(values, load(values)).run(read_flag("ADK_DRY_RUN", values["ADK_DRY_RUN"]))
    if report.failed:
        tasks = "; ".join(f"{issue}: {reason}" for issue, reason in report.failed.items())
        raise NotAllDelivered(
            f"{len(report.failed)} tasks could not be handed over. {tasks} The pass: {report.to_json()}"
        )
    return report.to_json()


def open_ingestor(values: Values, settings: Settings) -> Ingestor:
    """Raises InvalidRequest, which names the parameter or setting, for what is missing or wrong."""
    from agent.platforms.databricks.secrets import find_secrets
    from agent.workspace.connection import open_client

    for name in ("ADK_TASK_TABLE", "ADK_ASSIGNEE", SETTING):
        if not values[name]:
            raise InvalidRequest(f"{name} is not set, and this job can't do without it.")
    warehouse = settings.data.warehouse_id
    if not warehouse:
        raise InvalidRequest("data.warehouse_id is not set: the table of tasks is read by a SQL warehouse.")
    signed_in = open_client(settings.databricks.profile)
    statements = Statements(lambda: signed_in, warehouse)
    files = VolumeFiles(lambda: signed_in, check_volume(settings.databricks.volume))
    secrets = find_secrets(os.environ.get, lambda: signed_in, settings.databricks.secret_scope)
    hosts = tuple(host.strip().lower() for host in values["ADK_ATTACHMENT_HOSTS"].split(",") if host.strip())
    return Ingestor(
        ChangeFeed(statements, values["ADK_TASK_TABLE"]),
        Deliveries(statements, read_place(settings), values["ADK_TASK_TABLE"]),
        Trigger(lambda: signed_in, read_number(SETTING, values[SETTING])),
        files,
        Attachments(files, hosts, lambda: secrets("JIRA_TOKEN")),
        values["ADK_ASSIGNEE"],
        read_number("ADK_START_VERSION", values["ADK_START_VERSION"]),
        read_number("ADK_MAX_TASKS", values["ADK_MAX_TASKS"]),
    )


def read_place(settings: Settings) -> str:
    for name, part in (("ADK_DELTA_CATALOG", settings.data.catalog), ("ADK_DELTA_SCHEMA", settings.data.schema_name)):
        if not part or not re.fullmatch(r"[A-Za-z0-9_-]+", part):
            raise InvalidRequest(f"{name} is {part!r}: it says where this job keeps its two tables.")
    return f"{settings.data.catalog}.{settings.data.schema_name}"


def read_number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise InvalidRequest(f"{name} is {value!r}: it has to be a whole number.")
    return int(value)


def read_flag(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false", "1", "0"):
        raise InvalidRequest(f"{name} is {value!r}: it has to be true or false.")
    return value.lower() in ("true", "1")
