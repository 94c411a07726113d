"""The delegation blob, in every shape that a model may send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.blob import Blob, BlobError, parse_blob

CASES = [
    ("print(1)", Blob(None, "print(1)")),
    ("'''Count them'''\nprint(1)", Blob("Count them", "print(1)")),
    ('"""Count them"""\nprint(1)\n', Blob("Count them", "print(1)\n")),
    ("\n\n  '''Count\nall'''\n\nprint(1)", Blob("Count\nall", "\nprint(1)")),
    ("'''a \"\"\" b'''\nx = 1", Blob('a """ b', "x = 1")),
    ("'''Count''' # reads the log\nx = 1", Blob("Count", "# reads the log\nx = 1")),
    ("'''Count'''; x = 1", Blob("Count", "x = 1")),
    ("'''Count''' x = 1", Blob("Count", "x = 1")),
    ("'''not an instruction'''.strip()\nx = 1", Blob(None, "'''not an instruction'''.strip()\nx = 1")),
    ("''''''\nx = 1", Blob(None, "x = 1")),
    ("'''Count'''\n    indented = 1", Blob("Count", "    indented = 1")),
    ("\ufeffx = 1", Blob(None, "x = 1")),
    ("x = '''text'''", Blob(None, "x = '''text'''")),
    ("'single quotes'\nx = 1", Blob(None, "'single quotes'\nx = 1")),
]


@pytest.mark.parametrize(("text", "blob"), CASES)
def test_a_blob_is_split_into_instruction_and_code(text: str, blob: Blob) -> None:
    assert parse_blob(text) == blob


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("", "EMPTY_CODE", "empty"),
        (" \n\t ", "EMPTY_CODE", "empty"),
        ("'''Count them'''", "EMPTY_CODE", "no code"),
        ("'''Count them'''\n\n  ", "EMPTY_CODE", "no code"),
        ("'''Count them\nprint(1)", "FORMAT_VALIDATION_ERROR", "never closed"),
        ("\"\"\"Count them'''\nprint(1)", "FORMAT_VALIDATION_ERROR", '"""'),
    ],
)
def test_what_is_no_blob_is_refused_with_what_to_write_instead(text: str, code: str, words: str) -> None:
    with pytest.raises(BlobError, match=words) as caught:
        parse_blob(text)
    assert caught.value.code == code


instructions = st.text(st.characters(blacklist_characters="'\"\\\r"), min_size=1).filter(lambda text: text.strip())
programs = st.lists(st.sampled_from(["x = 1", "print('a')", "# note", "s = '''q'''", ""]), min_size=1).map("\n".join)


@given(instructions, programs.filter(lambda code: code.strip()), st.sampled_from(["'''", '"""']))
def test_instruction_and_code_come_back_as_they_were_sent(instruction: str, code: str, quotes: str) -> None:
    blob = parse_blob(f"{quotes}{instruction}{quotes}\n{code}")
    assert blob == Blob(instruction.strip(), code)


@given(st.text())
def test_any_text_is_a_blob_or_a_clear_refusal(text: str) -> None:
    refusals = {"EMPTY_CODE", "FORMAT_VALIDATION_ERROR"}
    try:
        accepted = bool(parse_blob(text).code.strip())
    except BlobError as error:
        accepted = error.code in refusals
    assert accepted
