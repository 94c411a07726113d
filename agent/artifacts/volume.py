"""The folders that delegations leave, in a Volume of a workspace: the same files as in a local folder."""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from agent.artifacts.notebook import Page, render
from agent.artifacts.protocol import ArtifactSummary
from agent.workspace.files import VolumeFiles
from graph.errors import InvalidRequest
from graph.types import Artifact, ExecutionResult

ARTIFACT_ID = re.compile(r"art_[0-9a-f]{12}")
FIGURE = re.compile(r"figure-\d+\.png")
MOST_FIGURE_BYTES = 4 * 1024 * 1024
AT_ONCE = 8


class VolumeArtifacts:
    """Implements agent.artifacts.protocol.Artifacts below the files' root. Any process of any machine may read."""

    def __init__(self, files: VolumeFiles) -> None:
        self.volume = files

    def folder(self, artifact_id: str) -> str:
        return self.volume.path(check(artifact_id))

    def write(self, artifact: Artifact) -> str:
        """Write code and notebook; return the code's key. Writing the same artifact again changes nothing."""
        name = check(artifact.artifact_id)
        key = f"{name}/code.py"
        if self.volume.size(f"{name}/notebook.ipynb") is not None:
            return key
        meta = {
            "artifact_id": name,
            "thread_id": artifact.thread_id,
            "invocation_id": artifact.invocation_id,
            "iteration": artifact.iteration,
            "instruction": artifact.instruction,
            "created": datetime.now(UTC).isoformat(),
        }
        self.volume.write(key, encode(artifact.code))
        self.volume.write(f"{name}/meta.json", encode(json.dumps(meta, indent=2)))
        self._render(name, meta, artifact.code)
        return key

    def note_names(self, artifact_id: str, names: Mapping[str, Any]) -> None:
        """Keep what the code sees, for the notebook's setup cell."""
        name = check(artifact_id)
        meta = {**(self.volume.read_json(f"{name}/meta.json") or {}), "names": dict(names)}
        self.volume.write(f"{name}/meta.json", encode(json.dumps(meta, indent=2, default=str)))

    def finish(self, artifact_id: str, result: ExecutionResult) -> None:
        """Keep the result and bring the notebook up to date."""
        name = check(artifact_id)
        self.volume.write(f"{name}/result.json", encode(json.dumps(result.as_dict(), indent=2, ensure_ascii=False)))
        self._render_again(name)

    def result(self, artifact_id: str) -> ExecutionResult | None:
        found = self.volume.read_json(f"{check(artifact_id)}/result.json")
        known = {field.name for field in fields(ExecutionResult)}
        return ExecutionResult(**{key: value for key, value in found.items() if key in known}) if found else None

    def text(self, artifact_id: str, stream: str | None = None) -> Iterator[str]:
        """All of `stdout` or `stderr` in pieces; without a name stdout, then stderr when the code failed."""
        for name in self._outputs(artifact_id, stream):
            decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
            for data in self.volume.pieces(name):
                yield decoder.decode(data)
            if rest := decoder.decode(b"", final=True):
                yield rest

    def size(self, artifact_id: str, stream: str | None = None) -> int:
        """Characters (at most; bytes on disk) that `text` yields."""
        return sum(self.volume.size(name) or 0 for name in self._outputs(artifact_id, stream))

    def write_digest(self, artifact_id: str, digest: str, notes: Sequence[Mapping[str, Any]] = ()) -> None:
        name = check(artifact_id)
        if notes:
            lines = (json.dumps(dict(note), ensure_ascii=False) for note in notes)
            self.volume.write(f"{name}/notes.jsonl", encode("".join(f"{line}\n" for line in lines)))
        self.volume.write(f"{name}/digest.md", encode(digest))
        self._render_again(name)

    def notes(self, artifact_id: str) -> Sequence[Mapping[str, Any]]:
        """What readers wrote down of its output; empty when nobody had to read it."""
        text = self._text(f"{check(artifact_id)}/notes.jsonl") or ""
        try:
            return [json.loads(line) for line in text.split("\n") if line]
        except ValueError:
            return []

    def handed(self, artifact_id: str) -> Mapping[str, Any]:
        return self.volume.read_json(f"{check(artifact_id)}/handed.json") or {}

    def write_handed(self, artifact_id: str, handed: Mapping[str, Any]) -> None:
        self.volume.write(f"{check(artifact_id)}/handed.json", encode(json.dumps(dict(handed), ensure_ascii=False)))

    def answers(self, artifact_id: str) -> Path:
        """The folder of the values that it answered with, as a path of the Volume, there or not."""
        return Path(self.folder(artifact_id)) / "answers"

    def thread_of(self, artifact_id: str) -> str | None:
        """Whose it is; None when there is no such artifact."""
        return (self.volume.read_json(f"{check(artifact_id)}/meta.json") or {}).get("thread_id")

    @contextmanager
    def open(self, artifact_id: str, name: str) -> Iterator[BinaryIO]:
        """One of its files. Raises FileNotFoundError."""
        parts = name.split("/")
        data = None if ".." in parts or "" in parts else self.volume.read(f"{check(artifact_id)}/{name}")
        if data is None:
            raise FileNotFoundError(f"{artifact_id} has no file {name}")
        yield io.BytesIO(data)

    def files(self, artifact_id: str) -> tuple[str, ...]:
        """The names of its files, without hidden ones."""
        found = (inner for inner, _ in self.volume.walk(check(artifact_id)))
        return tuple(sorted(name for name in found if not name.rpartition("/")[2].startswith(".")))

    def read(self, artifact_id: str) -> ArtifactSummary:
        """Raises InvalidRequest when there is no such artifact."""
        name = check(artifact_id)
        meta = self.volume.read_json(f"{name}/meta.json")
        if meta is None:
            raise InvalidRequest(f"there is no artifact {name}: `artifacts list` shows which there are")
        result = self.result(name)
        names = self.files(name)
        return ArtifactSummary(
            artifact_id=name,
            thread_id=meta["thread_id"],
            iteration=meta["iteration"],
            created=meta["created"],
            status=result.status if result else "running" if "run.json" in names else "pending",
            duration_seconds=result.duration_seconds if result else None,
            instruction=meta["instruction"],
            code=self._text(f"{name}/code.py") or "",
            result=result,
            digest=self._text(f"{name}/digest.md"),
            files=names,
        )

    def list(self) -> tuple[ArtifactSummary, ...]:
        """All artifacts, the newest first."""
        ids = [entry.name for entry in self.volume.list() if ARTIFACT_ID.fullmatch(entry.name or "")]
        with ThreadPoolExecutor(AT_ONCE, "artifacts") as pool:
            found = list(pool.map(self._read_if_whole, ids))
        return tuple(sorted((one for one in found if one), key=lambda summary: summary.created, reverse=True))

    def delete(self, artifact_id: str) -> None:
        """Remove its folder with all that is in it; one that is not there is no error."""
        self.volume.remove(check(artifact_id))

    def _read_if_whole(self, artifact_id: str) -> ArtifactSummary | None:
        try:
            return self.read(artifact_id)
        except InvalidRequest:
            return None

    def _outputs(self, artifact_id: str, stream: str | None) -> tuple[str, ...]:
        name = check(artifact_id)
        if stream is not None:
            return (f"{name}/{stream}.txt",)
        result = self.result(name)
        names = ("stdout.txt", "stderr.txt") if result is None or result.status == "failed" else ("stdout.txt",)
        return tuple(f"{name}/{one}" for one in names)

    def _text(self, name: str) -> str | None:
        data = self.volume.read(name)
        return None if data is None else data.decode("utf-8", "replace")

    def _render_again(self, name: str) -> None:
        meta = self.volume.read_json(f"{name}/meta.json")
        if meta is not None:
            self._render(name, meta, self._text(f"{name}/code.py") or "", self.result(name))

    def _render(self, name: str, meta: Mapping[str, Any], code: str, result: ExecutionResult | None = None) -> None:
        page = Page(
            instruction=meta["instruction"],
            code=code,
            iteration=meta["iteration"],
            artifact_id=name,
            names=meta.get("names", {}),
            result=result,
            figures=tuple(self._figures(name)) if result else (),
            digest=self._text(f"{name}/digest.md") if result else None,
        )
        self.volume.write(
            f"{name}/notebook.ipynb", encode(json.dumps(render(page), indent=1, ensure_ascii=False) + "\n")
        )

    def _figures(self, name: str) -> Iterator[bytes]:
        """Only PNG files of a sane size: the folder was within the reach of generated code."""
        for entry in sorted(self.volume.list(f"{name}/figures"), key=lambda entry: entry.name or ""):
            if FIGURE.fullmatch(entry.name or "") and (entry.file_size or 0) <= MOST_FIGURE_BYTES:
                data = self.volume.read(f"{name}/figures/{entry.name}")
                if data is not None and data.startswith(b"\x89PNG\r\n\x1a\n"):
                    yield data


def check(artifact_id: str) -> str:
    """Raises InvalidRequest for what is no artifact id."""
    if not ARTIFACT_ID.fullmatch(artifact_id):
        raise InvalidRequest(f"{artifact_id!r} is no artifact id: they look like art_0123456789ab")
    return artifact_id


def encode(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
