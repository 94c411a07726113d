"""Headers, titles, units and notes are found as a person sees them: on a labelled set, and in any combination."""

from __future__ import annotations

import io
import random
from pathlib import Path

import duckdb
import pytest

from agent.data.reading.dialect import find_dialect
from agent.data.reading.found import find_files
from agent.data.reading.grids import survey_delimited
from agent.data.reading.layout import fill, find_footer, find_layout
from agent.data.reading.names import column_names
from agent.data.reading.tables import take
from tests.data.labelled import LABELLED, PEOPLE, READINGS, SALES, Labelled, people, readings, sales, written, years

GOAL = 0.95


def is_read_as_labelled(connection: duckdb.DuckDBPyConnection, one: Labelled, folder: Path) -> bool:
    path = folder / f"table{one.suffix}"
    path.write_bytes(one.text.encode())
    grid = survey_delimited(find_files([path]).files[0])
    connection.execute("DROP TABLE IF EXISTS texts")
    taken = take(connection, grid, "texts", None, folder)
    names = tuple(row[0] for row in connection.execute("DESCRIBE texts").fetchall())
    header = names == one.names if one.names is not None else not grid.layout.header
    return header and taken.rows == one.rows


def test_nineteen_of_twenty_labelled_tables_and_more_are_read_as_a_person_sees_them(tmp_path: Path):
    assert len(LABELLED) >= 60
    with duckdb.connect() as connection:
        missed = [one.case for one in LABELLED if not is_read_as_labelled(connection, one, tmp_path)]
    assert len(missed) <= (1 - GOAL) * len(LABELLED), missed


TITLES = [
    ["Quarterly figures"],
    ["Report: revenue by branch, all regions"],
    ["Table 4.2 Households by type"],
    ["2023"],
    ["Created on 2024-02-03"],
    ["Company:", "Acme"],
    ["Client", "Acme GmbH"],
    ["Period", "01.01.2024 - 31.03.2024"],
]
FEET = [
    ["Source: own calculation"],
    ["* estimated"],
    ["Note: figures are rounded."],
    ["End of report"],
    ["(c) 2024 Acme"],
    ["Data as of 2024-01-01"],
    ["Figures may not add up because of rounding, see the handbook for details."],
]
BODIES = [(SALES, sales(12)), (PEOPLE, people()), (READINGS, readings()), (["Area", "2019", "2020", "2021"], years())]


def test_titles_and_notes_in_any_number_and_order_are_told_from_the_table():
    chance, missed = random.Random(11), 0
    for _ in range(400):
        names, body = chance.choice(BODIES)
        body = [row[: len(names)] for row in body[: chance.randint(4, 12)]]
        above = chance.sample(TITLES, chance.choice([0, 0, 1, 1, 2, 3]))
        below = chance.sample(FEET, chance.choice([0, 0, 1, 2]))
        total = [["Total", *[""] * (len(names) - 2), 123]] if chance.random() < 0.3 else []
        blank = [[]] if chance.random() < 0.5 else []
        rows = [*above, *(blank if above else []), names, *body, *total, *(blank if below else []), *below]
        text = written(rows, chance.choice([",", ";", "\t"]), padded=chance.random() < 0.4)
        grid = list(find_dialect(text, ".csv").rows(io.StringIO(text, newline="")))
        layout = find_layout(grid, whole=True)
        footer = find_footer(grid[layout.first :])
        found = [row for place, row in enumerate(grid[layout.first :]) if fill(row) and place not in footer]
        missed += column_names(layout.names) != tuple(names) or len(found) != len(body)
    assert missed <= (1 - GOAL) * 400


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a;b;c\n1,5;2,5;x\n2,5;3,5;y\n", ";"),
        ("a,b\n1;2,3\n4;5,6\n", ","),
        ("name\tnote\nx\ta, b, c\ny\td, e\n", "\t"),
        ("a|b\n1|2\n", "|"),
        ("just words\nand more\n", ","),
        ('"a, b";"c"\n"d, e";"f"\n', ";"),
        ("", ","),
    ],
)
def test_the_delimiter_is_the_one_that_makes_rows_of_one_width(text: str, delimiter: str):
    assert find_dialect(text, ".csv").delimiter == delimiter


@pytest.mark.parametrize("rows", [[], [[]], [[""]], [["", ""], []], [["x"]], [["1"]], [["a", "b"]]])
def test_next_to_nothing_is_laid_out_without_an_error(rows: list[list[str]]):
    layout = find_layout(rows, whole=True)
    assert layout.first >= 0
    assert find_footer(rows) == ()


def test_names_are_distinct_whatever_their_case_and_not_endless():
    names = column_names(["Id", "id", "", "ID", "two\nlines", "x" * 200])
    assert names[:5] == ("Id", "id_2", "column_3", "ID_3", "two lines")
    assert len(names[5]) <= 63
