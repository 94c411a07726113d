"""Whatever is handed over as a text: it is read or refused with a reason, and no row of a table is lost."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.data.reading.columns import type_columns
from agent.data.reading.found import DataUnreadable, find_files
from agent.data.reading.grids import survey_delimited
from agent.data.reading.staging import stage
from agent.data.reading.tables import take

QUIET = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\ufeff"), max_size=8)

ROW = st.tuples(st.integers(0, 10**6), CELL.map(lambda text: f"w{text}"), st.dates())


@pytest.fixture
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


@QUIET
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_with_a_reason(tmp_path: Path, engine: duckdb.DuckDBPyConnection, raw: bytes):
    path = tmp_path / "any.csv"
    path.write_bytes(raw)
    try:
        grid = survey_delimited(find_files([path]).files[0])
        engine.execute("DROP TABLE IF EXISTS texts")
        take(engine, grid, "texts", None, tmp_path)
        engine.execute(f"CREATE OR REPLACE TABLE typed AS {type_columns(engine, 'texts').select}")
    except DataUnreadable as error:
        if "any.csv" not in str(error):
            raise


@QUIET
@given(st.lists(st.lists(CELL, min_size=1, max_size=5), min_size=1, max_size=8), st.sampled_from(",;\t"))
def test_the_raw_table_has_every_cell_as_it_stands(
    tmp_path: Path, engine: duckdb.DuckDBPyConnection, rows: list[list[str]], delimiter: str
):
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(rows)
    path = tmp_path / "any.csv"
    path.write_bytes(out.getvalue().encode())
    try:
        grid = survey_delimited(find_files([path]).files[0])
    except DataUnreadable:
        return
    expected = list(grid.dialect.rows(io.StringIO(out.getvalue(), newline="")))
    stage(engine, grid, "staged", tmp_path, as_they_stand=True)
    found = [[cell for cell in row[1:] if cell] for row in engine.execute("FROM staged ORDER BY row").fetchall()]
    assert found == [[cell for cell in row if cell] for row in expected]


@QUIET
@given(
    st.lists(st.tuples(st.integers(0, 10**6), CELL.map(lambda text: f"w{text}"), st.dates()), min_size=3, max_size=30)
)
def test_a_table_in_order_loses_no_row_and_keeps_its_values(
    tmp_path: Path, engine: duckdb.DuckDBPyConnection, rows: list[tuple]
):
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows([("id", "words", "day"), *rows])
    path = tmp_path / "any.csv"
    path.write_bytes(out.getvalue().encode())
    engine.execute("DROP TABLE IF EXISTS texts")
    taken = take(engine, survey_delimited(find_files([path]).files[0]), "texts", None, tmp_path)
    assert taken.rows == len(rows)
    engine.execute(f"CREATE OR REPLACE TABLE typed AS {type_columns(engine, 'texts').select}")
    assert engine.execute("SELECT count(*), sum(id)::BIGINT, count(words) FROM typed").fetchall() == [
        (len(rows), sum(row[0] for row in rows), len(rows))
    ]
