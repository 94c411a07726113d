"""Texts become numbers, dates and truths where a whole column agrees, and stay text with a hint where it does not."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.data.reading.columns import type_columns
from agent.data.reading.values import Writing, choose, literal, writing_of

GERMAN = Writing(decimal_comma=True, day_first=True)


def read(values: list[str], writing: Writing = Writing()) -> tuple[str | None, list[object]]:  # noqa: B008 - frozen
    way = choose(values, writing).way
    if way is None:
        return None, []
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        made = [
            connection.sql(f"SELECT {way.read('v')} AS x FROM (SELECT {literal(value)} AS v)").to_arrow_table()
            for value in values
        ]
    return way.type, [table.column(0)[0].as_py() for table in made]


@pytest.mark.parametrize(
    ("values", "type_", "expected"),
    [
        (["1", "-2", "+3"], "BIGINT", [1, -2, 3]),
        (["1.5", ".5", "2", "1e3"], "DOUBLE", [1.5, 0.5, 2.0, 1000.0]),
        (["1,234", "999", "12,345,678"], "BIGINT", [1234, 999, 12345678]),
        (["1,234.50", "7"], "DOUBLE", [1234.5, 7.0]),
        (["1,5", "2,75", "3"], "DOUBLE", [1.5, 2.75, 3.0]),
        (["1.234,5", "12,0"], "DOUBLE", [1234.5, 12.0]),
        (["1 234", "56"], "BIGINT", [1234, 56]),
        (["1'234.5", "9"], "DOUBLE", [1234.5, 9.0]),
        (["12%", "3.5%", "0"], "DOUBLE", [12.0, 3.5, 0.0]),
        (["12,5 %", "3 %"], "DOUBLE", [12.5, 3.0]),
        (["$1,200.50", "$3"], "DOUBLE", [1200.5, 3.0]),
        (["€ 1.250,50", "€ 12"], "DOUBLE", [1250.5, 12.0]),
        (["-$5", "$5"], "BIGINT", [-5, 5]),
        (["(1,200)", "300"], "BIGINT", [-1200, 300]),
        (["1", "-", "N/A", "#N/A", ""], "BIGINT", [1, None, None, None, None]),
        (["true", "False"], "BOOLEAN", [True, False]),
        (["2024-01-31", "2024-2-1"], "DATE", [date(2024, 1, 31), date(2024, 2, 1)]),
        (["2024/01/31"], "DATE", [date(2024, 1, 31)]),
        (["31/12/2023", "01/02/2024"], "DATE", [date(2023, 12, 31), date(2024, 2, 1)]),
        (["12/31/2023", "01/02/2024"], "DATE", [date(2023, 12, 31), date(2024, 1, 2)]),
        (["31.12.23", "1.2.24"], "DATE", [date(2023, 12, 31), date(2024, 2, 1)]),
        (["01.02.2024"], "DATE", [date(2024, 2, 1)]),
        (["1/1/2024", "2/1/2024", "3/1/2024"], "DATE", [date(2024, 1, 1), date(2024, 2, 1), date(2024, 3, 1)]),
        (["5-Jan-20", "17-Feb-21"], "DATE", [date(2020, 1, 5), date(2021, 2, 17)]),
        (["January 5, 2020", "March 17, 2021"], "DATE", [date(2020, 1, 5), date(2021, 3, 17)]),
        (["2024-01-01 10:00:00", "2024-01-01T11:30"], "TIMESTAMP",
         [datetime(2024, 1, 1, 10), datetime(2024, 1, 1, 11, 30)]),
        (["2024-01-01T10:00:00Z", "2024-01-01T12:00:00+0200"], "TIMESTAMP WITH TIME ZONE",
         [datetime(2024, 1, 1, 10, tzinfo=UTC)] * 2),
        (["1/22/2024 3:04 PM", "1/2/2024 11:00 AM"], "TIMESTAMP",
         [datetime(2024, 1, 22, 15, 4), datetime(2024, 1, 2, 11)]),
        (["22.01.2024 15:04"], "TIMESTAMP", [datetime(2024, 1, 22, 15, 4)]),
        (["10:30", "9:15"], "TIME", [time(10, 30), time(9, 15)]),
    ],
)  # fmt: skip
def test_a_column_that_agrees_is_typed(values: list[str], type_: str, expected: list[object]):
    assert read(values) == (type_, expected)


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        (["02138", "10001"], "leading zeros"),
        (["01/02/2024", "03/04/2024"], "can't be told apart"),
        (["$56.7M", "$3M"], "amounts with K, M or B"),
        ([*map(str, range(20)), "see note"], "looks like a number but for 'see note'"),
        (["Yes", "No"], ""),
        (["US", "UK", "NA"], ""),
        (["-", "N/A"], ""),
        (["12345678901234567890123"], ""),
        (["2024-02-30", "2024-01-01"], ""),
        (["31/31/2024"], ""),
        (["nan", "inf", "1"], ""),
        (["$5", "€5"], ""),
        (["555-1234", "555-9876"], ""),
    ],
)
def test_a_column_that_does_not_agree_stays_text(values: list[str], hint: str):
    found = choose(values)
    assert found.way is None
    assert hint in found.hint


def test_other_columns_tell_how_commas_and_dates_are_meant():
    assert read(["1.234", "2.500"]) == ("DOUBLE", [1.234, 2.5])
    assert read(["1.234", "2.500"], GERMAN) == ("BIGINT", [1234, 2500])
    assert read(["01/02/2024"], GERMAN) == ("DATE", [date(2024, 2, 1)])
    assert writing_of([["1,5", "2,75"], ["01/02/2024"]]) == GERMAN
    assert writing_of([["12/31/2024"], ["01/02/2024"]]) == Writing(day_first=False)
    assert writing_of([["12/31/2024"], ["31/12/2024"]]).day_first is None


@settings(max_examples=30)
@given(
    st.lists(
        st.one_of(st.floats(-1e12, 1e12).map(lambda x: f"{x:,.2f}"), st.integers(-(10**12), 10**12).map(str)),
        min_size=1,
        max_size=8,
    )
)
def test_written_numbers_keep_their_values(values: list[str]):
    type_, made = read(values)
    assert type_ in ("BIGINT", "DOUBLE")
    assert made == [pytest.approx(float(value.replace(",", ""))) for value in values]


@given(st.lists(st.text(max_size=12), min_size=1, max_size=8))
def test_whatever_is_typed_fits_in_sql_as_it_does_in_python(values: list[str]):
    kept = [value.strip() for value in values if value.strip() and "\0" not in value and value.isprintable()]
    way = choose(kept).way
    if way is not None:
        _, made = read(kept)
        assert all((one is None) == (not way.fits(value)) for one, value in zip(made, kept, strict=True))


def test_a_type_holds_for_every_row_not_only_for_those_that_were_looked_at():
    with duckdb.connect() as connection:
        connection.execute(
            """CREATE TABLE t AS SELECT CASE WHEN range = 77777 THEN 'late' ELSE range::VARCHAR END AS a,
               CASE WHEN range = 88888 THEN '-' ELSE range::VARCHAR END AS b,
               CASE WHEN range = 99998 THEN '31/12/2024' ELSE '01/0' || (1 + range % 9) || '/2024' END AS c,
               CASE WHEN range = 55555 THEN '7' END AS d, NULL::VARCHAR AS e FROM range(100000)"""
        )
        typed = type_columns(connection, "t")
        connection.execute(f"CREATE TABLE made AS {typed.select}")
        types = {row[0]: row[1] for row in connection.execute("DESCRIBE made").fetchall()}
        assert types == {"a": "VARCHAR", "b": "BIGINT", "c": "DATE", "d": "BIGINT", "e": "VARCHAR"}
        assert typed.hints["b"] == "1 written '-', 'N/A' or the like"
        assert connection.execute("SELECT max(c)::VARCHAR, sum(d) FROM made").fetchall() == [("2024-12-31", 7)]
