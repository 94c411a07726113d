"""The folders that delegations leave. Files, so that they outlive everything else.

art_0123456789ab/
├── code.py         what ran
├── notebook.ipynb  instruction, code, outputs, figures, digest: rendered from the rest of the folder
├── stdout.txt      what it printed, whole up to the limit
├── stderr.txt
├── result.json     graph.types.ExecutionResult
├── digest.md       what the sub-model made of the output
├── meta.json       thread, invocation, iteration, instruction
├── figures/        what it drew
└── work/           the folder it ran in
"""

from __future__ import annotations

import codecs
import json
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from agent.artifacts.notebook import Page, render
from agent.artifacts.protocol import ArtifactSummary
from graph.errors import InvalidRequest
from graph.types import Artifact, ExecutionResult

ARTIFACT_ID = re.compile(r"art_[0-9a-f]{12}")
PIECE = 1 << 20
MOST_FIGURE_BYTES = 4 * 1024 * 1024
PNG = b"\x89PNG\r\n\x1a\n"


class FolderArtifacts:
    """Implements graph.context.ArtifactStore below `root`. Every write is whole or not at all; any process may read."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()

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
        _write(folder / "code.py", artifact.code)
        _write(folder / "meta.json", json.dumps(meta, indent=2))
        self._render(folder)
        return key

    def note_names(self, artifact_id: str, names: Mapping[str, Any]) -> None:
        """Keep what the code sees, for the notebook's setup cell."""
        folder = self.path(artifact_id)
        meta = _read_json(folder / "meta.json") | {"names": dict(names)}
        _write(folder / "meta.json", json.dumps(meta, indent=2, default=str))

    def finish(self, artifact_id: str, result: ExecutionResult) -> None:
        """Keep the result and bring the notebook up to date."""
        folder = self.path(artifact_id)
        _write(folder / "result.json", json.dumps(result.as_dict(), indent=2, ensure_ascii=False))
        self._render(folder)

    def result(self, artifact_id: str) -> ExecutionResult | None:
        path = self.path(artifact_id) / "result.json"
        return ExecutionResult(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None

    def text(self, artifact_id: str) -> Iterator[str]:
        """The full output in pieces: stdout, then stderr when the code failed."""
        for path in self._outputs(artifact_id):
            yield from _pieces(path)

    def size(self, artifact_id: str) -> int:
        """Characters (at most; bytes on disk) that `text` yields."""
        return sum(path.stat().st_size for path in self._outputs(artifact_id))

    def write_digest(self, artifact_id: str, digest: str) -> None:
        folder = self.path(artifact_id)
        _write(folder / "digest.md", digest)
        self._render(folder)

    def read(self, artifact_id: str) -> ArtifactSummary:
        """Raises InvalidRequest when there is no such artifact."""
        folder = self.path(artifact_id)
        if not (folder / "meta.json").exists():
            raise InvalidRequest(f"there is no artifact {artifact_id}: `artifacts list` shows which there are")
        meta = _read_json(folder / "meta.json")
        result = self.result(artifact_id)
        return ArtifactSummary(
            artifact_id=artifact_id,
            thread_id=meta["thread_id"],
            iteration=meta["iteration"],
            created=meta["created"],
            status=result.status if result else "running" if (folder / "run.json").exists() else "pending",
            duration_seconds=result.duration_seconds if result else None,
            instruction=meta["instruction"],
            code=(folder / "code.py").read_text(encoding="utf-8"),
            result=result,
            digest=_read_text(folder / "digest.md"),
            files=tuple(sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if _is_shown(path))),
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
        shutil.rmtree(self.path(artifact_id), ignore_errors=True)

    def _outputs(self, artifact_id: str) -> tuple[Path, ...]:
        folder = self.path(artifact_id)
        result = self.result(artifact_id)
        names = ("stdout.txt", "stderr.txt") if result is None or result.status == "failed" else ("stdout.txt",)
        return tuple(folder / name for name in names if (folder / name).exists())

    def _render(self, folder: Path) -> None:
        with self._lock:
            meta = _read_json(folder / "meta.json")
            result = self.result(folder.name)
            page = Page(
                instruction=meta["instruction"],
                code=(folder / "code.py").read_text(encoding="utf-8"),
                iteration=meta["iteration"],
                artifact_id=folder.name,
                names=meta.get("names", {}),
                result=result,
                figures=tuple(_figures(folder / "figures")),
                digest=_read_text(folder / "digest.md"),
            )
            _write(folder / "notebook.ipynb", json.dumps(render(page), indent=1, ensure_ascii=False) + "\n")


def _is_shown(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and not path.name.startswith(".")


def _figures(folder: Path) -> Iterator[bytes]:
    """Only real PNG files of a sane size: the folder was within the reach of generated code."""
    for path in sorted(folder.glob("figure-*.png")) if folder.is_dir() and not folder.is_symlink() else ():
        if not path.is_symlink() and path.is_file() and path.stat().st_size <= MOST_FIGURE_BYTES:
            data = path.read_bytes()
            if data.startswith(PNG):
                yield data


def _pieces(path: Path) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    with path.open("rb") as file:
        while data := file.read(PIECE):
            yield decoder.decode(data)
    if rest := decoder.decode(b"", final=True):
        yield rest


def _read_text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _write(path: Path, content: str) -> None:
    """Whole or not at all, also for a reader at the same moment."""
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        draft.write_text(content, encoding="utf-8", errors="backslashreplace", newline="")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
