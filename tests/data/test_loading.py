"""Tables are loaded behind the questions: who needs one waits for it, who does not goes on."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agent.data import loading
from agent.data.loading import Progress
from agent.data.session import QueryFailed
from agent.data.warehouse import Warehouse, open_warehouse
from tests.data.conftest import OpenFiles
from tests.data.test_formats import rows, table

CSV = "city,amount\nOslo,1\nBergen,2\n"
PATIENCE = 30.0


class Gate:
    """Holds up the loading of tables until it is opened, or for good those that `name` is in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.opened, self.reached, make = threading.Event(), threading.Event(), loading.make

        def gated(connection, group, made):
            if group.name == name:
                self.reached.set()
                assert self.opened.wait(PATIENCE)
            return make(connection, group, made)

        monkeypatch.setattr(loading, "make", gated)


def write(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_a_question_that_needs_no_file_is_answered_while_files_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    gate = Gate(monkeypatch, "slow")
    data = write(tmp_path / "data", {"slow.csv": CSV + "Turku,3\n" * 147})
    with open_warehouse(tmp_path / "home", sample=True, paths=[data], wait=0) as warehouse:
        assert gate.reached.wait(PATIENCE)
        assert not warehouse.is_loaded
        assert rows(warehouse, "SELECT count(*) FROM silo_north.vendors") == [(420,)]
        slow = table(warehouse, "slow")
        assert (slow.rows, [(column.name, column.type) for column in slow.columns]) == (
            None,
            [("city", "VARCHAR"), ("amount", "BIGINT")],
        )
        assert warehouse.search("amount", "BASE TABLE", limit=99).total > 1
        answers: list[object] = []

        def ask(session) -> None:
            answers.append(session.query("SELECT count(*) AS n FROM slow").to_pylist())

        with warehouse.session() as session:
            assert session.query("SELECT 1 AS one").to_pylist() == [{"one": 1}]
            session.query("CREATE TABLE mine AS SELECT 7 AS x")
            asking = threading.Thread(target=ask, args=(session,))
            asking.start()
            gate.opened.set()
            asking.join(PATIENCE)
            assert answers == [[{"n": 149}]]
            assert session.query("SELECT x FROM mine").to_pylist() == [{"x": 7}]
            assert session.query("SELECT sum(amount) AS s FROM files.data.slow").to_pylist() == [{"s": 444}]
        assert warehouse.is_loaded
        assert table(warehouse, "slow").rows == 149


def test_a_table_that_is_asked_for_comes_before_those_that_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    gate, order = Gate(monkeypatch, "a"), []
    data = write(tmp_path / "data", {"a.csv": "x\n1\n", **{f"{n}.csv": f"{n}\n1\n" * 9 for n in "bcdefg"}})

    def note(progress: Progress) -> None:
        order.append(progress)

    with open_warehouse(tmp_path / "home", False, [data], note, wait=0) as warehouse:
        assert gate.reached.wait(PATIENCE)
        waiting = threading.Thread(target=warehouse.query, args=("SELECT * FROM g",))
        waiting.start()
        while not warehouse._sources.loading._wanted:
            pass
        gate.opened.set()
        waiting.join(PATIENCE)
        warehouse.finish_loading()
    assert [one.table for one in order][:2] == ["a", "g"]
    assert (order[-1].done, order[-1].total) == (7, 7)
    assert order[-1].bytes_done == order[-1].bytes_total > order[0].bytes_done


def test_a_stand_in_for_a_table_that_is_not_loaded_never_answers_with_no_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    gate = Gate(monkeypatch, "slow")
    data = write(tmp_path / "data", {"slow.csv": CSV})
    with open_warehouse(tmp_path / "home", False, [data], wait=0) as warehouse:
        for sql in ("SELECT count(*) FROM query_table('sl' || 'ow')", "FROM query('FROM sl' || 'ow')"):
            with pytest.raises(QueryFailed, match=r"being loaded|query"):
                warehouse.query(sql)
        gate.opened.set()


def test_closing_while_files_load_ends_at_once_and_wakes_who_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    gate = Gate(monkeypatch, "slow")
    data = write(tmp_path / "data", {"slow.csv": CSV, "other.csv": "x\n1\n"})
    warehouse = open_warehouse(tmp_path / "home", False, [data], wait=0)
    failed: list[str] = []

    def ask() -> None:
        with pytest.raises(QueryFailed) as caught:
            warehouse.query("FROM slow")
        failed.append(str(caught.value))

    asking = threading.Thread(target=ask)
    asking.start()
    assert gate.reached.wait(PATIENCE)
    threading.Timer(0.2, gate.opened.set).start()
    warehouse.close()
    asking.join(PATIENCE)
    assert failed == ["the warehouse is being closed"]
    assert not list((tmp_path / "home" / "warehouse" / "catalogs").iterdir())


def test_a_session_that_is_closed_waits_no_longer_for_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    gate = Gate(monkeypatch, "slow")
    data = write(tmp_path / "data", {"slow.csv": CSV})
    with open_warehouse(tmp_path / "home", False, [data], wait=0) as warehouse:
        session = warehouse.session()
        failed: list[str] = []

        def ask() -> None:
            with pytest.raises(QueryFailed) as caught:
                session.query("FROM slow")
            failed.append(str(caught.value))

        asking = threading.Thread(target=ask)
        asking.start()
        assert gate.reached.wait(PATIENCE)
        session.close()
        asking.join(PATIENCE)
        assert failed == ["the statement was given up while its tables were being loaded"]
        gate.opened.set()


def test_tables_that_were_made_are_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = write(tmp_path / "data", {"a.csv": CSV, "b.csv": "x\n1\n"})
    open_warehouse(tmp_path / "home", False, [data]).close()
    made: list[str] = []
    make = loading.make
    monkeypatch.setattr(loading, "make", lambda c, group, into: made.append(group.name) or make(c, group, into))
    (data / "b.csv").write_text("x\n1\n2\n")
    with open_warehouse(tmp_path / "home", False, [data]) as warehouse:
        warehouse.finish_loading()
        assert made == ["b"]
        assert rows(warehouse, "SELECT count(*) FROM b") == [(2,)]


def test_three_hundred_files_are_planned_and_loaded(tmp_path: Path):
    files = {f"group{n % 30}_{2000 + n // 30}.csv": f"id,value{n % 30}\n{n},{n}.5\n" for n in range(300)}
    data = write(tmp_path / "data", files)
    with open_warehouse(tmp_path / "home", False, [data]) as warehouse:
        warehouse.finish_loading()
        assert len(warehouse.tables()) == 30
        assert sum(one.rows or 0 for one in warehouse.tables()) == 300
        assert rows(warehouse, "SELECT value7 FROM group7_2003") == [(97.5,)]
        assert len(warehouse.files()) == 300


def test_code_reaches_files_by_name(open_files: OpenFiles):
    warehouse: Warehouse = open_files({"deep/a.csv": CSV, "odd.csv": b"\0\0\0", "b.jsonl": '{"a": 1}'})
    assert {name: path.name for name, path in warehouse.files().items()} == {
        "deep/a.csv": "a.csv",
        "odd.csv": "odd.csv",
        "b.jsonl": "b.jsonl",
    }
