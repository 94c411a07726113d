"""Files in volumes and workspace objects, with databricks-sdk."""

import base64
import io
import os
from pathlib import Path

import pytest
from databricks.sdk.errors import AlreadyExists, BadRequest, NotFound, ResourceAlreadyExists
from databricks.sdk.service.workspace import ExportFormat, ImportFormat, Language, ObjectType

from tests.workspace.fixtures import Place, Target
from tests.workspace.workspace import Workspace

pytestmark = pytest.mark.workspace


def test_a_file_goes_up_and_comes_down(target: Target, place: Place) -> None:
    files, path = target.client().files, f"{place.volume}/a/b.bin"
    files.upload(path, io.BytesIO(b"\x00\x01data"))
    assert files.download(path).contents.read() == b"\x00\x01data"
    assert files.get_metadata(path).content_length == 6
    with pytest.raises((AlreadyExists, ResourceAlreadyExists)):
        files.upload(path, io.BytesIO(b"again"))
    files.upload(path, io.BytesIO(b"again"), overwrite=True)
    assert files.download(path).contents.read() == b"again"
    files.delete(path)
    with pytest.raises(NotFound):
        files.get_metadata(path)


def test_directories(target: Target, place: Place) -> None:
    files = target.client().files
    files.create_directory(f"{place.volume}/d/e")
    files.create_directory(f"{place.volume}/d/e")
    files.upload(f"{place.volume}/d/f.txt", io.BytesIO(b"x"))
    entries = {
        entry.name: (entry.is_directory, entry.file_size)
        for entry in files.list_directory_contents(f"{place.volume}/d")
    }
    assert entries["f.txt"] == (False, 1)
    assert entries["e"][0] is True
    files.get_directory_metadata(f"{place.volume}/d")
    with pytest.raises(BadRequest):
        files.delete_directory(f"{place.volume}/d")
    files.delete_directory(f"{place.volume}/d/e")
    with pytest.raises(NotFound):
        files.get_directory_metadata(f"{place.volume}/d/e")


def test_a_listing_has_pages(target: Target, place: Place) -> None:
    files = target.client().files
    for number in range(5):
        files.upload(f"{place.volume}/{number}", io.BytesIO(b""))
    names = [entry.name for entry in files.list_directory_contents(place.volume, page_size=2)]
    assert sorted(names) == ["0", "1", "2", "3", "4"]


def test_fifty_mebibytes_go_up_in_parts_and_come_down_in_ranges(target: Target, place: Place, tmp_path: Path) -> None:
    files, path = target.client().files, f"{place.volume}/large.bin"
    data = os.urandom(1024) * (51 * 1024)
    files.upload(path, io.BytesIO(data))
    local = tmp_path / "large.bin"
    files.download_to(path, str(local))
    assert local.read_bytes() == data


def test_large_files_really_go_in_parts(ws: Workspace, target: Target, place: Place) -> None:
    before = len(ws.exchanges)
    target.client().files.upload(f"{place.volume}/large.bin", io.BytesIO(b"x" * (51 * 1024 * 1024)))
    parts = [exchange for exchange in ws.exchanges[before:] if exchange.path.startswith("/_stand-in/parts/")]
    assert len(parts) > 1
    assert ws.journal.count("file_written", subject=f"{place.volume}/large.bin") == 1


def test_a_path_does_not_lead_out(ws: Workspace, target: Target, place: Place) -> None:
    client = target.client()
    with pytest.raises(BadRequest):
        client.api_client.do("GET", f"/api/2.0/fs/files{place.volume}/%2e%2e/%2e%2e/%2e%2e/%2e%2e/journal.jsonl")


def test_notebooks_and_files_in_the_workspace(target: Target, place: Place) -> None:
    api, path = target.client().workspace, f"{place.directory}/note"
    source = b"# Databricks notebook source\nprint(1)"
    content = base64.b64encode(source).decode()
    api.import_(path, content=content, format=ImportFormat.SOURCE, language=Language.PYTHON)
    assert base64.b64decode(api.export(path, format=ExportFormat.SOURCE).content).startswith(source)
    assert api.get_status(path).object_type == ObjectType.NOTEBOOK
    with pytest.raises(ResourceAlreadyExists):
        api.import_(path, content=content, format=ImportFormat.SOURCE, language=Language.PYTHON)
    api.upload(f"{place.directory}/data.txt", io.BytesIO(b"raw"), format=ImportFormat.RAW)
    assert api.download(f"{place.directory}/data.txt").read() == b"raw"
    kinds = {item.path.rsplit("/", 1)[-1]: item.object_type for item in api.list(place.directory)}
    assert kinds == {"note": ObjectType.NOTEBOOK, "data.txt": ObjectType.FILE}
    api.mkdirs(f"{place.directory}/deep/er")
    with pytest.raises(BadRequest):
        api.delete(f"{place.directory}/deep")
    api.delete(f"{place.directory}/deep", recursive=True)
    with pytest.raises(NotFound):
        api.get_status(f"{place.directory}/deep")


def test_auto_import_knows_a_notebook_by_its_header(target: Target, place: Place) -> None:
    api = target.client().workspace
    api.upload(f"{place.directory}/n.py", io.BytesIO(b"# Databricks notebook source\n1"), format=ImportFormat.AUTO)
    api.upload(f"{place.directory}/m.py", io.BytesIO(b"print(1)"), format=ImportFormat.AUTO)
    kinds = {item.path.rsplit("/", 1)[-1]: item.object_type for item in api.list(place.directory)}
    assert kinds == {"n": ObjectType.NOTEBOOK, "m.py": ObjectType.FILE}
