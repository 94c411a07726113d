"""What the offline model makes of questions: a table of (question, rows), each asked of a real DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.data.warehouse import Column, Table
from agent.offline.model import careful
from agent.offline.questions import queries
from agent.prompts import clip

SCRIPT = """
CREATE SCHEMA north; CREATE SCHEMA south; CREATE SCHEMA data;
CREATE TABLE north.vendors AS SELECT * FROM (VALUES
    ('N1', 'Acme Inc.', '11-1', 'Paris'), ('N2', 'Beacon Ltd', '22-2', 'Rome'), ('N3', 'Cedar LLC', NULL, 'Rome')
) AS v(vendor_id, vendor_name, tax_id, city);
CREATE TABLE south.vendors AS SELECT * FROM (VALUES
    ('S1', 'ACME INCORPORATED', '11-1', 'Oslo'), ('S2', 'Dune Corp', '44-4', 'Oslo')
) AS v(vendor_id, vendor_name, tax_id, city);
CREATE TABLE north.invoices AS SELECT * FROM (VALUES
    ('I1', 'A7', 'N1', DATE '2023-01-10', 100.0::DOUBLE, 'paid'), ('I2', 'A8', 'N1', DATE '2023-02-11', 50.0, 'open'),
    ('I3', 'A9', 'N2', DATE '2023-04-12', 30.0, 'paid'), ('I3B', 'A9', 'N2', DATE '2023-04-12', 30.0, 'paid'),
    ('I4', 'B1', 'N3', DATE '2024-01-01', 20.0, NULL)
) AS i(invoice_id, invoice_number, vendor_id, invoice_date, amount, status);
CREATE SCHEMA all_silos;
CREATE VIEW all_silos.vendors AS
    SELECT 'north' AS silo, * FROM north.vendors UNION ALL SELECT 'south' AS silo, * FROM south.vendors;
