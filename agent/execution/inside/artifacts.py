"""Earlier artifacts of the thread, opened by id."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from agent.execution.inside.line import Line, read_all


class Artifacts:
    def __init__(self, line: Line) -> None:
        self._line = line

    def artifact(self, artifact_id: str) -> Artifact:
        """An artifact of this thread. Raises AskError when it is none."""
        _, told = self._line.ask("artifact", artifact=artifact_id, what="facts")
        return Artifact(self._line, artifact_id, told)


class Artifact:
    """What an earlier delegation left. All of it is read when it is asked for."""

    def __init__(self, line: Line, artifact_id: str, told: dict[str, Any]) -> None:
        self._line = line
        self.id = artifact_id
        self.status: str = told["status"]
        self.figures: Sequence[str] = told["figures"]
        """Names of the pictures that it drew: `open(name)` gives their bytes."""
        self.files: Sequence[str] = told["files"]
        """Names of the files that its code wrote."""

    @property
    def result(self) -> Any:
        """The value of its `result`; None when it left none."""
        text = self._read("result").decode()
        return json.loads(text) if text else None

    @property
    def text(self) -> str:
        """All that it printed."""
        return self._read("text").decode("utf-8", "replace")

    @property
    def notes(self) -> list[dict[str, Any]]:
        """What readers wrote down of its long output: part, source, lines, note, figures, read."""
        return [json.loads(line) for line in self._read("notes").decode().split("\n") if line]

    def open(self, name: str) -> bytes:
        """One of `files` or `figures`."""
        return self._read("file", name=name)

    def _read(self, what: str, **named: str) -> bytes:
        data, _ = self._line.ask("artifact", take=read_all, artifact=self.id, what=what, **named)
        return bytes(data)

    def __repr__(self) -> str:
        return f"<{self.id}: {self.status}, {len(self.files)} files, {len(self.figures)} figures>"
