"""The folders that delegations leave. Files, so that they outlive everything else.

art_0123456789ab/
├── code.py         what ran
├── notebook.ipynb  instruction, code, outputs, figures, digest: rendered from the rest of the folder
├── stdout.txt      what it printed, whole up to the limit
├── stderr.txt
├── result.json     graph.types.ExecutionResult
├── notes.jsonl     what readers wrote down, a record for each part of a long output
├── digest.md       what the analyst was told of it
├── handed.json     what the code handed over, saved and had read while it ran
├── answers/        the values that it answered with
├── meta.json       thread, invocation, iteration, instruction
├── figures/        what it drew
└── work/           the folder it ran in

Only figures/ and work/ are a run's to write. All else is ours, and read as if it were not: see files.py.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from agent.artifacts import files
from agent.artifacts.files import Unreadable
from agent.artifacts.notebook import Page, render
from agent.artifacts.protocol import ArtifactSummary
from graph.errors import InvalidRequest
from graph.types import Artifact, ExecutionResult

log = logging.getLogger(__name__)

ARTIFACT_ID = re.compile(r"art_[0-9a-f]{12}")
MOST_FIGURES, MOST_FIGURE_BYTES = 100, 4 * 1024 * 1024
PNG = b"\x89PNG\r\n\x1a\n"
NOTES, HANDED, ANSWERS = "notes.jsonl", "handed.json", "answers"
META = {"thread_id": str, "iteration": int, "created": str, "instruction": str, "names": dict}
REMEMBERED = 256
"""Results that are kept in memory: they don't change any more."""


