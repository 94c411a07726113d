"""SQL by the statement API: types, chunks, links that expire, statements that are found again or ended."""

from __future__ import annotations

import threading

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.workspace.statements import StatementFailed, Statements
from agent.workspace.types import arrow_type
from tests.workspace import faults
from tests.workspace.fixtures import Target
from tests.workspace.workspace import Workspace

ALL = (
    "SELECT CAST(1 AS TINYINT) AS a, 2L AS b, CAST(1.5 AS DECIMAL(10,2)) AS c, 2.5D AS d, 'x' AS e, true AS f, "
    "DATE'2025-01-02' AS g, TIMESTAMP'2025-01-02 03:04:05' AS h, array(1, 2) AS i"
)


@pytest.fixture
def statements(target: Target) -> Statements:
    return Statements(target.client, target.warehouse_id)


def test_inline_rows_have_the_types_of_whole_results(statements: Statements) -> None:
    inline, whole = statements.run(ALL, rows=5), statements.run(ALL)
    for name in "abcdefgh":
        assert inline.table.column(name).to_pylist() == whole.table.column(name).to_pylist(), name
    assert whole.table.column("i").to_pylist() == [[1, 2]]
    assert (inline.row_count, whole.row_count) == (1, 1)


def test_an_empty_result_has_its_types(statements: Statements) -> None:
    table = statements.run(f"SELECT * FROM ({ALL}) WHERE false").table
    assert table.num_rows == 0
    assert table.schema.field("c").type == pyarrow.decimal128(10, 2)
    assert table.schema.field("i").type == pyarrow.list_(pyarrow.int32())


def test_a_preview_says_that_there_is_more(statements: Statements) -> None:
    answer = statements.run("SELECT id FROM range(100)", rows=10)
    assert (answer.table.num_rows, answer.row_count) == (10, None)


def test_long_results_come_in_chunks_in_their_order(statements: Statements) -> None:
    answer = statements.run("SELECT id, repeat('x', 100) AS text FROM range(300000) ORDER BY id")
    assert answer.row_count == 300_000
    assert answer.table.column("id").to_pylist() == list(range(300_000))


def test_links_that_expired_are_asked_for_again(ws: Workspace, statements: Statements) -> None:
    ws.faults.on("/_stand-in/results/*", faults.storage(403), times=1)
    assert statements.run("SELECT id FROM range(10)").row_count == 10


def test_words_are_bound(statements: Statements) -> None:
    assert statements.run("SELECT :word AS w", {"word": "it's; DROP"}, rows=1).table.to_pylist() == [
        {"w": "it's; DROP"}
    ]


def test_what_the_warehouse_says_is_raised(statements: Statements) -> None:
    with pytest.raises(StatementFailed, match="nowhere"):
        statements.run("SELECT * FROM nowhere")


def test_a_warehouse_that_is_not_there_is_named(target: Target) -> None:
    with pytest.raises(StatementFailed, match=r"data\.warehouse_id"):
        Statements(target.client, "nowhere").run("SELECT 1")


def test_a_statement_is_found_again_by_its_id(target: Target, statements: Statements) -> None:
    begun: list[str] = []
    Statements(target.client, target.warehouse_id, begun.append).run("SELECT 42 AS n")
    assert statements.attach(begun[0]).table.to_pylist() == [{"n": 42}]


def test_a_statement_is_ended(statements: Statements) -> None:
    threading.Timer(0.3, statements.cancel).start()
    with pytest.raises(StatementFailed, match="cancelled"):
        statements.run("SELECT sum(a.id * b.id % 7) FROM range(500000) a CROSS JOIN range(500000) b")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("INT", pyarrow.int32()),
        ("DECIMAL(38,10)", pyarrow.decimal128(38, 10)),
        ("ARRAY<STRING>", pyarrow.list_(pyarrow.string())),
        ("MAP<STRING, BIGINT>", pyarrow.map_(pyarrow.string(), pyarrow.int64())),
        (
            "STRUCT<a: INT, `b c`: ARRAY<DATE>>",
            pyarrow.struct([("a", pyarrow.int32()), ("b c", pyarrow.list_(pyarrow.date32()))]),
        ),
        ("INTERVAL DAY TO SECOND", pyarrow.string()),
        ("VARIANT", pyarrow.string()),
        ("ARRAY<", pyarrow.string()),
    ],
)
def test_types_are_read_as_they_are_written(text: str, kind: pyarrow.DataType) -> None:
    assert arrow_type(text) == kind


@given(st.text(max_size=40))
def test_no_text_breaks_the_reading_of_types(text: str) -> None:
    assert isinstance(arrow_type(text), pyarrow.DataType)
