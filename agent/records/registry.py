"""The artifact registry and the runs of its artifacts: written at once, since a restart depends on them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple, replace
from datetime import UTC, datetime
from typing import Any

from agent.records.columns import ARTIFACT_REGISTRY, RUN_STATE, ArtifactRow, ArtifactType, RunRow, RunState
from agent.records.database import insert, to_plain
from agent.records.engine import Engine, Transaction
from agent.records.lifecycle import UnknownArtifact, step
from agent.redaction.payload import to_json
from agent.redaction.secrets import redact_text
from graph.types import Artifact, ArtifactStatus

RUN_STATES: Mapping[ArtifactStatus, RunState] = {"executing": "running", "completed": "success", "failed": "failed"}
KEYS = ("stdout_artifact_key", "stderr_artifact_key", "code_artifact_key")


class ArtifactRegistry:
    def __init__(self, database: Engine) -> None:
        self._database = database

    def register(self, artifact: Artifact, code_key: str, artifact_type: ArtifactType) -> None:
        now = datetime.now(UTC)
        row = ArtifactRow(
            artifact_id=artifact.artifact_id,
            session_id=artifact.thread_id,
            invocation_id=artifact.invocation_id,
            iteration=artifact.iteration,
            artifact_type=artifact_type,
            sublm_instruction=redact_text(artifact.instruction) if artifact.instruction else None,
            code_artifact_key=code_key,
            stdout_artifact_key=None,
            stderr_artifact_key=None,
            status="pending",
            metadata_json=to_json({"artifact_path": artifact.path}),
            created_time=now,
            updated_time=now,
            consumed_time=None,
        )
        with self._database.write() as connection:
            connection.execute(insert(ARTIFACT_REGISTRY), values(row))

    def advance(self, artifact_id: str, wanted: ArtifactStatus, metadata: Mapping[str, Any]) -> None:
        """Take a step and merge metadata in. Raises IllegalStep or UnknownArtifact, and then nothing was changed."""
        with self._database.write() as connection:
            row = self.artifact(artifact_id)
            if row is None:
                raise UnknownArtifact(f"No artifact {artifact_id} is registered.")
            status = step(artifact_id, row.status, wanted)
            moved = advance_row(row, status, metadata)
            connection.execute(UPDATE_ARTIFACT, changes(moved))
            follow_run(connection, moved, wanted, metadata)

    def artifact(self, artifact_id: str) -> ArtifactRow | None:
        found = self._database.rows(ARTIFACT_REGISTRY, "WHERE artifact_id = ?", (artifact_id,), ArtifactRow)
        return found[0] if found else None

    def artifacts(self, thread_id: str) -> list[ArtifactRow]:
        where = "WHERE session_id = ? ORDER BY created_time, artifact_id"
        return self._database.rows(ARTIFACT_REGISTRY, where, (thread_id,), ArtifactRow)

    def record_run(self, run: RunRow) -> None:
        """Insert the run, or bring the one with its id up to date."""
        with self._database.write() as connection:
            save_run(connection, run)

    def runs(self, thread_id: str) -> list[RunRow]:
        where = "WHERE thread_id = ? ORDER BY created_time, run_id"
        return self._database.rows(RUN_STATE, where, (thread_id,), RunRow)


UPDATE_ARTIFACT = """
UPDATE artifact_registry SET status = ?, metadata_json = ?, code_artifact_key = ?, stdout_artifact_key = ?,
    stderr_artifact_key = ?, updated_time = ?, consumed_time = ?
WHERE artifact_id = ?"""

UPDATE_RUN = (
    " DO UPDATE SET status = excluded.status, task_refs = excluded.task_refs, updated_time = excluded.updated_time"
)


def values(row: ArtifactRow | RunRow) -> tuple[Any, ...]:
    return tuple(to_plain(value) for value in astuple(row))


def changes(row: ArtifactRow) -> tuple[Any, ...]:
    keys = (row.code_artifact_key, row.stdout_artifact_key, row.stderr_artifact_key)
    times = (to_plain(row.updated_time), to_plain(row.consumed_time))
    return (row.status, row.metadata_json, *keys, *times, row.artifact_id)


def advance_row(row: ArtifactRow, status: ArtifactStatus, metadata: Mapping[str, Any]) -> ArtifactRow:
    """The row after the step. Artifact keys in the metadata go to their columns, the rest is merged."""
    now = datetime.now(UTC)
    keys = {name: metadata[name] for name in KEYS if metadata.get(name)}
    merged = json.loads(row.metadata_json or "{}") | {k: v for k, v in metadata.items() if k not in KEYS}
    consumed = row.consumed_time or (now if status == "consumed" else None)
    return replace(row, status=status, metadata_json=to_json(merged), updated_time=now, consumed_time=consumed, **keys)


def follow_run(connection: Transaction, row: ArtifactRow, wanted: ArtifactStatus, metadata: Mapping[str, Any]) -> None:
    """Bring run_state along: a `run_id` in the metadata names the run, a finished artifact finishes its runs."""
    state = RUN_STATES.get(wanted)
    if state is None or wanted != row.status:
        return
    if run_id := metadata.get("run_id"):
        save_run(connection, run_of(row, str(run_id), state, metadata))
    connection.execute(
        "UPDATE run_state SET status = ?, updated_time = ? "
        "WHERE thread_id = ? AND artifact_id = ? AND status IN ('queued', 'running')",
        (state, to_plain(row.updated_time), row.session_id, row.artifact_id),
    )


def run_of(row: ArtifactRow, run_id: str, state: RunState, metadata: Mapping[str, Any]) -> RunRow:
    path = json.loads(row.metadata_json or "{}").get("artifact_path")
    refs = to_json(metadata.get("task_refs") or [])
    return RunRow(
        run_id=run_id,
        thread_id=row.session_id,
        request_id=row.invocation_id,
        iteration=row.iteration,
        task_refs=refs,
        status=state,
        artifact_id=row.artifact_id,
        artifact_path=path,
        created_time=row.updated_time,
        updated_time=row.updated_time,
    )


def save_run(connection: Transaction, run: RunRow) -> None:
    statement = insert(RUN_STATE).replace("ON CONFLICT DO NOTHING", "ON CONFLICT (run_id)" + UPDATE_RUN)
    connection.execute(statement, values(run))
