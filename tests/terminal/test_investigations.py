"""What a thread left, used again: replayed, exported, kept in one file; figures and logs found."""

from __future__ import annotations

import json
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import nbformat
import pytest

from agent.artifacts.folder import FolderArtifacts
from agent.backup import add_bytes, backup, restore
from agent.config import Settings, load_settings
from agent.core import Request, open_agent, open_threads
from agent.models.scripted import ScriptedModel, delegates, says, together
from agent.terminal.command_line import main
from agent.terminal.investigation import investigation
from agent.terminal.replaying import Outcome, differences, outcome_of, rerun
from graph.errors import InvalidRequest

Home = tuple[Path, list[str]]

COUNT = "n = execute_sql('SELECT count(*) FROM fruit').rows[0][0]\nprint(n, 'rows')\nresult = {'count': n}"
DRAW = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
FAIL = "print('before')\nraise KeyError('weight')"
READ = "print(len(context), context[0])"


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with one thread of two turns over a file and a text, and the artifacts of its four delegations."""
    folder = tmp_path_factory.mktemp("asked")
    (folder / "fruit.csv").write_text("kind,weight\napple,3\npear,4\n", encoding="utf-8")
    (folder / "log.txt").write_text("first\nsecond\n", encoding="utf-8")
    model = ScriptedModel(
        together(delegates(COUNT, instruction="Count"), delegates(DRAW)),
        says("Two kinds."),
        together(delegates(FAIL), delegates(READ)),
        says("It has no **weight**."),
    )
    with open_agent(settings_of(folder), base_model=model) as agent:
        agent.ask(Request("How many kinds?", "t-1"))
        agent.ask(Request("And the weight?", "t-1"))
        ids = [artifact_id for turn in agent.threads().exchanges("t-1") for artifact_id in turn.artifact_ids]
    return folder, ids


def settings_of(folder: Path) -> Settings:
    data = {"sample": False, "paths": (folder / "fruit.csv",), "text": folder / "log.txt"}
    return Settings.model_validate({"home": folder / "home", "data": data, "tracing": {"enabled": False}})


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def run_here(folder: Path, *arguments: str) -> tuple[int, str]:
        monkeypatch.chdir(folder)
        code = main(["--env-file", "/dev/null", "--set", "home=home", *arguments])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run_here


@pytest.mark.slow
def test_a_thread_is_replayed_without_a_model_and_each_step_is_the_same_until_its_data_changes(
    asked: Home, here: Callable[..., Any]
) -> None:
    folder, ids = asked
    code, told = here(folder, "replay", "t-1")
    assert (code, told.splitlines()[-1]) == (0, "4 of 4 steps the same"), told
    assert [line.split()[1] for line in told.splitlines()[:-1]] == ids

    before = (folder / "fruit.csv").read_text(encoding="utf-8")
    (folder / "fruit.csv").write_text(before + "plum,5\n", encoding="utf-8")
    code, told = here(folder, "replay", "t-1")
    (folder / "fruit.csv").write_text(before, encoding="utf-8")
    assert (code, told.splitlines()[-1]) == (3, "3 of 4 steps the same"), told
    assert f"different  {ids[0]}" in told
    assert "-2 rows" in told
    assert "+3 rows" in told


def test_a_notebook_whose_data_is_gone_says_so(asked: Home) -> None:
    folder, ids = asked
    notebook = FolderArtifacts(folder / "home" / "artifacts").path(ids[0]) / "notebook.ipynb"
    page = json.loads(notebook.read_text(encoding="utf-8"))
    page["cells"][1]["source"] = page["cells"][1]["source"].replace("fruit.csv", "gone.csv")
    moved = folder / "moved.ipynb"
    moved.write_text(json.dumps(page), encoding="utf-8")
    done = rerun(moved, 60)
    assert done.outcome is None
    assert "gone.csv is no longer there" in done.trouble


def test_a_notebook_that_can_not_open_its_data_is_not_run(tmp_path: Path) -> None:
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print(1)")])
    (tmp_path / "old.ipynb").write_text(nbformat.writes(page), encoding="utf-8")
    assert "does not say how to open its data" in rerun(tmp_path / "old.ipynb", 60).trouble


def test_differences_are_a_short_diff_by_value() -> None:
    before = Outcome("1 row", '{"a": 1, "b": 2}', "", 0)
    after = Outcome("1 row", '{"a": 1, "b": 3}', "", 0)
    assert differences(before, before) == []
    assert [line for line in differences(before, after) if line.startswith(("+ ", "- "))] == ['- "b": 2', '+ "b": 3']
    assert len(differences(Outcome("\n".join("ab" * 90), "", "", 0), after)) <= 41


def test_an_artifacts_outcome_has_what_it_printed_left_raised_and_drew(asked: Home) -> None:
    store = FolderArtifacts(asked[0] / "home" / "artifacts")
    counted, drawn, failed, _ = (outcome_of(store.read(one), "") for one in asked[1])
    assert json.loads(counted.result) == {"count": 2}
    assert drawn.figures == 1
    assert failed.error == "KeyError"


def test_an_investigation_is_one_valid_notebook_with_all_that_was_said_and_run(
    asked: Home, here: Callable[..., Any]
) -> None:
    folder, ids = asked
    code, told = here(folder, "export", "t-1", "all.ipynb")
    assert (code, "2 turns with 4 delegations" in told) == (0, True), told
    page = nbformat.read(folder / "all.ipynb", as_version=4)
    nbformat.validate(page)
    text = "\n".join(cell.source for cell in page.cells)
    for said in ("1. How many kinds?", "2. And the weight?", "Two kinds.", "It has no **weight**.", "## Digest", *ids):
        assert said in text
    assert "2 model calls" in text
    assert sum("open_data(" in cell.source for cell in page.cells) == 1
    outputs = [output for cell in page.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert any(output.output_type == "error" for output in outputs)


def test_a_thread_without_turns_and_an_artifact_that_is_gone_are_said(tmp_path: Path) -> None:
    from agent.threads import Exchange

    store = FolderArtifacts(tmp_path)
    page = investigation("t-2", [Exchange("Why?", "", "r", ("art_00000000000a",))], {}, store)
    nbformat.validate(nbformat.from_dict(page))
    text = "\n".join(cell["source"] for cell in page["cells"])
    assert "Its folder is gone." in text
    assert "*none*" in text


def test_a_figure_is_named_with_the_command_that_opens_it(asked: Home, here: Callable[..., Any]) -> None:
    folder, ids = asked
    code, told = here(folder, "artifacts", "open", ids[1], "1")
    path = Path(told.strip())
    assert (code, path.name) == (0, "figure-01.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert "has 1 figure, not 2" in here(folder, "artifacts", "open", ids[1], "2")[1]


def test_a_home_is_kept_in_one_file_while_it_is_written_and_made_again_elsewhere(asked: Home, tmp_path: Path) -> None:
    folder, ids = asked
    home, file = folder / "home", tmp_path / "home.tgz"
    with closing(sqlite3.connect(home / "records.sqlite")) as busy:
        busy.execute("BEGIN IMMEDIATE")
        busy.execute("DELETE FROM artifact_registry")
        assert backup(home, file) > 10
        busy.rollback()
    assert (file.stat().st_mode & 0o777) == 0o600
    made = tmp_path / "made"
    restore(file, made)
    restored = Settings.model_validate({"home": made})
    with open_threads(restored) as threads:
        assert [turn.question for turn in threads.exchanges("t-1")] == ["How many kinds?", "And the weight?"]
        assert threads.spent("t-1")
    store = FolderArtifacts(made / "artifacts")
    assert {one.artifact_id for one in store.list()} == set(ids)
    assert [path.name for path in made.rglob("*.png")] == ["figure-01.png"]
    with pytest.raises(InvalidRequest, match="is not empty"):
        restore(file, made)


HOSTILE = [("../evil", "no file of a home"), ("home/../../evil", "no file of a home"), ("/evil", "no file of a home")]


@pytest.mark.parametrize(("name", "says"), HOSTILE)
def test_a_backup_from_a_stranger_writes_nothing_outside(name: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "evil.tgz"
    with tarfile.open(file, "w:gz") as archive:
        for member, content in (("manifest.json", b'{"version": 1}'), (name, b"evil")):
            add_bytes(archive, member, content)
    with pytest.raises(InvalidRequest, match=says):
        restore(file, tmp_path / "made" / "home")
    assert not (tmp_path / "made" / "home").exists()
    assert not list(tmp_path.rglob("evil"))


def test_half_a_backup_makes_no_home(asked: Home, tmp_path: Path) -> None:
    backup(asked[0] / "home", tmp_path / "all.tgz")
    whole = (tmp_path / "all.tgz").read_bytes()
    (tmp_path / "half.tgz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidRequest, match=r"half\.tgz"):
        restore(tmp_path / "half.tgz", tmp_path / "made")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.tgz", "half.tgz"]


def test_the_log_level_is_a_setting() -> None:
    assert load_settings(None, {}, {}).settings.logs.level == "info"
    assert load_settings(None, {"RLM_LOGS__LEVEL": "debug"}, {}).settings.logs.level == "debug"
