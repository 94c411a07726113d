"""Volumes as directories: `/Volumes/<catalog>/<schema>/<volume>/…`, and uploads in parts."""

import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tests.workspace.errors import already_exists, bad_request, not_found
from tests.workspace.journal import Journal
from tests.workspace.paths import inside

PREFIX = "/Volumes/"
MODELS = "/Models/"


@dataclass
class Upload:
    """A multipart upload that has not been completed."""

    path: str
    overwrite: bool
    parts: dict[int, bytes] = field(default_factory=dict)


class Volumes:
    """The files of all volumes."""

    def __init__(self, root: Path, journal: Journal) -> None:
        self.root = root
        self.root.mkdir(parents=True)
        self._models = root.with_name("models")
        self._journal = journal
        self._uploads: dict[str, Upload] = {}

    def create(self, catalog: str, schema: str, name: str) -> Path:
        """The directory of a volume."""
        directory = self.root / catalog / schema / name
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def create_model(self, name: str, version: str) -> None:
        """Room for the files of a registered model's version."""
        (self._models / name / version).mkdir(parents=True, exist_ok=True)

    def model(self, name: str, version: str) -> Path:
        """Where a version's files are; 404 if there is no such version."""
        directory = inside(self._models, f"{name}/{version}")
        if not directory.is_dir():
            raise not_found(f"The version {version} of the model {name} does not exist.", "NOT_FOUND")
        return directory

    def remove(self, catalog: str, schema: str, name: str) -> None:
        """A volume's directory goes with all that is in it."""
        shutil.rmtree(self.root / catalog / schema / name, ignore_errors=True)

    def find(self, path: str) -> Path:
        """The place of a path in a volume that exists."""
        parts = path.strip("/").split("/")
        if path.startswith(MODELS) and len(parts) >= 5:
            return inside(self.model(".".join(parts[1:4]), parts[4]), "/".join(parts[5:]))
        if not path.startswith(PREFIX) or len(parts) < 4:
            raise bad_request(f"Invalid path: {path} is not /Volumes/<catalog>/<schema>/<volume>/…")
        if not (self.root / "/".join(parts[1:4])).is_dir():
            raise not_found(f"Volume '{'.'.join(parts[1:4])}' does not exist.", "NOT_FOUND")
        return inside(self.root, "/".join(parts[1:]))

    def file(self, path: str) -> Path:
        """An existing file."""
        target = self.find(path)
        if not target.is_file():
            raise not_found(f"The file {path} does not exist.", "NOT_FOUND")
        return target

    def directory(self, path: str) -> Path:
        """An existing directory."""
        target = self.find(path)
        if not target.is_dir():
            raise not_found(f"The directory {path} does not exist.", "NOT_FOUND")
        return target

    def write(self, path: str, data: bytes, *, overwrite: bool) -> None:
        """A file in one piece; directories above it are made."""
        target = self.find(path)
        if target.is_dir():
            raise bad_request(f"{path} is a directory")
        if target.exists() and not overwrite:
            raise already_exists(f"The file {path} already exists.", "ALREADY_EXISTS")
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        temporary.write_bytes(data)
        temporary.replace(target)
        self._journal.write("file_written", path, bytes=len(data))

    def delete(self, path: str) -> None:
        """A file goes."""
        self.file(path).unlink()
        self._journal.write("file_deleted", path)

    def make_directory(self, path: str) -> None:
        """A directory and those above it; again is the same."""
        target = self.find(path)
        if target.is_file():
            raise already_exists(f"{path} is a file", "ALREADY_EXISTS")
        target.mkdir(parents=True, exist_ok=True)

    def delete_directory(self, path: str) -> None:
        """An empty directory goes."""
        target = self.directory(path)
        if any(target.iterdir()):
            raise bad_request(f"The directory {path} is not empty.", "DIRECTORY_NOT_EMPTY")
        target.rmdir()

    def begin(self, path: str, *, overwrite: bool) -> str:
        """Begin an upload in parts; its token."""
        if self.find(path).exists() and not overwrite:
            raise already_exists(f"The file {path} already exists.", "ALREADY_EXISTS")
        token = secrets.token_hex(16)
        self._uploads[token] = Upload(path, overwrite)
        return token

    def upload(self, token: str) -> Upload:
        """An upload that is under way."""
        upload = self._uploads.get(token)
        if upload is None:
            raise not_found("The upload session does not exist.", "NOT_FOUND")
        return upload

    def complete(self, token: str, parts: list[int]) -> None:
        """Put the parts together."""
        upload = self.upload(token)
        missing = [number for number in parts if number not in upload.parts]
        if missing:
            raise bad_request(f"parts {missing} were never uploaded")
        self.write(upload.path, b"".join(upload.parts[number] for number in sorted(parts)), overwrite=upload.overwrite)
        del self._uploads[token]

    def abort(self, token: str) -> None:
        """Forget an upload."""
        self._uploads.pop(token, None)
