"""What a thread remembers of its data: enough to open it again, or to say what is gone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.data.source import DataSource, describe_source, source_from_json
from graph.errors import InvalidRequest


def test_a_source_is_saved_and_read_again_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "sales").mkdir()
    (tmp_path / "a.log").write_text("x")
    monkeypatch.chdir(tmp_path)
    source = describe_source([Path("sales")], Path("a.log"), catalog="files", schema="data", sample=False)
    monkeypatch.chdir("/")
    again = source_from_json(json.loads(json.dumps(source.to_json())))
    assert again == source
    assert again.paths == (str(tmp_path / "sales"),)
    again.check()


def test_what_is_gone_is_named_with_what_to_give(tmp_path: Path):
    source = DataSource((str(tmp_path / "gone"), str(tmp_path)), text=str(tmp_path / "a.log"))
    with pytest.raises(InvalidRequest, match=r"--data .*gone and --text .*a\.log is no longer there"):
        source.check()


@pytest.mark.parametrize("saved", [{"paths": "x"}, {"paths": [1]}, {"text": 3}, {"sample": "yes"}, {"catalog": []}])
def test_what_is_no_source_is_refused(saved: dict[str, object]):
    with pytest.raises(InvalidRequest, match="--data"):
        source_from_json(saved)


def test_a_source_is_told_in_words():
    assert DataSource().described == "the sample"
    assert DataSource(sample=False).described == "no data"
    assert DataSource(("/d/sales",), "/d/a.log", "files").described == "/d/sales, the text /d/a.log, files"