CREATE TABLE data.congress_terms AS SELECT * FROM (VALUES
    ('house', 'Ann', DATE '1900-05-05', 'TX', 'D', DATE '1947-01-03', 46.6::DOUBLE),
    ('house', 'Bob', DATE '1910-05-05', 'TX', 'R', DATE '1949-01-03', 38.4),
    ('senate', 'Cyd', DATE '1890-05-05', 'CA', 'D', DATE '1949-01-03', 58.4)
) AS t(chamber, firstname, birthday, state, party, termstart, age);
CREATE TABLE data.dc_wikia_data AS SELECT * FROM (VALUES
    (1::BIGINT, 'Batman', 'Good Characters', 3093::DOUBLE, 1939::DOUBLE),
    (2, 'Joker', 'Bad Characters', 517, 1940),
    (3, 'Bane', 'Bad Characters', 100, NULL)
) AS d(page_id, name, "ALIGN", "APPEARANCES", "YEAR");
"""


def sql_of(question: str, tables: Sequence[Table]) -> str | None:
    return next(iter(queries(question, tables).values()), None)


@dataclass
class World:
    connection: duckdb.DuckDBPyConnection
    tables: tuple[Table, ...]

    def ask(self, question: str) -> list[tuple]:
        return self.connection.execute(sql_of(question, self.tables)).fetchall()


@pytest.fixture(scope="module")
def world():
    connection = duckdb.connect(":memory:")
    connection.execute(SCRIPT)
    rows = connection.execute(
        "SELECT schema_name, table_name, list(column_name ORDER BY column_index), "
        "list(data_type ORDER BY column_index) "
        "FROM duckdb_columns() WHERE database_name = 'memory' AND NOT internal GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    tables = tuple(
        Table("memory", schema, name, tuple(map(Column, names, types)), 0, "file")
        for schema, name, names, types in rows
    )
    yield World(connection, tables)
    connection.close()


QUESTIONS = [
    ("How many invoices are there?", [(5,)]),
    ("count of invoices by status", [("paid", 3), ("open", 1), (None, 1)]),
    ("how many invoices with status 'open'", [(1,)]),
    ("how many invoices are there in 2024", [(1,)]),
    ("how many invoices since 2023", [(5,)]),
    ("What is the total amount of invoices?", [(230.0,)]),
    ("total amount by status", [("paid", 160.0), ("open", 50.0), (None, 20.0)]),
    ("average invoice amount", [(46.0,)]),
    ("median amount of invoices", [(30.0,)]),
    ("what is the highest amount of an invoice", [(100.0,)]),
    ("how much did we spend per status?", [("paid", 160.0), ("open", 50.0), (None, 20.0)]),
    ("top 2 vendors by total amount", [("N1", 150.0), ("N2", 60.0)]),
    ("Which vendors have the fewest invoices?",
     [("N3", 1), ("N1", 2), ("N2", 2)]),
    ("which vendor has the highest total amount?",
     [("N1", 150.0), ("N2", 60.0), ("N3", 20.0)]),
    ("invoices per year", [(2023, 4), (2024, 1)]),
    ("yearly trend of invoice amount", [(2023, 210.0), (2024, 20.0)]),
    ("How many vendors are there?", [(5,)]),
    ("how many suppliers per silo", [("north", 3), ("south", 2)]),
    ("vendors by city", [("Oslo", 2), ("Rome", 2), ("Paris", 1)]),
    ("Which vendors look like duplicates across the silos?", [("11-1", 2, 2, "ACME INCORPORATED | Acme Inc.")]),
    ("duplicate invoices", [("A9", 2, "I3 | I3B")]),
    ("average age by party", [("D", 52.5), ("R", 38.4)]),
    ("What's the mean age per chamber?", [("senate", 58.4), ("house", 42.5)]),
    ("top 5 states by number of terms", [("TX", 2), ("CA", 1)]),
    ("which state has the most terms", [("TX", 2), ("CA", 1)]),
    ("how many different states are there", [(2,)]),
    ("how many parties are there", [(2,)]),
    ("congress terms per year", [(1947, 1), (1949, 2)]),
    ("how many characters by alignment", [("Bad Characters", 2), ("Good Characters", 1)]),
    ("trend of characters over the years", [(1939, 1), (1940, 1), (None, 1)]),
    ("total invoice amount for 2024", [(20.0,)]),
    ("compare the chambers by average age", [("house", 42.5), ("senate", 58.4)]),
    ("top 1 characters by appearances", [(1, "Batman", "Good Characters", 3093.0, 1939.0)]),
    ("which vendors appear in more than one silo", [("11-1", 2, 2, "ACME INCORPORATED | Acme Inc.")]),
    ("average invoice value", [(46.0,)]),
    ("alignment counts", [("Bad Characters", 2), ("Good Characters", 1)]),
]  # fmt: skip


@pytest.mark.parametrize(("question", "rows"), QUESTIONS, ids=[clip(question, 40) for question, _ in QUESTIONS])
def test_a_question_becomes_sql_with_the_right_rows(world, question, rows):
    found = world.ask(question)
    ordered = any(word in question for word in ("top", "fewest", "highest", "most", "per year", "trend"))
    assert (found if ordered else sorted(found, key=str)) == (rows if ordered else sorted(rows, key=str))


def test_months_without_records_are_found_apart_from_empty_values(world):
    empty, months = queries("where are the gaps in the invoices?", world.tables).values()
    assert world.connection.execute(empty).fetchone() == ("status", "VARCHAR", 2, 1)
    found = [str(month) for _, month in world.connection.execute(months).fetchall()]
    assert found == ["2023-03-01", *(f"2023-{month:02}-01" for month in range(5, 13))]


def test_duplicate_vendors_are_looked_for_by_key_and_by_name(world):
    by_key, by_name = queries("Which vendors are duplicates across all silos?", world.tables).items()
    assert [row[0] for row in world.connection.execute(by_name[1]).fetchall()] == ["acme"]
    assert "tax_id" in by_key[0]


@pytest.mark.parametrize("question", ["which vendors have no tax id", "missing tax ids of vendors"])
def test_the_column_with_the_most_empty_values_comes_first(world, question):
    assert world.ask(question)[0] == ("tax_id", "VARCHAR", 3, 1)


def test_without_a_key_or_a_name_rows_are_duplicates_when_they_are_equal_but_for_their_id():
    connection = duckdb.connect(":memory:")
    connection.execute(
        "CREATE TABLE visits AS SELECT * FROM (VALUES (1, 'x', 5), (2, 'x', 5), (3, 'y', 5)) v(id, ward, n)"
    )
    columns = (Column("id", "INTEGER"), Column("ward", "VARCHAR"), Column("n", "INTEGER"))
    sql = sql_of("duplicate visits", [Table("memory", "main", "visits", columns, 3, "file")])
    assert connection.execute(sql).fetchall()[0][1:] == (2, "1 | 2")
    connection.close()


def test_describing_a_table_covers_every_column(world):
    rows = world.ask("describe the congress terms table")
    assert {row[0] for row in rows} == {"chamber", "firstname", "birthday", "state", "party", "termstart", "age"}


def test_the_largest_rows_of_a_table_are_shown_whole(world):
    assert [row[0] for row in world.ask("largest 2 invoices")] == ["I1", "I2"]


def test_words_and_years_that_mean_nothing_to_it_are_named_and_not_passed_over(world):
    [title] = queries("How much did we spend on gloves?", world.tables)
    assert title.endswith("sum_amount (not used: gloves)")
    [title] = queries("How many vendors were there in 2024?", world.tables)
    assert title.endswith("(not used: 2024)")
    [title] = queries("how many invoices with status 'open' since 2023?", world.tables)
    assert title.endswith("number since 2023 with 'open'")


@pytest.mark.parametrize(
    "question", ["what is the weather in Lima?", "hello", "write me a poem", "", "???", "'; DROP TABLE x"]
)
def test_a_question_that_fits_no_table_makes_no_query(world, question):
    assert sql_of(question, world.tables) is None


def test_without_tables_there_is_no_query():
    assert sql_of("how many vendors are there?", ()) is None


def test_a_quoted_value_is_a_literal_whatever_is_in_it(world):
    assert world.ask('how many invoices with status "x\') OR 1=1 --"') == [(0,)]


def test_names_that_need_quotes_get_them():
    table = Table("c", "s", "Odd Table", (Column("Group By", "VARCHAR"), Column('a"b', "DOUBLE")), 1, "file")
    sql = sql_of("how many odd table rows by group", [table])
    assert sql.startswith(
        'SELECT t."Group By" AS "Group By", count(*) AS number\nFROM c.s."Odd Table" AS t\nGROUP BY ALL\n'
    )


def test_odd_column_names_survive_every_kind_of_question():
    connection = duckdb.connect(":memory:")
    connection.execute('''CREATE TABLE "it's" ("größe" DOUBLE, "a'b ""c""" VARCHAR, "###" DATE)''')
    columns = (Column("größe", "DOUBLE"), Column('a\'b "c"', "VARCHAR"), Column("###", "DATE"))
    table = Table("memory", "main", "it's", columns, 0, "file")
    for question in (
        "describe it's", "average größe", "total größe by b", "it's over time", "top 3 it's by größe",
        "it's duplicates", "gaps in it's", "missing it's", "how many different b in it's", "show it's",
    ):  # fmt: skip
        for sql in queries(question, [table]).values():
            connection.execute(sql)
    connection.close()


VOCABULARY = """how many which what top 3 most highest average total by per each invoices vendors vendor amount status
silo city duplicates missing months over time in 2024 open 'paid' " ' the age party terms describe show name id"""
WORDS = st.sampled_from(VOCABULARY.split())


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.lists(WORDS, max_size=9).map(" ".join), st.text(max_size=60)))
def test_whatever_is_asked_the_sql_runs_or_there_is_none(world, question):
    for sql in queries(question, world.tables).values():
        world.connection.execute(sql)
        world.connection.execute(careful(sql))
