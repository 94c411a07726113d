"""The `local` backend: each artifact runs in a process of its own on this machine, at most once.

An artifact's folder is claimed before its run starts. The claim is for good, so that no crash makes it run twice; its
lock lives as long as the process that runs it, so that any other can tell a run that goes on from one that was cut off.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from agent.artifacts.files import Unreadable, append_line, read_text, write_text
from agent.artifacts.folder import FolderArtifacts
from agent.execution import claim as claims
from agent.execution.claim import Claim
from agent.execution.inside.namespace import Place
from agent.execution.result import Ran, result_of
from agent.execution.run import CANCEL, ERRORS, Run, RunLimits, start
from agent.execution.supervisor import WORK, Report
from graph.context import CANCELLED, RunHost
from graph.errors import BackendUnavailable, InvalidRequest, RunLost
from graph.types import Artifact, ExecutionResult, RunStatus

SHUT_DOWN = "interrupted by shutdown: the program in which it ran was ended"
REASON_CHARS = 300

log = logging.getLogger(__name__)


class LocalBackend:
    """Implements graph.context.ExecutionBackend. Thread-safe; `close` ends what still runs."""

    def __init__(self, artifacts: FolderArtifacts, limits: RunLimits) -> None:
        self._artifacts = artifacts
        self._limits = limits
        self._runs: dict[str, Run] = {}
        self._lock = threading.Lock()

    def submit(self, artifact: Artifact, idempotency_token: str, host: RunHost) -> str:
        """Start the artifact, or find the run that it has had: an artifact runs at most once, whatever the token."""
        self._artifacts.write(artifact)
        folder = self._artifacts.path(artifact.artifact_id)
        claim = Claim(
            run_id=claims.run_id_of(artifact.artifact_id, idempotency_token),
            token=sha256(idempotency_token.encode()).hexdigest(),
            pid=os.getpid(),
            start_time=datetime.now(UTC).isoformat(),
            iteration=artifact.iteration,
        )
        lock = claims.take(folder, claim)
        if lock is None:
            host.close()
            earlier = claims.read(folder)
            return earlier.run_id if earlier else claim.run_id
        self._start(artifact, folder, claim, host, lock)
        return claim.run_id

    def find(self, artifact: Artifact, idempotency_token: str) -> str | None:
        """The artifact's run, or None when none was begun. Raises RunLost when its folder is not here."""
        folder = self._artifacts.path(artifact.artifact_id)
        if not (folder / "code.py").exists():
            raise RunLost(f"the folder of {artifact.artifact_id} is not in {self._artifacts.root}")
        run_id = claims.run_id_of(artifact.artifact_id, idempotency_token)
        return run_id if claims.exists(folder, run_id) else None

    def poll(self, run_id: str) -> RunStatus | ExecutionResult:
        """Raises RunLost for a run that was never submitted, or whose folder was removed."""
        artifact_id, folder = self._place(run_id)
        run = self._runs.get(run_id)
        if run is not None and not run.done.is_set():
            return "running"
        result = self._artifacts.result(artifact_id)
        if result is not None:
            return result
        return "running" if claims.owner_lives(folder) else self._cut_off(run_id, artifact_id, folder)

    def cancel(self, run_id: str, reason: str = CANCELLED) -> None:
        """End the run, whichever process it belongs to; a finished run stays as it is."""
        artifact_id, folder = self._place(run_id)
        if self._artifacts.result(artifact_id) is None and not (folder / CANCEL).exists():
            write_text(folder, CANCEL, reason)

    def wait(self, run_id: str, seconds: float) -> bool:
        """Wait for a run of this process; whether it has ended."""
        run = self._runs.get(run_id)
        return run is None or run.done.wait(seconds)

    def close(self) -> None:
        """End the runs of this process, which can't outlive it, and wait until they have ended."""
        for run_id, run in list(self._runs.items()):
            if not run.done.is_set():
                self.cancel(run_id, SHUT_DOWN)
        for run in list(self._runs.values()):
            run.done.wait()

    def __enter__(self) -> LocalBackend:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _start(self, artifact: Artifact, folder: Path, claim: Claim, host: RunHost, lock: IO[str]) -> None:
        setup = host.setup
        place = Place(claim.run_id, artifact.iteration, setup["catalog"], setup["schema"])
        self._artifacts.note_names(artifact.artifact_id, names_of(place, setup))
        _mark(folder, f"===RLM_EXEC_START artifact_id={artifact.artifact_id}===")
        try:
            run = start(artifact.code, folder, place, host, self._limits)
        except OSError as error:
            claims.withdraw(folder)
            lock.close()
            host.close()
            raise BackendUnavailable(f"no process can be started for {claim.run_id}: {error}") from error
        with self._lock:
            self._runs = {run_id: one for run_id, one in self._runs.items() if not one.done.is_set()}
            self._runs[claim.run_id] = run
        run.watch(partial(self._ended, artifact, place, datetime.fromisoformat(claim.start_time), lock))

    def _ended(self, artifact: Artifact, place: Place, started: datetime, lock: IO[str], report: Report | None) -> None:
        folder = self._artifacts.path(artifact.artifact_id)
        ran = Ran(folder, place.run_id, place.iteration, started, datetime.now(UTC))
        result = result_of(ran, report, self._limits.seconds)
        if report is not None and report.reason == "cancelled":
            result = replace(result, error=_reason(folder))
        with lock:
            _tidy(folder)
            self._artifacts.finish(artifact.artifact_id, result)
            _mark(folder, f"===RLM_EXEC_END artifact_id={artifact.artifact_id} status={result.status}===")
        log.info("a run ended", extra={"run_id": place.run_id, "status": result.status, "reason": result.error})

    def _cut_off(self, run_id: str, artifact_id: str, folder: Path) -> ExecutionResult:
        """The result of a run whose process is gone; read once more, since it may have finished a moment ago."""
        result = self._artifacts.result(artifact_id)
        if result is None:
            claim = claims.read(folder)
            started = _time(claim.start_time) if claim else datetime.now(UTC)
            iteration = claim.iteration if claim else 0
            ran = Ran(folder, run_id, iteration, started, _last_sign(folder, started))
            result = result_of(ran, None, self._limits.seconds)
            self._artifacts.finish(artifact_id, result)
        return self._artifacts.result(artifact_id) or result

    def _place(self, run_id: str) -> tuple[str, Path]:
        artifact_id = claims.artifact_id_of(run_id)
        if artifact_id is None:
            raise InvalidRequest(f"{run_id!r} is no run id")
        folder = self._artifacts.path(artifact_id)
        if run_id in self._runs:
            return artifact_id, folder
        if not claims.exists(folder, run_id):
            raise RunLost(f"there is no run {run_id} here: it was never submitted, or its folder was removed")
        return artifact_id, folder


