"""Files in volumes: the Files API with its download links and multipart uploads."""

import hashlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse

from tests.workspace.errors import ApiError, NotCovered, bad_request
from tests.workspace.routes.request import SIGNED_IN, Body, Me, Ws, only, required

api = APIRouter()
FILES = "/api/2.0/fs/files"
DIRECTORIES = "/api/2.0/fs/directories"
PAGE = 1000


def _may(privilege: str) -> list[Any]:
    def check(path: str, ws: Ws, user: Me) -> None:
        _check(ws, user, privilege, path)

    return [Depends(check)]


def _check(ws: Any, user: str, privilege: str, path: str) -> None:
    """403 unless the volume of a path may be read, or written. What is not there is a 404 first."""
    parts = path.strip("/").split("/")
    if parts[0] == "Volumes" and len(parts) >= 4:
        ws.volumes.find(path)
        full = ".".join(parts[1:4])
        if not ws.may_use_volume(user, privilege, full):
            raise ApiError(403, "PERMISSION_DENIED", f"User {user} does not have {privilege} on Volume '{full}'.")
    elif parts[0] == "Models" and len(parts) >= 5:
        full = ".".join(parts[1:4])
        needed = "EXECUTE" if privilege == "READ VOLUME" else "MANAGE"
        if not ws.may(user, needed, "MODEL", full):
            raise ApiError(403, "PERMISSION_DENIED", f"User {user} does not have {needed} on Model '{full}'.")


READS, WRITES = _may("READ VOLUME"), _may("WRITE VOLUME")


@api.put(f"{FILES}{{path:path}}", dependencies=WRITES)
async def upload(path: str, request: Request, ws: Ws) -> Response:
    """A file in one piece."""
    ws.volumes.write(path, await request.body(), overwrite=_is_true(request, "overwrite"))
    return Response(status_code=204)


@api.get(f"{FILES}{{path:path}}", dependencies=READS)
def download(path: str, ws: Ws) -> Response:
    """A file's bytes."""
    return _file(ws.volumes.file(path))


@api.head(f"{FILES}{{path:path}}", dependencies=READS)
def about(path: str, ws: Ws) -> Response:
    """A file's size and time."""
    return _file(ws.volumes.file(path))


@api.delete(f"{FILES}{{path:path}}", dependencies=WRITES)
def delete(path: str, ws: Ws) -> Response:
    """A file goes."""
    ws.volumes.delete(path)
    return Response(status_code=204)


@api.post(f"{FILES}{{path:path}}", dependencies=WRITES)
def multipart(path: str, request: Request, given: Body, ws: Ws) -> dict[str, Any]:
    """Begin or complete an upload in parts."""
    action = request.query_params.get("action")
    if action == "initiate-upload":
        token = ws.volumes.begin(path, overwrite=_is_true(request, "overwrite"))
        return {"multipart_upload": {"session_token": token}}
    if action == "complete-upload":
        parts = [part["part_number"] for part in required(only(given, "parts"), "parts")]
        ws.volumes.complete(request.query_params["session_token"], parts)
        return {}
    raise NotCovered(f"the file action {action}")


@api.post("/api/2.0/fs/create-upload-part-urls", dependencies=SIGNED_IN)
def part_urls(given: Body, ws: Ws) -> dict[str, Any]:
    """Links to which parts are put."""
    asked = only(given, "path", "session_token", "start_part_number", "count", "expire_time")
    ws.volumes.upload(asked["session_token"])
    numbers = range(asked["start_part_number"], asked["start_part_number"] + asked["count"])
    base = f"{ws.url}/_stand-in/parts/{asked['session_token']}"
    return {
        "upload_part_urls": [{"url": f"{base}/{number}", "part_number": number, "headers": []} for number in numbers]
    }


