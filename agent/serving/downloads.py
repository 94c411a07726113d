"""An artifact's files, for the principal whose thread made it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from agent.principal import Principal
from agent.serving.errors import Refused
from graph.errors import NotFound

if TYPE_CHECKING:
    from starlette.responses import Response

    from agent.core import Agent

KINDS = {
    ".png": "image/png",
    ".csv": "text/csv; charset=utf-8",
    ".json": "application/json",
    ".ipynb": "application/json",
    ".md": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".py": "text/plain; charset=utf-8",
    ".parquet": "application/vnd.apache.parquet",
}
"""What is said of a file by its ending. Nothing that a browser would run: generated code wrote it."""

GUARDED = {"x-content-type-options": "nosniff", "content-security-policy": "sandbox; default-src 'none'"}
PIECE = 1 << 18


def describe_artifact(agent: Agent, principal: Principal, artifact_id: str) -> dict[str, Any]:
    """Raises Refused."""
    check_artifact(agent, principal, artifact_id)
    artifact = agent.artifacts.read(artifact_id)
    return {
        "id": artifact_id,
        "object": "artifact",
        "thread_id": artifact.thread_id,
        "status": artifact.status,
        "instruction": artifact.instruction,
        "digest": artifact.digest,
        "files": list(artifact.files),
    }


def open_file(agent: Agent, principal: Principal, artifact_id: str, name: str) -> Response:
    """Raises Refused for what is not there, as for what is another's."""
    from starlette.responses import StreamingResponse

    check_artifact(agent, principal, artifact_id)
    try:
        descriptor = open_below(agent.artifacts.folder(artifact_id), PurePosixPath(name))
    except OSError as error:
        raise Refused(404, f"There is no file {name} in {artifact_id}.") from error
    size = os.fstat(descriptor).st_size
    kind = KINDS.get(PurePosixPath(name).suffix.lower(), "application/octet-stream")
    headers = {"content-length": str(size), "content-disposition": "attachment", **GUARDED}
    return StreamingResponse(pieces(descriptor, size), media_type=kind, headers=headers)


def check_artifact(agent: Agent, principal: Principal, artifact_id: str) -> None:
    """By the record and not by what lies in the folder, which code could have written."""
    missing = Refused(404, f"There is no artifact {artifact_id}.")
    row = agent.records.artifact(artifact_id)
    if row is None:
        raise missing
    try:
        agent.threads(principal).state(row.session_id)
    except NotFound as error:
        raise missing from error


def open_below(folder: str, name: PurePosixPath) -> int:
    """A descriptor of the file, step by step without following links. Raises OSError."""
    if name.is_absolute() or ".." in name.parts or not name.parts:
        raise FileNotFoundError(str(name))
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    for part in name.parts[:-1]:
        place = step(place, part, os.O_RDONLY | os.O_DIRECTORY)
    file = step(place, name.parts[-1], os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise FileNotFoundError(str(name))
    return file


def step(place: int, part: str, flags: int) -> int:
    try:
        return os.open(part, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place)
    finally:
        os.close(place)


def pieces(descriptor: int, size: int) -> Iterator[bytes]:
    """As much as the file held when it was opened."""
    with os.fdopen(descriptor, "rb") as file:
        while size > 0 and (data := file.read(min(PIECE, size))):
            size -= len(data)
            yield data