class FolderArtifacts:
    """Implements graph.context.ArtifactStore below `root`. Every write is whole or not at all; any process may read."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._results: OrderedDict[str, ExecutionResult] = OrderedDict()

    def path(self, artifact_id: str) -> Path:
        """The artifact's folder, there or not; raises InvalidRequest for what is no artifact id."""
        if not ARTIFACT_ID.fullmatch(artifact_id):
            raise InvalidRequest(f"{artifact_id!r} is no artifact id: they look like art_0123456789ab")
        return self.root / artifact_id

    def folder(self, artifact_id: str) -> str:
        return str(self.path(artifact_id))

    def write(self, artifact: Artifact) -> str:
        """Write code and notebook; return the code's key. Writing the same artifact again changes nothing."""
        folder = self.path(artifact.artifact_id)
        key = f"{artifact.artifact_id}/code.py"
        if (folder / "notebook.ipynb").exists():
            return key
        folder.mkdir(parents=True, exist_ok=True)
        meta = {
            "artifact_id": artifact.artifact_id,
            "thread_id": artifact.thread_id,
            "invocation_id": artifact.invocation_id,
            "iteration": artifact.iteration,
            "instruction": artifact.instruction,
            "created": datetime.now(UTC).isoformat(),
        }
        files.write_text(folder, "code.py", artifact.code)
        files.write_text(folder, "meta.json", json.dumps(meta, indent=2))
        self._render(folder)
        return key

    def note_names(self, artifact_id: str, names: Mapping[str, Any]) -> None:
        """Keep what the code sees, for the notebook's setup cell."""
        folder = self.path(artifact_id)
        files.write_text(folder, "meta.json", json.dumps(self._meta(folder) | {"names": dict(names)}, indent=2))

    def finish(self, artifact_id: str, result: ExecutionResult) -> None:
        """Keep the result; one that could not be kept is no success. The notebook tells it with the digest."""
        folder = self.path(artifact_id)
        try:
            files.write_text(folder, "result.json", json.dumps(result.as_dict(), indent=2, ensure_ascii=False))
        except OSError as error:
            log.exception("a result could not be kept", extra={"artifact_id": artifact_id})
            reason = f"the result could not be written to {folder}: {error.strerror or error}"
            result = replace(result, status="failed", error=reason)
        self._remember(artifact_id, result)

    def result(self, artifact_id: str) -> ExecutionResult | None:
        """A result that can't be read is a failed one."""
        if (known := self._results.get(artifact_id)) is not None:
            return known
        folder = self.path(artifact_id)
        try:
            written = files.read_object(folder, "result.json")
            result = None if written is None else result_from(written)
        except (Unreadable, TypeError) as error:
            return unreadable(self._meta(folder), str(folder / "code.py"), error)
        if result is not None:
            self._remember(artifact_id, result)
        return result

    def text(self, artifact_id: str, stream: str = "stdout") -> Iterator[str]:
        """All of `stdout` or `stderr` in pieces; nothing of what can't be read as a file."""
        try:
            yield from files.pieces_of(self.path(artifact_id), f"{stream}.txt")
        except Unreadable:
            return

    def size(self, artifact_id: str, stream: str = "stdout") -> int:
        """Characters (at most; bytes on disk) that `text` yields."""
        return files.size_of(self.path(artifact_id), f"{stream}.txt")

    def write_digest(self, artifact_id: str, digest: str, notes: Sequence[Mapping[str, Any]] = ()) -> None:
        folder = self.path(artifact_id)
        if notes:
            lines = (json.dumps(dict(note), ensure_ascii=False) for note in notes)
            files.write_text(folder, NOTES, "".join(f"{line}\n" for line in lines))
        files.write_text(folder, "digest.md", digest)
        self._render(folder)

    def notes(self, artifact_id: str) -> Sequence[Mapping[str, Any]]:
        """What readers wrote down of its output; empty when nobody had to read it."""
        try:
            text = files.read_text(self.path(artifact_id), NOTES) or ""
            return [json.loads(line) for line in text.split("\n") if line]
        except (Unreadable, ValueError):
            return []

    def handed(self, artifact_id: str) -> Mapping[str, Any]:
        try:
            return files.read_object(self.path(artifact_id), HANDED) or {}
        except Unreadable:
            return {}

    def write_handed(self, artifact_id: str, handed: Mapping[str, Any]) -> None:
        files.write_text(self.path(artifact_id), HANDED, json.dumps(dict(handed), indent=2, ensure_ascii=False))

    def answers(self, artifact_id: str) -> Path:
        """The folder of the values that it answered with, there or not."""
        return self.path(artifact_id) / ANSWERS

    def thread_of(self, artifact_id: str) -> str | None:
        """Whose it is; None when there is no such artifact."""
        return self._meta(self.path(artifact_id)).get("thread_id")

    def open(self, artifact_id: str, name: str) -> AbstractContextManager[BinaryIO]:
        return files.opened(self.path(artifact_id), name)

    def files(self, artifact_id: str) -> tuple[str, ...]:
        return files.names_below(self.path(artifact_id))

    def read(self, artifact_id: str) -> ArtifactSummary:
        """Raises InvalidRequest when there is no such artifact."""
        folder = self.path(artifact_id)
        if not (folder / "meta.json").exists():
            raise InvalidRequest(f"there is no artifact {artifact_id}: `artifacts list` shows which there are")
        meta, result = self._meta(folder), self.result(artifact_id)
        return ArtifactSummary(
            artifact_id=artifact_id,
            thread_id=meta.get("thread_id", ""),
            iteration=meta.get("iteration", 0),
            created=meta.get("created", ""),
            status=result.status if result else "running" if (folder / "run.json").exists() else "pending",
            duration_seconds=result.duration_seconds if result else None,
            instruction=meta.get("instruction"),
            code=self._text(folder, "code.py") or "",
            result=result,
            digest=self._text(folder, "digest.md"),
            files=self.files(artifact_id),
        )

    def list(self) -> tuple[ArtifactSummary, ...]:
        """All artifacts, the newest first."""
        if not self.root.is_dir():
            return ()
        ids = [
            path.parent.name for path in self.root.glob("art_*/meta.json") if ARTIFACT_ID.fullmatch(path.parent.name)
        ]
        return tuple(sorted(map(self.read, ids), key=lambda summary: summary.created, reverse=True))

    def delete(self, artifact_id: str) -> None:
        """Remove its folder with all that is in it; one that is not there is no error."""
        self._results.pop(artifact_id, None)
        shutil.rmtree(self.path(artifact_id), ignore_errors=True)

    def _remember(self, artifact_id: str, result: ExecutionResult) -> None:
        with self._lock:
            self._results[artifact_id] = result
            while len(self._results) > REMEMBERED:
                self._results.popitem(last=False)

    def _meta(self, folder: Path) -> dict[str, Any]:
        """What is known of it; nothing of what was broken."""
        try:
            written = files.read_object(folder, "meta.json") or {}
        except Unreadable:
            return {}
        return {key: value for key, value in written.items() if isinstance(value, META.get(key, object))}

    def _text(self, folder: Path, name: str) -> str | None:
        try:
            return files.read_text(folder, name)
        except Unreadable:
            return None

    def _render(self, folder: Path) -> None:
        meta = self._meta(folder)
        page = Page(
            instruction=meta.get("instruction"),
            code=self._text(folder, "code.py") or "",
            iteration=meta.get("iteration", 0),
            artifact_id=folder.name,
            names=meta.get("names", {}),
            result=self.result(folder.name),
            figures=tuple(_figures(folder)),
            digest=self._text(folder, "digest.md"),
        )
        files.write_text(folder, "notebook.ipynb", json.dumps(render(page), indent=1, ensure_ascii=False) + "\n")


def result_from(written: Mapping[str, Any]) -> ExecutionResult:
    """Raises TypeError for what is none."""
    result = ExecutionResult(**written)
    texts = (result.status, result.run_id, result.start_time, result.end_time, result.stdout, result.stderr)
    maybe = (result.output, result.error, result.error_trace)
    if not all(isinstance(text, str) for text in texts) or not all(
        text is None or isinstance(text, str) for text in maybe
    ):
        raise TypeError("result.json has fields of other types")
    if result.status not in ("success", "failed") or not isinstance(result.duration_seconds, (int, float)):
        raise TypeError("result.json tells no status or no duration")
    return result


def unreadable(meta: Mapping[str, Any], path: str, error: Exception) -> ExecutionResult:
    now = datetime.now(UTC).isoformat()
    return ExecutionResult(
        status="failed",
        artifact_path=path,
        run_id="",
        iteration=meta.get("iteration", 0),
        start_time=now,
        end_time=now,
        duration_seconds=0.0,
        error=f"what the run left can't be read: {error}",
    )


def _figures(folder: Path) -> Iterator[bytes]:
    """Only real PNG files of a sane size: the folder was within the reach of generated code."""
    try:
        names = sorted(path.name for path in (folder / "figures").glob("figure-*.png"))[:MOST_FIGURES]
    except OSError:
        return
    for name in names:
        try:
            data = files.read_bytes(folder, f"figures/{name}", MOST_FIGURE_BYTES)
        except (FileNotFoundError, Unreadable):
            continue
        if data.startswith(PNG):
            yield data
