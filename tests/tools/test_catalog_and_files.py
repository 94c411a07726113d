"""Searching the catalog, and saving files for people."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.data.warehouse import QueryFailed
from agent.platforms.local.volumes import LocalVolumes
from agent.tools import build_tools
from agent.tools.services import FileRefused, ToolServices
from tests.tools.conftest import Invoke

SEARCH, SAVE = "metadata_keyword_search", "save_artifact_to_volumes"


def test_a_keyword_finds_columns_whatever_its_case(invoke: Invoke) -> None:
    text = invoke(SEARCH, {"keyword": "AMOUNT"}).text
    assert text.startswith(
        "1 columns match 'AMOUNT', 1 shown:\nfiles.data.orders (BASE TABLE): amount BIGINT\nQuery: SELECT"
    )
    assert text.endswith("That is all.")


def test_alternatives_are_joined_and_more_than_five_hits_are_counted(invoke: Invoke) -> None:
    text = invoke(SEARCH, {"keyword": "vendors|orders"}).text
    assert text.startswith("6 columns match 'vendors|orders', 5 shown:")
    assert text.endswith("see them all.")
    assert "delegate" in text


def test_not_like_leaves_out_all_alternatives(invoke: Invoke) -> None:
    text = invoke(SEARCH, {"keyword": "orders|city|name", "operator": "NOT LIKE"}).text
    assert text.startswith("1 columns match")
    assert "files.data.vendors (BASE TABLE): id" in text


def test_only_tables_or_only_views(invoke: Invoke) -> None:
    assert invoke(SEARCH, {"keyword": "vendor", "table_type": "VIEW"}).text.startswith("0 columns match 'vendor'.")
    assert invoke(SEARCH, {"keyword": "vendor", "table_type": "TABLE"}).status == "error"


@pytest.mark.parametrize("keyword", ["x' OR '1'='1", "'; DROP TABLE vendors; --", "\\'", "%'", "?"])
def test_a_keyword_is_a_value_and_never_sql(invoke: Invoke, keyword: str) -> None:
    message = invoke(SEARCH, {"keyword": keyword})
    assert message.status == "success"
    assert message.text.startswith("0 columns match")


def test_a_catalog_that_can_not_be_asked_is_an_error_and_not_no_matches(services: ToolServices) -> None:
    class Closed:
        def search(self, *_: object, **__: object) -> object:
            raise QueryFailed("the connection is closed")

    tool = build_tools(ToolServices(Closed(), services.volumes, services.genie, services.jobs))[SEARCH]
    message = tool.invoke({"name": SEARCH, "args": {"keyword": "x"}, "id": "c", "type": "tool_call"})
    assert message.status == "error"
    assert message.text == "The catalog could not be searched: the connection is closed"


def test_a_saved_file_is_where_the_answer_says(invoke: Invoke, services: ToolServices) -> None:
    message = invoke(SAVE, {"filename": "vendors/report.md", "content": "# Vendors\r\nä\n"})
    path = services.volumes.folder / "vendors" / "report.md"
    assert message.text == f"Saved 13 characters to {path}."
    assert path.read_bytes() == "# Vendors\r\nä\n".encode()


def test_saving_again_replaces_the_file_and_leaves_nothing_else(invoke: Invoke, services: ToolServices) -> None:
    for content in ("first", "second"):
        invoke(SAVE, {"filename": "report.md", "content": content})
    assert [path.name for path in services.volumes.folder.iterdir()] == ["report.md"]
    assert (services.volumes.folder / "report.md").read_text() == "second"


@pytest.mark.parametrize(
    "filename",
    [
        *("", " ", "/etc/cron.d/x", "../x", "a/../../x", "a//b", "a/", ".", "..", ".bashrc", "a/.git/config"),
        *("x\x00y", "a\nb", "C:\\x", "a\\b", "x:y", "CON", "nul.txt", "x.", "a /b", "~/*", "a|b"),
        *("x" * 201, "ä" * 101, "/".join("abcdefghi")),
    ],
)
def test_a_name_that_is_no_plain_file_name_is_refused_with_its_reason(
    invoke: Invoke, services: ToolServices, filename: str
) -> None:
    message = invoke(SAVE, {"filename": filename, "content": "x"})
    assert message.status == "error"
    assert "file name" in message.text
    assert not services.volumes.folder.exists()


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "volume"
    outside.mkdir()
    folder.mkdir()
    (outside / "victim").write_text("safe")
    (folder / "away").symlink_to(outside)
    (folder / "file").symlink_to(outside / "victim")
    with pytest.raises(FileRefused, match="'away' is no folder"):
        LocalVolumes(folder).save("away/x", "x")
    LocalVolumes(folder).save("file", "mine")
    assert (outside / "victim").read_text() == "safe"
    assert (folder / "file").read_text() == "mine"
    assert not (folder / "file").is_symlink()


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    LocalVolumes(tmp_path).save("a/b", "x")
    with pytest.raises(FileRefused, match="is a folder"):
        LocalVolumes(tmp_path).save("a", "x")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(filename=st.text(alphabet="ab./\\~ \x00:é..", max_size=12))
def test_whatever_the_name_the_file_lands_inside_or_nowhere(tmp_path: Path, filename: str) -> None:
    folder = tmp_path / "deep" / "volume"
    try:
        saved = LocalVolumes(folder).save(filename, "x")
    except FileRefused:
        return
    assert Path(saved).resolve().is_relative_to(folder.resolve())
    assert {path.name for path in tmp_path.iterdir()} == {"deep"}
