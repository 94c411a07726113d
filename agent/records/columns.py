"""The tables, each declared once: a row's dataclass gives the columns, their types and which may be NULL."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from graph.types import ArtifactStatus

ArtifactType = Literal["delegation_request", "executor_result", "processor_response", "jira_attachment"]
RunState = Literal["queued", "running", "success", "failed", "cancelled"]
Kind = Literal["string", "integer", "boolean", "timestamp"]


@dataclass(frozen=True)
class ArtifactRow:
    """`session_id` is the thread, `invocation_id` the request. Keys are paths in the artifact store."""

    artifact_id: str
    session_id: str
    invocation_id: str
    iteration: int
    artifact_type: ArtifactType
    sublm_instruction: str | None
    code_artifact_key: str | None
    stdout_artifact_key: str | None
    stderr_artifact_key: str | None
    status: ArtifactStatus
    metadata_json: str | None
    created_time: datetime
    updated_time: datetime
    consumed_time: datetime | None


@dataclass(frozen=True)
class TelemetryRow:
    telemetry_id: str
    ts: datetime
    app_name: str | None
    user_id: str | None
    session_id: str | None
    invocation_id: str | None
    branch: str | None
    agent_name: str | None
    callback_name: str
    event_id: str | None
    tool_name: str | None
    function_call_id: str | None
    model_name: str | None
    tool_blocked: bool | None
    blocked_reason: str | None
    payload_json: str | None
    created_time: datetime


@dataclass(frozen=True)
class RunRow:
    """One run of one artifact. `task_refs` is a JSON list of the backend's own handles; `artifact_path` its folder."""

    run_id: str
    thread_id: str
    request_id: str
    iteration: int
    task_refs: str
    status: RunState
    artifact_id: str | None
    artifact_path: str | None
    created_time: datetime
    updated_time: datetime


@dataclass(frozen=True)
class TurnRow:
    """A turn that runs now, in which process, and when it was asked to stop. About this machine, so never synced."""

    thread_id: str
    request_id: str
    pid: int
    process_started: str
    started_time: datetime
    cancel_time: datetime | None


@dataclass(frozen=True)
class Column:
    name: str
    kind: Kind
    nullable: bool


@dataclass(frozen=True)
class Table:
    """`index` is what the table is asked by; `partition` is how Delta lays it out."""

    name: str
    row: type
    key: tuple[str, ...]
    index: tuple[str, ...] = ()
    partition: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[Column, ...]:
        return columns_of(self.row)


ARTIFACT_REGISTRY = Table("artifact_registry", ArtifactRow, ("artifact_id",), ("session_id",), ("session_id",))
ADK_TELEMETRY = Table("adk_telemetry", TelemetryRow, ("telemetry_id",), ("session_id", "invocation_id"))
RUN_STATE = Table("run_state", RunRow, ("run_id",), ("thread_id",))
RUNNING_TURNS = Table("running_turns", TurnRow, ("thread_id", "request_id"))

TABLES = (ARTIFACT_REGISTRY, ADK_TELEMETRY, RUN_STATE)
"""What is kept for people who ask later, here or in Unity Catalog."""

LOCAL_TABLES = (*TABLES, RUNNING_TURNS)


@cache
def columns_of(row: type) -> tuple[Column, ...]:
    hints = get_type_hints(row)
    return tuple(column(field.name, hints[field.name]) for field in fields(row))


def column(name: str, hint: Any) -> Column:
    given = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    (only,) = (part for part in given if part is not type(None))
    return Column(name, kind_of(only), type(None) in given)


def kind_of(hint: Any) -> Kind:
    if get_origin(hint) is Literal:
        return "string"
    kinds: dict[Any, Kind] = {str: "string", bool: "boolean", int: "integer", datetime: "timestamp"}
    return kinds[hint]
