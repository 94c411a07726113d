"""`context`: text of any size, whole or by line, without reading more than is asked for."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.data.text import describe_text, open_text
from agent.execution.inside.context import Text
from graph.errors import InvalidRequest


def text_of(folder: Path, *contents: bytes) -> Text:
    for number, content in enumerate(contents):
        (folder / f"{number:02d}.log").write_bytes(content)
    return open_text(folder)


def test_a_file_is_whole_and_by_line(tmp_path: Path):
    text = text_of(tmp_path, b"one\r\ntwo\n\nfour")
    assert text.text == str(text) == "one\r\ntwo\n\nfour"
    assert list(text) == ["one", "two", "", "four"]
    assert len(text) == 4
    assert (text[0], text[-1], text[1:3], text[::-2]) == ("one", "four", ["two", ""], ["four", "two"])
    assert text[9:] == []
    with pytest.raises(IndexError):
        text[4]


def test_a_folders_files_are_one_text_in_the_order_of_their_names(tmp_path: Path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("hidden")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0\0")
    text = text_of(tmp_path, b"a\nb\n", b"c\n")
    assert list(text) == ["a", "b", "c"]
    assert text[1:] == ["b", "c"]
    assert [path.name for path in text.paths] == ["00.log", "01.log"]


def test_what_is_not_utf_8_is_read_as_windows_1252_line_by_line(tmp_path: Path):
    text = text_of(tmp_path, "größe\n".encode() + "größe “9 €”\n".encode("cp1252"))
    assert list(text) == ["größe", "größe “9 €”"]
    assert text.text == "größe\ngröße “9 €”\n"


def test_a_file_in_utf_16_is_text_as_well(tmp_path: Path):
    lines = [f"größe {n}" for n in range(3_000)]
    text = text_of(tmp_path, b"first\n", "\r\n".join(lines).encode("utf-16"))
    assert list(text) == ["first", *lines]
    assert text[2_500:2_502] == ["größe 2499", "größe 2500"]
    assert text.text.startswith("first\ngröße 0\r\n")


def test_a_folder_is_many_files_and_each_can_be_read_by_itself(tmp_path: Path):
    text = text_of(tmp_path, b"a\nb\n", b"c\n")
    assert [(path.name, list(file)) for path, file in zip(text.paths, text.files, strict=True)] == [
        ("00.log", ["a", "b"]),
        ("01.log", ["c"]),
    ]


def test_the_analyst_is_told_size_lines_names_and_beginnings(tmp_path: Path):
    one = text_of(tmp_path, b"\nINFO start\nERROR disk full")
    assert (
        describe_text(one)
        == "context is the file 00.log: 27 bytes, 3 lines. It begins:\n  INFO start\n  ERROR disk full"
    )
    many = text_of(tmp_path, *[b"%d " % n * 500 + b"\nx\n" for n in range(40)])
    told = describe_text(many)
    assert told.startswith("context is 40 files, ")
    assert "80 lines; context.files has each by itself" in told
    assert "- 00.log: 1.0 kB, 2 lines, begins:\n  0 0 0" in told
    assert "… and 28 more" in told
    assert len(told) < 2_000


def test_a_byte_order_mark_is_no_letter(tmp_path: Path):
    assert list(text_of(tmp_path, b"\xef\xbb\xbfone\n")) == ["one"]


def test_grep_gives_the_lines_with_their_numbers(tmp_path: Path):
    text = text_of(tmp_path, b"INFO start\nERROR one\nINFO\nerror two\n")
    assert text.grep("ERROR") == [(1, "ERROR one")]
    assert text.grep("(?i)error") == [(1, "ERROR one"), (3, "error two")]
    assert text.grep("(?i)error", limit=1) == [(1, "ERROR one")]
    assert text[text.grep("two")[0][0]] == "error two"


@given(st.lists(st.binary(max_size=40), max_size=12), st.slices(20))
def test_any_slice_is_that_of_the_list_of_lines(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], cut: slice
):
    folder = tmp_path_factory.mktemp("text")
    paths = []
    for number, part in enumerate(parts):
        paths.append(folder / str(number))
        paths[-1].write_bytes(part)
    text = Text(tuple(paths))
    assert text[cut] == list(text)[cut]
    assert len(text) == len(list(text))


def test_a_slice_in_the_middle_of_many_lines_is_right(tmp_path: Path):
    text = text_of(tmp_path, b"".join(b"line %d\n" % n for n in range(5_000)))
    assert text[4_095] == "line 4095"
    assert text[1_023:1_026] == ["line 1023", "line 1024", "line 1025"]


def test_a_large_file_is_searched_without_holding_it(tmp_path: Path):
    line = b"x" * 99 + b"\n"
    text = text_of(tmp_path, line * 100_000 + b"needle\n")
    tracemalloc.start()
    assert text.grep("needle") == [(100_000, "needle")]
    assert text[-1] == "needle"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 << 20


@pytest.mark.parametrize("path", ["nowhere", "folder"])
def test_a_path_without_text_says_so(tmp_path: Path, path: str):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidRequest, match="--text"):
        open_text(tmp_path / path)
