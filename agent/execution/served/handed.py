"""What a run hands over, saves and has read, as it is told to whoever reads its output: kept at each change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.artifacts.protocol import Artifacts


class Handed:
    def __init__(self, store: Artifacts, artifact_id: str) -> None:
        self._store, self._artifact_id = store, artifact_id
        self._told: dict[str, list[Mapping[str, Any]]] = {"answers": [], "saved": [], "maps": []}

    def note_saved(self, saved: Mapping[str, Any]) -> None:
        self._note("saved", [*(one for one in self._told["saved"] if one["name"] != saved["name"]), saved])

    def note_maps(self, maps: Sequence[Mapping[str, Any]]) -> None:
        self._note("maps", list(maps))

    def note_answers(self, given: Mapping[str, Mapping[str, Any]]) -> None:
        self._note("answers", list(given.values()))

    def _note(self, what: str, told: list[Mapping[str, Any]]) -> None:
        self._told[what] = told
        self._store.write_handed(self._artifact_id, self._told)
