"""What the analyst is shown of the tables: enough to write SQL, in a bounded share, what the question names first."""

from __future__ import annotations

from agent.data.catalogue import CHARS, catalogue, words_of
from agent.data.facts import Column
from agent.data.loading import Progress
from agent.data.reading.found import Aside
from agent.data.report import column_rows, progress_line, report_lines
from agent.data.warehouse import Table
from tests.data.conftest import OpenFiles


def table(name: str, *columns: Column, **more: object) -> Table:
    return Table("files", "data", name, columns, 1_000, f"{name}.csv", **more)


def test_a_line_tells_names_as_sql_writes_them_types_values_gaps_and_hints(open_files: OpenFiles):
    text = "City Name,select,when,share,note\n" + "".join(
        f"{'Oslo' if n % 2 else 'Bergen'},{n},2024-01-{n + 1:02d},{n}%,{'-' if n else 'see below'}\n" for n in range(20)
    )
    warehouse = open_files({"My Sales.csv": f"Exported\n\n{text}"})
    lines = catalogue(warehouse.tables()).splitlines()
    assert lines[1] == "in files.data:"
    assert lines[2] == (
        "- my_sales [20 rows] (1 title line above the header): "
        '"City Name" text, Bergen/Oslo | "select" int, 0 to 19 | "when" date, 2024-01-01 to 2024-01-20 | '
        "share float, 0 to 19, (percent: 12.5 means 12.5%) | note text, -/see below"
    )
    assert "files.raw" in lines[3]


def test_columns_with_nothing_say_so(open_files: OpenFiles):
    warehouse = open_files({"a.csv": "id,gone,some\n1,,\n2,,x\n3,,\n4,,y\n"})
    line = catalogue(warehouse.tables()).splitlines()[2]
    assert "gone text, all null" in line
    assert '"some" text, x/y, 50% null' in line


def test_many_wide_tables_stay_within_their_share_and_the_rest_is_found_by_search():
    tables = [table(f"t{n}", *(Column(f"column number {k}", "VARCHAR") for k in range(300))) for n in range(800)]
    text = catalogue(tables, "Is there a column in t7?")
    assert len(text) < CHARS + 600
    assert "more: metadata_keyword_search finds them" in text


def test_what_the_question_names_is_told_first_and_whole():
    tables = [table(f"t{n}", *(Column(f"c{k}", "VARCHAR", 0.0, ("x",)) for k in range(60))) for n in range(60)]
    tables.append(table("vendors", *(Column(f"p{k}", "BIGINT") for k in range(40)), Column("taxCode", "VARCHAR")))
    told = catalogue(tables, "Which vendor has no tax code?")
    (line,) = [line for line in told.splitlines() if line.startswith("- vendors")]
    assert "taxCode text" in line
    assert "… 17 more" in line
    assert "taxCode" not in catalogue(tables, "How many t1?")


def test_a_value_in_the_question_leads_to_its_column():
    columns = [
        *(Column(f"c{k}", "VARCHAR") for k in range(40)),
        Column("dept", "VARCHAR", 0.0, ("Radiology", "Surgery")),
    ]
    assert "dept text" in catalogue([table("orders", *columns)], "How much did radiology spend?")


def test_alike_files_are_one_line_with_their_span(open_files: OpenFiles):
    warehouse = open_files({f"votes_{year}.csv": "country,n\nNO,1\n" for year in range(2001, 2023)})
    told = catalogue(warehouse.tables())
    assert "22 files as one: votes_2001.csv to votes_2022.csv" in told
    assert "each alone: votes_2001, …02, …03" in told
    assert told.count("\n- ") == 1


def test_what_is_loading_and_what_was_set_aside_is_told():
    loading = Table("files", "data", "big", (Column("a", "BIGINT"),), None, "big.csv")
    told = catalogue([loading], aside=[Aside("x.docx", ".docx is no kind of data that is read here")])
    assert "big [being loaded: a statement that names it waits]: a int" in told
    assert "Handed over and not loaded: x.docx (.docx is no kind" in told
    assert "none are listed" in catalogue([])


def test_a_person_is_told_a_line_a_table(open_files: OpenFiles):
    text = "Sales\n\nid,amount\n" + "".join(f"{n},{n}\n" for n in range(30)) + "31,see note\n"
    warehouse = open_files({"a.csv": text, "b.docx": "x"})
    assert report_lines(warehouse.tables(), warehouse.aside()) == [
        "a: 31 rows × 2 columns, from a.csv · 1 title line above the header · "
        "amount looks like a number but for 'see note'",
        "not loaded: b.docx: .docx is no kind of data that is read here",
    ]


def test_a_tables_columns_are_told_with_types_nulls_values_and_hints(open_files: OpenFiles):
    warehouse = open_files({"a.csv": "id,City,when\n1,Oslo,31/12/2023\n2,,01/01/2024\n"})
    assert column_rows(warehouse.tables()[0]) == [
        ("id", "int", "0%", "1 to 2", ""),
        ("City", "text", "50%", "Oslo", ""),
        ('"when"', "date", "0%", "2023-12-31 to 2024-01-01", "dates read as day/month/year"),
    ]


def test_progress_is_told_in_tables_and_gigabytes():
    assert progress_line(Progress(1, 2, 5, 10, "a")) == "loaded 1 of 2 tables: a"
    told = progress_line(Progress(12, 300, 400_000_000, 2_000_000_000, "sales"))
    assert told == "loaded 12 of 300 tables, 0.4 of 2.0 GB: sales"


def test_words_are_known_in_the_plural():
    assert words_of("Vendors' categories") == {"vendor", "category"}
