"""Files of every kind, as they come: each row of docs/data.md."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path

import duckdb
import openpyxl
import pytest
import zstandard

from agent.data.reading.found import DataUnreadable
from agent.data.warehouse import Table, Warehouse
from tests.data.conftest import OpenFiles

RECORDS = [{"city": "Oslo", "amount": 1}, {"city": "Bergen", "amount": 2}]
CSV = "city,amount\nOslo,1\nBergen,2\n"


def table(warehouse: Warehouse, name: str) -> Table:
    (found,) = [one for one in warehouse.tables() if one.name == name]
    return found


def rows(warehouse: Warehouse, sql: str) -> list[tuple]:
    return [tuple(row.values()) for row in warehouse.query(sql).to_pylist()]


def types(warehouse: Warehouse, name: str) -> dict[str, str]:
    return {column.name: column.type for column in table(warehouse, name).columns}


def zipped(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return out.getvalue()


def workbook(**sheets: list[list[object]]) -> bytes:
    book, out = openpyxl.Workbook(), io.BytesIO()
    book.remove(book.active)
    for name, cells in sheets.items():
        sheet = book.create_sheet(name)
        for row in cells:
            sheet.append(row)
    book.save(out)
    return out.getvalue()


def parquet(folder: Path, sql: str) -> bytes:
    path = folder / "made.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({sql}) TO '{path}' (FORMAT parquet)")
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv.gz", gzip.compress(CSV.encode())),
        ("a.csv.zst", zstandard.compress(CSV.encode())),
        ("a.zip", zipped({"inner/sales.csv": CSV})),
        ("a.csv.zip", zipped({"sales.csv": CSV})),
        ("a.tsv", CSV.replace(",", "\t")),
        ("a.txt", CSV.replace(",", "|")),
        ("a.csv", CSV.encode("utf-16")),
        ("a.csv", CSV.encode("utf-16-le")),
        ("a.csv", CSV.replace("\n", "\r\n").encode("utf-8-sig")),
        ("a.json", '[{"city": "Oslo", "amount": 1}, {"city": "Bergen", "amount": 2}]'),
        ("a.jsonl", '{"city": "Oslo", "amount": 1}\n{"city": "Bergen", "amount": 2}\n'),
        ("a.json", '{"city": "Oslo", "amount": 1}\n{"city": "Bergen", "amount": 2}'),
        (
            "a.json",
            json.dumps({"count": 2, "results": RECORDS}),
        ),
        ("a.json", json.dumps({"data": {"items": RECORDS}})),
        ("a.json", json.dumps({"columns": ["city", "amount"], "data": [["Oslo", 1], ["Bergen", 2]]})),
        ("a.json", json.dumps({"city": ["Oslo", "Bergen"], "amount": [1, 2]})),
        ("a.json", '[{"city": "Oslo", "amount": 1}, {"city": "Bergen", "amount": 2}]'.encode("utf-16")),
        ("a.jsonl.gz", gzip.compress(b'{"city": "Oslo", "amount": 1}\n{"city": "Bergen", "amount": 2}\n')),
        ("a.xlsx", workbook(Sheet1=[["city", "amount"], ["Oslo", 1], ["Bergen", 2]])),
    ],
)
def test_one_small_table_in_many_wrappings_is_the_same_table(open_files: OpenFiles, name: str, content: bytes | str):
    warehouse = open_files({name: content})
    (found,) = warehouse.tables()
    assert types(warehouse, found.name) == {"city": "VARCHAR", "amount": "BIGINT"}
    assert rows(warehouse, f"FROM {found.name}") == [("Oslo", 1), ("Bergen", 2)]


def test_a_parquet_file_with_time_zones_is_read_where_it_is(open_files: OpenFiles, tmp_path: Path):
    made = parquet(tmp_path, "SELECT 1 AS id, TIMESTAMPTZ '2024-01-01 10:00:00+02' AS at")
    warehouse = open_files({"facts.parquet": made})
    assert types(warehouse, "facts") == {"id": "INTEGER", "at": "TIMESTAMP WITH TIME ZONE"}
    assert str(rows(warehouse, "FROM facts")[0][1]) == "2024-01-01 08:00:00+00:00"
    assert not list((tmp_path / "home" / "warehouse" / "tables").glob("*.parquet"))


def test_each_sheet_of_a_workbook_is_a_table_typed_as_its_cells_are(open_files: OpenFiles):
    from datetime import date, datetime

    warehouse = open_files({
        "Report 2024.xlsx": workbook(
            Sales=[["Sales 2024"], [], ["Day", "Units", "Share", "Paid"], [date(2024, 1, 31), 3, 0.25, True],
                   [date(2024, 2, 29), 4, 0.5, False], ["Total", 7]],
            Stock=[["Item", "At"], ["Bolt", datetime(2024, 1, 1, 10, 30)], ["Nut", datetime(2024, 1, 2, 11, 0)]],
            Empty=[],
        )
    })  # fmt: skip
    assert [one.name for one in warehouse.tables()] == ["report_2024_sales", "report_2024_stock"]
    sales = {"Day": "DATE", "Units": "BIGINT", "Share": "DOUBLE", "Paid": "BOOLEAN"}
    assert types(warehouse, "report_2024_sales") == sales
    assert rows(warehouse, "SELECT sum(Units), count(*) FROM report_2024_sales") == [(7, 2)]
    assert types(warehouse, "report_2024_stock") == {"Item": "VARCHAR", "At": "TIMESTAMP"}
    assert "1 title line above the header" in table(warehouse, "report_2024_sales").notes


def test_nested_json_is_kept_as_structs_and_several_lists_are_several_tables(open_files: OpenFiles):
    warehouse = open_files({
        "shop.json": json.dumps({
            "users": [{"id": 1, "name": {"first": "Ada"}}, {"id": 2, "name": {"first": "Bo"}}],
            "orders": [{"user": 1, "tags": ["new", "big"], "big": 2**62}],
        }),
        "by_key.json": json.dumps({"a1": {"n": 1}, "b2": {"n": 2}}),
        "one.json": json.dumps({"version": 3, "name": "config"}),
    })  # fmt: skip
    assert rows(warehouse, "SELECT name.first FROM shop_users ORDER BY id") == [("Ada",), ("Bo",)]
    assert rows(warehouse, "SELECT tags[2], big FROM shop_orders") == [("big", 2**62)]
    assert rows(warehouse, "SELECT key, n FROM by_key") == [("a1", 1), ("b2", 2)]
    assert rows(warehouse, "SELECT version FROM one") == [(3,)]
    assert table(warehouse, "shop_users").notes == ("the rows of users; beside it: orders",)


def test_a_line_that_is_no_json_is_left_out_and_told(open_files: OpenFiles):
    warehouse = open_files({"log.jsonl": '{"a": 1}\nnot json\n{"a": NaN}\n\n{"a": 3}\n'})
    assert rows(warehouse, "SELECT a FROM log") == [(1,), (None,), (3,)]
    assert table(warehouse, "log").notes == ("1 line that is no JSON left out",)


def test_a_folder_of_partitions_is_one_table(open_files: OpenFiles, tmp_path: Path):
    made = parquet(tmp_path, "SELECT 1 AS id")
    warehouse = open_files({
        "events/year=2023/month=01/part-0.parquet": made,
        "events/year=2024/month=02/part-0.parquet": made,
        "events/_SUCCESS": "",
        "visits/day=2024-01-01/a.csv": "n\n1\n2\n",
        "visits/day=2024-01-02/a.csv": "n\n3\n",
        "visits/day=__HIVE_DEFAULT_PARTITION__/a.csv": "n\n4\n",
    })  # fmt: skip
    assert [one.name for one in warehouse.tables()] == ["events", "visits"]
    assert rows(warehouse, "SELECT year, id FROM events ORDER BY year") == [(2023, 1), (2024, 1)]
    assert types(warehouse, "visits") == {"day": "DATE", "n": "BIGINT"}
    assert rows(warehouse, "SELECT count(*), count(day), sum(n) FROM visits") == [(4, 3, 10)]
    assert warehouse.aside() == ()


def test_a_delta_table_is_set_aside_since_its_files_hold_removed_rows(open_files: OpenFiles, tmp_path: Path):
    made = parquet(tmp_path, "SELECT 1 AS id")
    warehouse = open_files({"t/_delta_log/0.json": "{}", "t/part-0.parquet": made, "a.csv": CSV})
    assert [one.name for one in warehouse.tables()] == ["a"]
    assert [(one.name, "Delta" in one.reason) for one in warehouse.aside()] == [("t", True)]


def test_windows_1252_keeps_its_quotes_and_a_stray_byte_hurts_no_other_letter(open_files: OpenFiles):
    cafes = ["café Über", "Ærø", "naïve"] * 20
    stray = ("name,n\n" + "".join(f"{name},{n}\n" for n, name in enumerate(cafes))).encode() + b"caf\xe9 \x93x\x94,99\n"
    warehouse = open_files({
        "excel.csv": "name;price\nCafé “Zoë”;5 €\nBar – Ü;6 €\n".encode("cp1252"),
        "mac.csv": "name,n\nSkarsgård,1\nPenélope’s,2\n".encode("mac_roman"),
        "stray.csv": stray,
        "late.csv": b"name,n\n" + b"plain,1\n" * 200_000 + "Zoë,2\n".encode("cp1252"),
    })  # fmt: skip
    assert rows(warehouse, 'SELECT * FROM "excel"') == [("Café “Zoë”", 5), ("Bar – Ü", 6)]
    assert rows(warehouse, "SELECT name FROM mac") == [("Skarsgård",), ("Penélope’s",)]
    assert rows(warehouse, "SELECT name FROM stray WHERE n IN (0, 99) ORDER BY n") == [("café Über",), ("café “x”",)]
    assert table(warehouse, "stray").notes == ("3 bytes not UTF-8 read as Windows-1252",)
    assert rows(warehouse, "SELECT name FROM late WHERE n = 2") == [("Zoë",)]
    assert table(warehouse, "excel").notes == ("Windows-1252 text",)


def test_bytes_that_mean_nothing_are_replaced_and_counted(open_files: OpenFiles):
    warehouse = open_files({"odd.csv": "name,n\nÅse,1\n".encode() * 5 + b"x\x81y,2\n"})
    assert rows(warehouse, "SELECT name FROM odd WHERE n = 2") == [("x\ufffdy",)]
    assert table(warehouse, "odd").notes[0] == "1 byte undecodable replaced by \ufffd"


def test_letters_of_other_scripts_are_guessed(open_files: OpenFiles):
    text = "имя,город\n" + "Иван Петров,Москва\nАнна Смирнова,Санкт-Петербург\n" * 20
    warehouse = open_files({"cyrillic.csv": text.encode("cp1251")})
    assert rows(warehouse, "FROM cyrillic LIMIT 1") == [("Иван Петров", "Москва")]


def test_a_row_with_a_cell_too_many_is_left_out_told_and_within_reach(open_files: OpenFiles):
    text = "city,amount\n" + "".join(f"C{n},{n}\n" for n in range(200)) + "Smith, John,7\nShort\n"
    warehouse = open_files({"sales.csv": text})
    assert types(warehouse, "sales") == {"city": "VARCHAR", "amount": "BIGINT"}
    assert rows(warehouse, "SELECT count(*), count(amount) FROM sales") == [(201, 200)]
    assert table(warehouse, "sales").notes == ("1 row with more cells than the header left out (row 202)",)
    assert rows(warehouse, "SELECT c1, c2, c3 FROM raw.sales WHERE row = 202") == [("Smith", " John", "7")]
    with warehouse.session() as session:
        assert session.query("SELECT count(*) AS n FROM files.raw.sales").to_pylist() == [{"n": 203}]


def test_many_longer_rows_make_columns_of_their_own(open_files: OpenFiles):
    warehouse = open_files({"wide.csv": "a,b\n" + "1,2\n" * 60 + "1,2,3\n" * 60})
    assert types(warehouse, "wide") == {"a": "BIGINT", "b": "BIGINT", "column_3": "BIGINT"}
    assert rows(warehouse, "SELECT count(*), count(column_3) FROM wide") == [(120, 60)]


def test_a_quote_that_is_never_closed_does_not_swallow_the_file(open_files: OpenFiles):
    text = "name,size\n" + "".join(f"bolt {n},{n}\n" for n in range(500)) + '"half,7\n' + "".join(
        f"nut {n},{n}\n" for n in range(500))  # fmt: skip
    warehouse = open_files({"parts.csv": text})
    assert rows(warehouse, "SELECT count(*), sum(size) FROM parts") == [(1001, 2 * 124_750 + 7)]
    assert "read without quotes" in table(warehouse, "parts").notes[0]


def test_a_large_file_is_read_the_same_as_a_small_one(open_files: OpenFiles, monkeypatch: pytest.MonkeyPatch):
    text = "Sales\n\nwhen;what;amount\n" + "".join(
        f'{1 + n % 28:02d}.03.2024;"a; ""b"" {n}";{n},50\n' for n in range(3_000)) + ";Total;1\n"  # fmt: skip
    small = open_files({"small.csv": text, "packed.csv.gz": gzip.compress(text.encode("cp1252"))})
    expected = rows(small, "FROM small")
    assert len(expected) == 3_000
    monkeypatch.setattr("agent.data.reading.staging.FAST_BYTES", 1)
    monkeypatch.setattr("agent.data.loading.VERSION", "fast")
    large = open_files({"small.csv": text})
    assert rows(large, "FROM small") == expected == rows(large, "FROM packed")
    assert table(large, "small").notes == table(small, "small").notes


def test_prose_a_table_that_is_none_and_what_can_not_be_read_are_set_aside_by_name(open_files: OpenFiles):
    warehouse = open_files({
        "good.csv": CSV,
        "README.txt": "This folder holds sales, by city.\nAsk Ada, if in doubt.\n\nThanks\n",
        "notes.md": "# Notes",
        "empty.csv": "",
        "picture.csv": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" * 50,
        "broken.json": '{"a": 1',
        "short.parquet": b"PAR1",
        "cut.csv.gz": gzip.compress(b"a,b\n" + b"1,2\n" * 10_000, mtime=0)[:60],
        "old.xls": b"not a workbook",
        "bad.zip": b"PK nothing",
        "locked.zip": zipped({"notes.pdf": "x"}),
    })  # fmt: skip
    assert [one.name for one in warehouse.tables()] == ["good"]
    aside = {one.name: one.reason for one in warehouse.aside()}
    assert set(aside) == {
        "README.txt", "notes.md", "empty.csv", "picture.csv", "broken.json", "short.parquet", "cut.csv.gz", "old.xls",
        "bad.zip", "locked.zip/notes.pdf",
    }  # fmt: skip
    assert all("\n" not in reason and reason for reason in aside.values())
    assert "--text" in aside["README.txt"]


def test_a_file_that_turns_out_broken_while_loading_is_set_aside_with_its_reason(open_files: OpenFiles):
    cut = gzip.compress(b"a,b\n" + "".join(f"{n},{n * n}\n" for n in range(400_000)).encode(), mtime=0)
    warehouse = open_files({"good.csv": CSV, "cut.csv.gz": cut[:-2000]})
    assert [one.name for one in warehouse.tables()] == ["good"]
    (aside,) = warehouse.aside()
    assert aside.name == "cut.csv.gz"
    assert "cut off or damaged" in aside.reason


def test_when_nothing_can_be_read_it_is_an_error_that_names_the_files(open_files: OpenFiles):
    with pytest.raises(DataUnreadable, match=r"a\.csv.*b\.json"):
        open_files({"a.csv": "", "b.json": "{"})
