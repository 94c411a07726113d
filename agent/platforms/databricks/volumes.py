"""Files that the analyst saves for people, in the Volume."""

from __future__ import annotations

from dataclasses import dataclass

from agent.platforms.local.volumes import parts_of
from agent.tools.services import FileRefused
from agent.workspace.files import VolumeFiles
from graph.errors import BackendUnavailable


@dataclass(frozen=True)
class SavedFiles:
    """Implements agent.tools.services.Volumes below the files' root."""

    files: VolumeFiles

    def save(self, filename: str, content: str) -> str:
        name = "/".join(parts_of(filename))
        try:
            self.files.write(name, content.encode("utf-8", "surrogateescape"))
        except BackendUnavailable as error:
            raise FileRefused(f"{filename} could not be saved: {error}") from error
        return self.files.path(name)
