"""Files of a Volume through the Files API, whole or not at all."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.workspace.refusals import named
from graph.errors import BackendUnavailable, InvalidRequest

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

SETTING = "databricks.volume"
PIECE = 1 << 20


@dataclass(frozen=True)
class VolumeFiles:
    """`root` is a folder of a Volume; names are below it. Raises BackendUnavailable, which names databricks.volume."""

    client: Callable[[], WorkspaceClient]
    root: str

    def path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def read(self, name: str) -> bytes | None:
        """The file's bytes; None when it is not there."""
        from databricks.sdk.errors import NotFound

        with self._named(name):
            try:
                contents: Any = self.client().files.download(self.path(name)).contents
            except NotFound:
                return None
            with contents as stream:
                data: bytes = stream.read()
                return data

    def read_json(self, name: str) -> dict[str, Any] | None:
        """None for a file that is not there, or is no JSON object."""
        data = self.read(name)
        try:
            found = json.loads(data) if data else None
        except ValueError:
            return None
        return found if isinstance(found, dict) else None

    def pieces(self, name: str) -> Iterator[bytes]:
        """The file in pieces; nothing when it is not there."""
        from databricks.sdk.errors import NotFound

        with self._named(name):
            try:
                contents: Any = self.client().files.download(self.path(name)).contents
            except NotFound:
                return
            with contents as stream:
                while data := stream.read(PIECE):
                    yield data

    def size(self, name: str) -> int | None:
        """Bytes; None when it is not there."""
        from databricks.sdk.errors import NotFound

        with self._named(name):
            try:
                return self.client().files.get_metadata(self.path(name)).content_length or 0
            except NotFound:
                return None

    def write(self, name: str, data: bytes) -> None:
        with self._named(name):
            self.client().files.upload(self.path(name), io.BytesIO(data), overwrite=True)

    def upload(self, name: str, file: Path) -> str:
        """Copy a file of this machine, unless one of its name and size is there; its path in the Volume."""
        if self.size(name) != file.stat().st_size:
            with self._named(name), file.open("rb") as stream:
                self.client().files.upload(self.path(name), stream, overwrite=True)
        return self.path(name)

    def list(self, name: str = "") -> list[Any]:
        """The entries of a folder; none when it is not there."""
        from databricks.sdk.errors import NotFound

        with self._named(name):
            try:
                return list(self.client().files.list_directory_contents(self.path(name).rstrip("/")))
            except NotFound:
                return []

    def walk(self, name: str) -> Iterator[tuple[str, int]]:
        """All files below a folder: their names from it, and their sizes."""
        for entry in self.list(name):
            if entry.is_directory:
                for inner, size in self.walk(f"{name}/{entry.name}"):
                    yield f"{entry.name}/{inner}", size
            else:
                yield str(entry.name), int(entry.file_size or 0)

    def remove(self, name: str) -> None:
        """Remove a folder with all that is in it; one that is not there is no error."""
        entries = self.list(name)
        for entry in entries:
            if entry.is_directory:
                self.remove(f"{name}/{entry.name}")
            else:
                with self._named(name):
                    self.client().files.delete(entry.path)
        if entries:
            with self._named(name):
                self.client().files.delete_directory(self.path(name))

    def _named(self, name: str) -> Any:
        return named(BackendUnavailable, f"The file {self.path(name)}", SETTING)


def check_volume(path: str | None) -> str:
    """The folder of a Volume that a setting names. Raises InvalidRequest."""
    parts = (path or "").rstrip("/").split("/")
    if len(parts) < 5 or parts[:2] != ["", "Volumes"] or not all(parts[2:]) or ".." in parts:
        raise InvalidRequest(
            f"{SETTING} is {path!r}: name the Volume where runs leave their files, as in "
            "/Volumes/main/agent/files or a folder of it."
        )
    return "/".join(parts)