@api.post("/api/2.0/fs/create-abort-upload-url", dependencies=SIGNED_IN)
def abort_url(given: Body, ws: Ws) -> dict[str, Any]:
    """A link that aborts an upload."""
    token = required(only(given, "path", "session_token", "expire_time"), "session_token")
    return {"abort_upload_url": {"url": f"{ws.url}/_stand-in/parts/{token}", "headers": []}}


@api.post("/api/2.0/fs/create-download-url", dependencies=SIGNED_IN)
def download_url(request: Request, ws: Ws, user: Me) -> dict[str, Any]:
    """A link that needs no authorization and expires."""
    path = request.query_params["path"]
    _check(ws, user, "READ VOLUME", path)
    ws.volumes.file(path)
    expires = (datetime.now(UTC) + timedelta(seconds=ws.link_seconds)).timestamp()
    return {"url": f"{ws.url}/_stand-in/files{path}?expires={expires}", "headers": []}


@api.put("/_stand-in/parts/{token}/{number}")
async def part(token: str, number: int, request: Request, ws: Ws) -> Response:
    """One part, put at its link."""
    _refuse_authorization(request)
    data = await request.body()
    ws.volumes.upload(token).parts[number] = data
    return Response(headers={"ETag": f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'})


@api.delete("/_stand-in/parts/{token}")
def abort(token: str, ws: Ws) -> Response:
    """Abort an upload."""
    ws.volumes.abort(token)
    return Response(status_code=204)


@api.get("/_stand-in/files{path:path}")
def presigned(path: str, request: Request, ws: Ws) -> Response:
    """The file behind a download link; ranges are honoured."""
    _refuse_authorization(request)
    if float(request.query_params.get("expires", 0)) < datetime.now(UTC).timestamp():
        return Response("AccessDenied: Request has expired", 403, media_type="application/xml")
    return _file(ws.volumes.file(path))


@api.put(f"{DIRECTORIES}{{path:path}}", dependencies=WRITES)
def make_directory(path: str, ws: Ws) -> Response:
    """A directory and those above it."""
    ws.volumes.make_directory(path)
    return Response(status_code=204)


@api.delete(f"{DIRECTORIES}{{path:path}}", dependencies=WRITES)
def delete_directory(path: str, ws: Ws) -> Response:
    """An empty directory goes."""
    ws.volumes.delete_directory(path)
    return Response(status_code=204)


@api.head(f"{DIRECTORIES}{{path:path}}", dependencies=READS)
def about_directory(path: str, ws: Ws) -> Response:
    """Whether a directory is there."""
    ws.volumes.directory(path)
    return Response(status_code=200)


@api.get(f"{DIRECTORIES}{{path:path}}", dependencies=READS)
def list_directory(path: str, request: Request, ws: Ws) -> dict[str, Any]:
    """What is in a directory, a page at a time."""
    size = int(request.query_params.get("page_size") or PAGE)
    start = int(request.query_params.get("page_token") or 0)
    entries = sorted(ws.volumes.directory(path).iterdir())
    page: dict[str, Any] = {"contents": [_entry(path, entry) for entry in entries[start : start + size]]}
    if start + size < len(entries):
        page["next_page_token"] = str(start + size)
    return page


def _entry(path: str, entry: Path) -> dict[str, Any]:
    status = entry.stat()
    about = {
        "name": entry.name,
        "path": f"{path.rstrip('/')}/{entry.name}",
        "is_directory": entry.is_dir(),
        "last_modified": int(status.st_mtime * 1000),
    }
    return about if entry.is_dir() else {**about, "file_size": status.st_size}


def _file(path: Path) -> Response:
    modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    headers = {"last-modified": format_datetime(modified, usegmt=True)}
    return FileResponse(path, media_type="application/octet-stream", headers=headers)


def _is_true(request: Request, name: str) -> bool:
    return request.query_params.get(name, "false").lower() == "true"


def _refuse_authorization(request: Request) -> None:
    if "authorization" in request.headers:
        raise bad_request("a signed link must be used without an Authorization header")