def _reason(folder: Path) -> str:
    """Why the run was cancelled, in the words of who did it."""
    try:
        return (read_text(folder, CANCEL) or CANCELLED)[:REASON_CHARS]
    except Unreadable:
        return CANCELLED


def _last_sign(folder: Path, started: datetime) -> datetime:
    """When a run that was cut off was last heard of."""
    heard = (folder / name for name in ("stdout.txt", "stderr.txt"))
    times = (datetime.fromtimestamp(path.lstat().st_mtime, UTC) for path in heard if os.path.lexists(path))
    return max(times, default=started)


def _time(written: str) -> datetime:
    """From a claim, which a run may have changed since."""
    try:
        time = datetime.fromisoformat(written)
    except (TypeError, ValueError):
        return datetime.now(UTC)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _tidy(folder: Path) -> None:
    """Remove what says nothing: an empty working folder, an empty log, a request that was answered."""
    errors, work = folder / ERRORS, folder / WORK
    with suppress(OSError):
        (folder / CANCEL).unlink(missing_ok=True)
    with suppress(OSError):
        if errors.lstat().st_size == 0:
            errors.unlink()
    with suppress(OSError):
        work.rmdir()


def _mark(folder: Path, marker: str) -> None:
    """For readers of the log; nothing is decided by it."""
    with suppress(Unreadable, OSError):
        append_line(folder, "run.log", f"{datetime.now(UTC).isoformat()} {marker}")


def names_of(place: Place, setup: Mapping[str, Any]) -> dict[str, Any]:
    """What the notebook tells of the run, with the data to open again where the host knows it."""
    names = asdict(place)
    return names | ({"data": {**setup["opening"], **names}} if setup.get("opening") else {})
