"""Values that a run saves on its thread and loads again, and artifacts of the thread that it opens."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from agent.artifacts.files import Unreadable
from agent.artifacts.protocol import Artifacts
from agent.artifacts.values import KINDS, Order, Value, ValueStore, check_name
from agent.execution.served.uploads import Uploads
from graph.errors import HostError, InvalidRequest
from graph.types import Artifact

TOLD_CHARS = 60
PIECE = 1 << 20


@dataclass(frozen=True)
class Values:
    """The values of the artifact's thread. `began` is when its run started, `kept` hears of what this run saved."""

    store: ValueStore
    uploads: Uploads
    artifact: Artifact
    began: float
    kept: Callable[[Mapping[str, Any]], None]
    numbers: itertools.count[int]

    def answer_save(self, request: Mapping[str, Any], frames: BinaryIO) -> Mapping[str, Any]:
        file, size = self.uploads.take(request["upload"])
        with file:
            value = self._value(request, size)
            kept = self.store.save(self.artifact.thread_id, value, file)
        self.kept({"name": value.name, "type": value.type, "shape": value.shape, "size": value.size})
        return {"kept": kept}

    def answer_load(self, request: Mapping[str, Any], frames: BinaryIO) -> Mapping[str, Any]:
        try:
            with self.store.open(self.artifact.thread_id, request["name"]) as (value, file):
                shutil.copyfileobj(file, frames, PIECE)
        except InvalidRequest as error:
            raise HostError(str(error)) from error
        return {"kind_of_value": value.kind}

    def _value(self, request: Mapping[str, Any], size: int) -> Value:
        kind = request["kind_of_value"]
        if kind not in KINDS:
            raise HostError(f"values are kept as {' or '.join(KINDS)}, not as {kind!r}")
        try:
            name = check_name(request["name"])
        except InvalidRequest as error:
            raise HostError(str(error)) from error
        artifact = self.artifact
        order = Order(artifact.invocation_id, self.began, artifact.iteration, next(self.numbers))
        type_, shape = (" ".join(str(request[key]).split())[:TOLD_CHARS] for key in ("type", "shape"))
        return Value(name, kind, type_, shape, size, artifact.artifact_id, order)


@dataclass(frozen=True)
class Earlier:
    """The artifacts of one thread, and of no other."""

    artifacts: Artifacts
    thread_id: str

    def answer_artifact(self, request: Mapping[str, Any], frames: BinaryIO) -> Mapping[str, Any]:
        artifact_id, what = self._own(str(request["artifact"])), str(request["what"])
        if what == "facts":
            return self._facts(artifact_id)
        if what == "file":
            self._send_file(artifact_id, str(request["name"]), frames)
        for piece in self._told(artifact_id, what):
            frames.write(piece.encode("utf-8", "replace"))
        return {}

    def _own(self, artifact_id: str) -> str:
        try:
            if self.artifacts.thread_of(artifact_id) == self.thread_id:
                return artifact_id
        except InvalidRequest as error:
            raise HostError(str(error)) from error
        raise HostError(f"this thread has no artifact {artifact_id}")

    def _told(self, artifact_id: str, what: str) -> Iterator[str]:
        if what == "text":
            yield from self.artifacts.text(artifact_id, "stdout")
            yield from self.artifacts.text(artifact_id, "stderr")
        elif what == "notes":
            yield from (f"{json.dumps(note)}\n" for note in self.artifacts.notes(artifact_id))
        elif what == "result" and (result := self.artifacts.result(artifact_id)) is not None:
            yield result.output or ""

    def _facts(self, artifact_id: str) -> Mapping[str, Any]:
        result = self.artifacts.result(artifact_id)
        names = self.artifacts.files(artifact_id)
        return {
            "status": result.status if result else "running",
            "figures": below("figures/", names),
            "files": [*below("work/", names), *below("answers/", names)],
        }

    def _send_file(self, artifact_id: str, name: str, frames: BinaryIO) -> None:
        for place in ("work", "figures", "answers"):
            try:
                with self.artifacts.open(artifact_id, f"{place}/{name}") as file:
                    shutil.copyfileobj(file, frames, PIECE)
                return
            except (FileNotFoundError, Unreadable):
                continue
        raise HostError(f"{artifact_id} has no file {name!r}: .files and .figures say which there are")


def below(folder: str, names: Sequence[str]) -> list[str]:
    return [name.removeprefix(folder) for name in names if name.startswith(folder)]
