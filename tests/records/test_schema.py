"""The versions of the files beside the threads."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agent.records.database import STEPS, Database
from agent.records.schema import NewerSchema, bring_up_to_date
from agent.records.scopes import open_scopes
from agent.records.sqlite import open_records
from graph.types import Artifact


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def opens_records(path: Path) -> None:
    open_records(path, "app").close()


def opens_scopes(path: Path) -> None:
    with open_scopes(path):
        pass


@pytest.mark.parametrize("opens", [opens_records, opens_scopes])
def test_a_file_of_a_newer_version_is_refused_by_name_and_not_touched(opens, tmp_path: Path) -> None:
    path = tmp_path / "kept.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE later (x)")
        connection.execute("PRAGMA user_version = 99")
        connection.commit()
    before = path.read_bytes()
    with pytest.raises(NewerSchema, match=r"kept\.sqlite was written by a newer version .*schema 99, known up to 1"):
        opens(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("opens", [opens_records, opens_scopes])
def test_a_new_file_has_todays_version(opens, tmp_path: Path) -> None:
    opens(tmp_path / "kept.sqlite")
    assert version(tmp_path / "kept.sqlite") == 1


def test_a_file_from_before_versions_were_counted_is_taken_over_with_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    with open_records(path, "app") as records:
        records.register(Artifact("art_000000000001", "t", "r", 1, "x", None, "p"), "k")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 0")
    with open_records(path, "app") as records:
        assert [row.artifact_id for row in records.artifacts("t")] == ["art_000000000001"]
    assert version(path) == 1


def test_each_step_is_taken_once_and_a_step_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    database = Database(path)
    try:
        connection = database._connection
        more = (*STEPS, ["ALTER TABLE run_state ADD COLUMN note TEXT"], ["ALTER TABLE run_state ADD COLUMN host TEXT"])
        bring_up_to_date(connection, path, more)
        bring_up_to_date(connection, path, more)
        assert version(path) == 3
        with pytest.raises(sqlite3.Error):
            bring_up_to_date(connection, path, (*more, ["ALTER TABLE run_state ADD COLUMN late TEXT", "nonsense"]))
        assert version(path) == 3
        columns = [row[1] for row in connection.execute("PRAGMA table_info(run_state)")]
        assert columns[-2:] == ["note", "host"]
    finally:
        database.close()
