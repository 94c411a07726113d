"""Files that are alike are one table, typed together, and each is still there by itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.data.reading.alike import pattern_of
from tests.data.conftest import OpenFiles
from tests.data.test_formats import parquet, rows, table, types, workbook


def yearly(year: int, answers: str) -> str:
    return f"country,member,share\nNorway,{answers},{year % 100}.5\nItaly,{answers},1\n"


def test_yearly_files_are_typed_together_and_shown_as_one(open_files: OpenFiles):
    files = {f"un_votes_{year}.csv": yearly(year, "yes" if year % 3 else "unknown") for year in range(2001, 2023)}
    warehouse = open_files({**files, "other.csv": "a,b\n1,2\n"})
    assert [one.name for one in warehouse.tables()] == ["other", "un_votes"]
    votes = table(warehouse, "un_votes")
    assert types(warehouse, "un_votes") == {
        "file": "VARCHAR",
        "country": "VARCHAR",
        "member": "VARCHAR",
        "share": "DOUBLE",
    }
    assert votes.rows == 44
    assert votes.parts[0] == "un_votes_2001.csv"
    assert len(votes.alone) == 22
    assert rows(warehouse, "SELECT count(DISTINCT file) FROM un_votes") == [(22,)]
    assert rows(warehouse, "SELECT * FROM un_votes_2002 LIMIT 1") == [("Norway", "yes", 2.5)]


def test_a_number_in_one_year_and_words_in_another_is_text_in_all(open_files: OpenFiles):
    warehouse = open_files({"a_2020.csv": "id,code\n1,7\n2,8\n", "a_2021.csv": "id,code\n1,7B\n"})
    assert types(warehouse, "a") == {"file": "VARCHAR", "id": "BIGINT", "code": "VARCHAR"}


def test_a_column_that_came_later_is_empty_before(open_files: OpenFiles):
    early, late = "id,city,amount\n1,Oslo,5\n", "id,amount,city,channel\n2,6,Bergen,web\n"
    warehouse = open_files({"sales_2019.csv": early, "sales_2020.csv": late})
    assert rows(warehouse, "SELECT id, city, amount, channel FROM sales ORDER BY id") == [
        (1, "Oslo", 5, None),
        (2, "Bergen", 6, "web"),
    ]


def test_files_of_one_shape_in_a_folder_are_one_table_named_for_it(open_files: OpenFiles):
    shape = "date,store,item,units\n2024-01-01,{0},pen,3\n"
    warehouse = open_files({f"stores/{name}.csv": shape.format(name) for name in ("north", "south", "west")})
    assert [one.name for one in warehouse.tables()] == ["stores"]
    assert rows(warehouse, "SELECT store FROM south") == [("south",)]


def test_small_tables_that_only_look_alike_stay_apart(open_files: OpenFiles):
    warehouse = open_files({f"{name}.csv": f"id,name\n1,{name}\n" for name in ("city", "team", "color")})
    assert [one.name for one in warehouse.tables()] == ["city", "color", "team"]


def test_alike_sheets_and_alike_workbooks_are_one_table(open_files: OpenFiles):
    def book(year: int) -> bytes:
        cells = [["item", "units", "price"], ["pen", year, 1.5]]
        return workbook(Results=cells, Notes=[["term", "meaning"], ["item", "what is sold"]])

    warehouse = open_files({
        "stats-2022.xlsx": book(2022),
        "stats-2024.xlsx": book(2024),
        "months.xlsx": workbook(**{month: [["day", "n"], [1, 2]] for month in ("Jan", "Feb", "Mar")}),
    })  # fmt: skip
    assert [one.name for one in warehouse.tables()] == ["months", "stats_results", "stats_notes"]
    assert rows(warehouse, "SELECT sum(units) FROM stats_results") == [(4046,)]
    assert rows(warehouse, "SELECT file, n FROM months ORDER BY file LIMIT 1") == [("months.xlsx/Feb", 2)]


def test_alike_json_and_alike_parquet_are_one_table(open_files: OpenFiles, tmp_path: Path):
    warehouse = open_files({
        "log-01.jsonl": '{"a": 1, "b": "x"}\n',
        "log-02.jsonl": '{"a": 2.5, "b": "y"}\n',
        "page1.json": json.dumps({"results": [{"id": 1}]}),
        "page2.json": json.dumps({"results": [{"id": 2}]}),
        "f_1.parquet": parquet(tmp_path, "SELECT 1 AS id, 'a' AS s"),
        "f_2.parquet": parquet(tmp_path, "SELECT 2 AS id, 'b' AS s"),
    })  # fmt: skip
    assert rows(warehouse, "SELECT file, a FROM log ORDER BY a") == [("log-01.jsonl", 1.0), ("log-02.jsonl", 2.5)]
    assert rows(warehouse, "SELECT sum(id) FROM page") == [(3,)]
    assert rows(warehouse, "SELECT file, id FROM f ORDER BY id") == [("f_1.parquet", 1), ("f_2.parquet", 2)]
    assert rows(warehouse, "SELECT * FROM f_2") == [(2, "b")]


def test_a_broken_file_among_alike_ones_is_set_aside_and_the_rest_is_used(open_files: OpenFiles):
    warehouse = open_files({"m_1.csv": "a,b\n1,2\n", "m_2.csv": b"\0\1\2" * 99, "m_3.csv": "a,b\n3,4\n"})
    assert rows(warehouse, "SELECT sum(a) FROM m") == [(4,)]
    assert [one.name for one in warehouse.aside()] == ["m_2.csv"]


def test_a_table_that_has_a_column_file_already_keeps_it(open_files: OpenFiles):
    warehouse = open_files({"a_1.csv": "file,n\nx,1\n", "a_2.csv": "file,n\ny,2\n"})
    assert rows(warehouse, "SELECT source_file, file FROM a ORDER BY n") == [("a_1.csv", "x"), ("a_2.csv", "y")]


@pytest.mark.parametrize(
    ("stem", "pattern"),
    [
        ("sales_2019", "sales"),
        ("sales-2019-Q3", "sales"),
        ("2024_01_report (final)", "report"),
        ("report_jan", "report"),
        ("part-00001-abc", "abc"),
        ("marches", "marches"),
        ("2021", ""),
    ],
)
def test_what_varies_in_names_is_numbers_months_and_quarters(stem: str, pattern: str):
    assert pattern_of(stem) == pattern
