"""Workspace objects: import, export, list, get-status, mkdirs, delete."""

import base64
import binascii
import json
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response

from tests.workspace.errors import NotCovered, bad_request
from tests.workspace.objects import HEADERS, SUFFIXES, Notebook, Objects
from tests.workspace.routes.request import SIGNED_IN, Body, Ws, only, required

api = APIRouter(prefix="/api/2.0/workspace", dependencies=SIGNED_IN)


@api.post("/import")
async def import_(request: Request, ws: Ws) -> dict[str, Any]:
    """A notebook (SOURCE, JUPYTER), a file (RAW), or as it looks (AUTO): JSON, or a form as `upload` sends it."""
    asked, data = await _content(request)
    path, overwrite = str(required(asked, "path")), str(asked.get("overwrite", False)).lower() == "true"
    notebook, name = _kind(path, data, asked.get("format") or "SOURCE", asked.get("language"))
    ws.objects.write(name, data, notebook, overwrite=overwrite)
    return {}


@api.get("/export")
def export(request: Request, ws: Ws) -> Any:
    """A notebook's source or Jupyter JSON, or a file's bytes; base64 in JSON, or direct."""
    path, wanted = request.query_params["path"], request.query_params.get("format", "SOURCE")
    target = ws.objects.existing(path)
    notebook = ws.objects.notebook(target)
    if target.is_dir() or wanted in ("DBC", "HTML", "R_MARKDOWN"):
        raise NotCovered(f"the export of {'a directory' if target.is_dir() else wanted}")
    if notebook and wanted in ("SOURCE", "JUPYTER") and notebook.is_jupyter != (wanted == "JUPYTER"):
        raise NotCovered("the conversion of a notebook between SOURCE and JUPYTER")
    data = target.read_bytes()
    if request.query_params.get("direct_download", "false").lower() == "true":
        return Response(data, media_type="application/octet-stream")
    suffix = (".ipynb" if notebook.is_jupyter else SUFFIXES[notebook.language]) if notebook else target.suffix
    return {"content": base64.b64encode(data).decode(), "file_type": suffix.lstrip(".") or "txt"}


@api.get("/list")
def index(request: Request, ws: Ws) -> dict[str, Any]:
    """What is in a directory."""
    path = request.query_params["path"]
    target = ws.objects.existing(path)
    entries = sorted(target.iterdir()) if target.is_dir() else [target]
    return {"objects": [_describe(ws.objects, entry) for entry in entries]}


@api.get("/get-status")
def status(request: Request, ws: Ws) -> dict[str, Any]:
    """One object."""
    return _describe(ws.objects, ws.objects.existing(request.query_params["path"]))


@api.post("/mkdirs")
def mkdirs(given: Body, ws: Ws) -> dict[str, Any]:
    """A directory and those above it."""
    ws.objects.make_directories(required(only(given, "path"), "path"))
    return {}


@api.post("/delete")
def delete(given: Body, ws: Ws) -> dict[str, Any]:
    """An object goes."""
    asked = only(given, "path", "recursive")
    ws.objects.delete(required(asked, "path"), recursive=bool(asked.get("recursive")))
    return {}


async def _content(request: Request) -> tuple[dict[str, Any], bytes]:
    fields = ("path", "content", "format", "language", "overwrite")
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form() as form:
            upload = form["content"]
            data = upload.encode() if isinstance(upload, str) else await upload.read()
            return only({name: form[name] for name in form if name != "content"}, *fields), data
    asked = only(json.loads(await request.body()), *fields)
    try:
        return asked, base64.b64decode(asked.get("content") or "", validate=True)
    except binascii.Error as error:
        raise bad_request(f"content is not base64: {error}") from error


def _kind(path: str, data: bytes, format_name: str, language: Any) -> tuple[Notebook | None, str]:
    """What an import makes, and under which name: a notebook loses its suffix."""
    if format_name == "RAW":
        return None, path
    if format_name == "JUPYTER" or (format_name == "AUTO" and path.endswith(".ipynb")):
        return Notebook("PYTHON", is_jupyter=True), path.removesuffix(".ipynb")
    if format_name == "SOURCE":
        return Notebook(language or _language(path)), path
    if format_name == "AUTO":
        for known, header in HEADERS.items():
            if path.endswith(SUFFIXES[known]) and data.startswith(header.encode()):
                return Notebook(known), path.removesuffix(SUFFIXES[known])  # type: ignore[arg-type]
        return None, path
    raise NotCovered(f"the import format {format_name}")


def _language(path: str) -> Any:
    for known, suffix in SUFFIXES.items():
        if path.endswith(suffix):
            return known
    raise bad_request("The language is required for the SOURCE format")


def _describe(objects: Objects, target: Path) -> dict[str, Any]:
    notebook = objects.notebook(target)
    path = "/" + str(target.relative_to(objects.root.resolve()))
    about: dict[str, Any] = {"path": "/" if path == "/." else path, "object_id": objects.object_id(target)}
    if target.is_dir():
        return {**about, "object_type": "DIRECTORY"}
    about |= {"modified_at": int(target.stat().st_mtime * 1000), "created_at": int(target.stat().st_ctime * 1000)}
    if notebook:
        return {**about, "object_type": "NOTEBOOK", "language": notebook.language}
    return {**about, "object_type": "FILE", "size": target.stat().st_size}
