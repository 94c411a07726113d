"""Questions in natural language, answered from the local warehouse."""

from __future__ import annotations

import threading

import pytest

from agent.models.scripted import ScriptedModel, says
from agent.platforms.local.genie import sql_in
from agent.tools.query_genie import report
from agent.tools.services import GenieAnswer, GenieUnavailable, ToolServices
from tests.tools.conftest import Invoke

BY_CITY = "```sql\nSELECT city, count(*) AS n FROM vendors GROUP BY city ORDER BY n DESC;\n```"


@pytest.fixture
def model(request: pytest.FixtureRequest) -> ScriptedModel:
    return ScriptedModel(*(says(text) for text in request.param))


script = pytest.mark.parametrize


@script("model", [[f"Vendors by city:\n{BY_CITY}"]], indirect=True)
def test_the_answer_holds_text_sql_and_rows(invoke: Invoke, model: ScriptedModel) -> None:
    message = invoke("query_genie", {"query": "How many vendors are in each city?"})
    assert message.text == (
        "Vendors by city:\n\n"
        "SQL:\n```sql\nSELECT city, count(*) AS n FROM vendors GROUP BY city ORDER BY n DESC\n```\n\n"
        "Rows (2):\n| city | n |\n| --- | --- |\n| Bonn | 2 |\n| Bern | 1 |"
    )
    asked = str(model.shown[0])
    assert "in files.data:" in asked
    assert "- vendors [" in asked
    assert "How many vendors are in each city?" in asked


@script("model", [[BY_CITY, "```sql\nSELECT 'Bonn'\n```", "```sql\nSELECT 1\n```"]], indirect=True)
def test_a_follow_up_knows_the_earlier_question_also_after_a_restart(
    invoke: Invoke, model: ScriptedModel, services: ToolServices
) -> None:
    invoke("query_genie", {"query": "How many vendors are in each city?"})
    invoke("query_genie", {"query": "And which has most?"})
    assert "GROUP BY city" in str(model.shown[1])
    invoke("query_genie", {"query": "And which has most?"}, thread="another")
    assert "GROUP BY city" not in str(model.shown[2])


@script("model", [["```sql\nSELECT nonsense FROM vendors\n```", BY_CITY]], indirect=True)
def test_sql_that_fails_is_tried_again_with_its_error(invoke: Invoke, model: ScriptedModel) -> None:
    message = invoke("query_genie", {"query": "Vendors by city?"})
    assert message.status == "success"
    assert "Bonn | 2" in message.text
    assert "which failed" in str(model.shown[1])
    assert "nonsense" in str(model.shown[1])


@script(
    "model", [["```sql\nDROP TABLE vendors\n```"] * 3, ["```sql\nSELECT * FROM '/etc/passwd'\n```"] * 3], indirect=True
)
def test_sql_that_does_more_than_read_tables_is_never_run(invoke: Invoke, model: ScriptedModel) -> None:
    message = invoke("query_genie", {"query": "Clean up!"})
    assert message.status == "error"
    assert "is not allowed" in message.text


@script("model", [["```sql\nSELECT 1 AS a, 2 AS a\n```"], ["```sql\nSELECT 1 AS a WHERE false\n```"]], indirect=True)
def test_rows_keep_their_shape_whatever_the_columns_are_called(services: ToolServices, model: ScriptedModel) -> None:
    answer = services.genie.ask("x?", "t1")
    assert answer.rows in (((1, 2),), ())
    assert all(len(row) == len(answer.columns) for row in answer.rows)


@script("model", [["The tables say nothing about the weather."]], indirect=True)
def test_a_question_without_an_answer_in_the_data_gets_the_models_words(invoke: Invoke, model: ScriptedModel) -> None:
    assert invoke("query_genie", {"query": "Will it rain?"}).text == "The tables say nothing about the weather."


@script("model", [["```sql\nSELECT unnest(range(1200)) AS n\n```"]], indirect=True)
def test_many_rows_are_shown_in_part_and_counted(services: ToolServices, model: ScriptedModel) -> None:
    answer = services.genie.ask("Numbers?", "t1")
    assert len(answer.rows) == 1_000
    assert answer.truncated
    text = report(answer)
    assert text.count("\n| ") == 52
    assert "Rows (50 of more than 1000):" in text


@script("model", [[BY_CITY] * 8], indirect=True)
def test_questions_at_the_same_time_are_all_remembered(services: ToolServices, model: ScriptedModel) -> None:
    threads = [threading.Thread(target=services.genie.ask, args=(f"Question {n}?", "t1")) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    services.genie.ask("And now?", "t1")
    assert all(f"Question {n}?" in str(model.shown[-1]) for n in range(4))


@script("model", [["```sql\nSELECT 1\n```"]], indirect=True)
def test_outside_of_a_conversation_there_is_no_genie(services: ToolServices, model: ScriptedModel) -> None:
    from agent.tools import build_tools

    call = {"name": "query_genie", "args": {"query": "x?"}, "id": "c", "type": "tool_call"}
    assert "no thread_id" in build_tools(services)["query_genie"].invoke(call).text


@script("model", [["```sql\nSELECT oops\n```"] * 3], indirect=True)
def test_after_three_failures_genie_says_what_failed(services: ToolServices, model: ScriptedModel) -> None:
    with pytest.raises(GenieUnavailable, match="oops"):
        services.genie.ask("x?", "t1")


@pytest.mark.parametrize(
    ("reply", "sql"),
    [
        ("```sql\nSELECT 1;\n```", "SELECT 1"),
        ("Here:\n```\nSELECT 1\n```\nDone.", "SELECT 1"),
        ("SELECT 1", "SELECT 1"),
        ("with a as (select 1) from a", "with a as (select 1) from a"),
        ("I can't.", None),
        ("Selecting is hard.", None),
    ],
)
def test_the_sql_of_a_reply(reply: str, sql: str | None) -> None:
    assert sql_in(reply) == sql


def test_cells_can_not_break_the_table() -> None:
    text = report(GenieAnswer("", "x", ("a",), (("one | two\nthree",), (None,), ("y" * 900,)), 3))
    assert "| one \\| two three |\n|  |\n" in text
    assert max(len(line) for line in text.split("\n")) < 210
