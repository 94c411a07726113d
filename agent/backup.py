"""A home as one file, and a home made of it: threads, records, artifacts and values together.

Databases are copied by SQLite's own backup, so that a process may go on writing meanwhile. Threads come first: whatever
they speak of was written before them, and is therefore in what comes later.
"""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from graph.errors import InvalidRequest

MANIFEST, VERSION = "manifest.json", 1
SQLITE = b"SQLite format 3\0"
LEFT_OUT = ("warehouse", "logs")
"""Made anew when needed, and of no use elsewhere."""
BESIDE = ("-wal", "-shm", "-journal", ".lock", ".leases")
"""What databases and processes keep beside their files while they are open."""


def backup(home: Path, file: Path) -> int:
    """Write all of `home` into `file`, whole or not at all; the number of files. Raises InvalidRequest."""
    draft = file.with_name(f".{file.name}.{uuid4().hex}")
    try:
        with draft.open("xb") as opened:
            draft.chmod(0o600)
            with tarfile.open(fileobj=opened, mode="w:gz", compresslevel=6) as archive:
                count = write(home, archive)
        draft.replace(file)
    except OSError as error:
        raise InvalidRequest(f"{file}: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)
    return count


def write(home: Path, archive: tarfile.TarFile) -> int:
    manifest = {"version": VERSION, "home": str(home), "made": datetime.now(UTC).isoformat()}
    add_bytes(archive, MANIFEST, json.dumps(manifest).encode())
    count = 0
    with TemporaryDirectory() as scratch:
        for path in files_of(home):
            with suppress(FileNotFoundError):  # it went meanwhile
                source = copy_database(path, Path(scratch)) if is_sqlite(path) else path
                archive.add(source, arcname=str(Path("home") / path.relative_to(home)), recursive=False)
                count += 1
    return count


def files_of(home: Path) -> Iterator[Path]:
    """Databases of threads, then the other databases, then what artifacts and the rest left. No links."""
    found = [path for path in sorted(home.rglob("*")) if is_kept(path, home)]
    yield from sorted(found, key=lambda path: (not path.name.startswith("threads"), path.parent != home))


def is_kept(path: Path, home: Path) -> bool:
    parts = path.relative_to(home).parts
    return (
        path.is_file()
        and not path.is_symlink()
        and parts[0] not in LEFT_OUT
        and not any(part.startswith(".") or part.endswith(BESIDE) for part in parts)
    )


def is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(SQLITE)) == SQLITE


def copy_database(path: Path, scratch: Path) -> Path:
    copy = scratch / uuid4().hex
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


def add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def restore(file: Path, home: Path) -> int:
    """Make `home`, which must not be there or be empty; the number of files. Raises InvalidRequest."""
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise InvalidRequest(f"{home} is not empty: restore into another with --set home=FOLDER, or move it away.")
    draft = home.with_name(f".{home.name}.{uuid4().hex}")
    try:
        with tarfile.open(file, "r:gz") as archive:
            check_manifest(archive, file)
            draft.mkdir(parents=True, mode=0o700)
            count = sum(unpack(archive, member, draft) for member in archive)
        if home.exists():
            home.rmdir()
        draft.rename(home)
    except tarfile.TarError as error:
        raise InvalidRequest(f"{file} is no backup of a home: {error}") from error
    except (EOFError, OSError) as error:
        raise InvalidRequest(f"{file}: {getattr(error, 'strerror', None) or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return count


def check_manifest(archive: tarfile.TarFile, file: Path) -> None:
    first = archive.next()
    opened = archive.extractfile(first) if first is not None and first.name == MANIFEST else None
    try:
        version = json.loads(opened.read(1 << 16)).get("version") if opened else None
    except (ValueError, AttributeError):
        version = None
    if version != VERSION:
        raise InvalidRequest(f"{file} is no backup of a home that this version can read.")


def unpack(archive: tarfile.TarFile, member: tarfile.TarInfo, into: Path) -> bool:
    """A plain file below `home/`, and nothing else: a file from outside is nobody's friend."""
    if member.name == MANIFEST:
        return False
    parts = Path(member.name).parts
    if not member.isreg() or parts[:1] != ("home",) or ".." in parts or len(parts) < 2:
        raise InvalidRequest(f"the backup holds {member.name!r}, which is no file of a home")
    opened = archive.extractfile(member)
    assert opened is not None
    path = into.joinpath(*parts[1:])
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("xb") as target:
        path.chmod(0o600)
        shutil.copyfileobj(opened, target, 1 << 20)
    return True
