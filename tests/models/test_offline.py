"""The offline model in its roles: it plans, it reads, it answers or says that it did not."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import duckdb
import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from agent.data.warehouse import Column, Table
from agent.execution.inside.context import Text
from agent.models.offline import OfflineModel
from agent.models.offline.model import UNANSWERED
from agent.platforms.local.genie import Exchange, sql_in
from agent.prompts import AgentPrompts, genie_sql
from graph.blob import parse_blob
from graph.reading.leaves import BODY, count_tokens, cut
from graph.types import DELEGATE
from tests.models.offline.labelled import LOG
from tests.models.offline.world import World


@pytest.fixture
def shop():
    with duckdb.connect() as connection:
        connection.execute(
            "ATTACH ':memory:' AS files; CREATE TABLE files.orders AS SELECT * FROM (VALUES "
            "(1, 'Surgery', 1000.5::DOUBLE, 'No'), (2, 'Surgery', 2.0, 'Yes'), (3, NULL, 7.25, 'No')) "
            "AS o(order_id, department, amount, rush)"
        )
        yield World(connection)


@pytest.fixture
def log(shop, tmp_path: Path):
    path = tmp_path / "auth.log"
    path.write_text(LOG)
    return World(shop.connection, Text((path,)))


def test_a_figure_is_answered_with_what_it_is_and_that_rules_found_it(shop):
    answer = shop.ask("How many orders are there?").text
    assert "**main.orders: number**" in answer
    assert "**3**" in answer
    assert "Offline model" in answer


def test_groups_are_answered_as_a_table_with_readable_figures(shop):
    answer = shop.ask("total amount by department").text
    assert "| Surgery | 1,002.5 |" in answer
    assert "| (none) | 7.25 |" in answer


def test_words_that_are_values_of_the_data_are_looked_up_and_told(shop):
    reply = shop.ask("How many surgery orders are there?")
    assert "only: department = surgery\n\n**2**" in reply.text
    assert len(shop.codes) == 1


@pytest.mark.parametrize("question", ["How many orders in Radiology?", "How many No orders", "How many purple orders?"])
def test_words_that_the_data_does_not_have_leave_no_figure(shop, question):
    reply = shop.ask(question)
    assert reply.response_metadata[UNANSWERED] is True
    assert "base_model.name" in reply.text
    assert "**" not in reply.text


def test_a_value_is_a_literal_whatever_is_in_it(shop):
    shop.connection.execute("""INSERT INTO files.orders VALUES (4, 'x'') OR 1=1 --', 1, 'No')""")
    assert "**1**" in shop.ask("""How many orders of department "x') OR 1=1 --"?""").text
    assert UNANSWERED in shop.ask("""How many orders of department "y') OR 1=1 --"?""").response_metadata


def test_a_question_of_several_parts_is_delegated_in_one_reply(shop):
    question = "How many orders are there? What is the average amount? And which departments have the most orders?"
    reply = shop.model.invoke([SystemMessage("x"), HumanMessage(question)])
    assert [call["name"] for call in reply.tool_calls] == [DELEGATE] * 3
    assert len({call["id"] for call in reply.tool_calls}) == 3
    assert shop.ask(question).text.count("**main.orders:") == 3


def test_a_part_that_is_not_understood_makes_the_whole_unanswered_beside_the_figures_of_the_others(shop):
    reply = shop.ask("How many orders are there, and who is the boss?")
    assert "**3**" in reply.text
    assert "“boss”" in reply.text
    assert UNANSWERED in reply.response_metadata


def test_what_fails_is_said_with_its_reason_and_not_repeated(shop):
    shop.connection.execute("DROP TABLE files.orders")
    reply = shop.ask("average amount of orders")
    assert "That did not work" in reply.text
    assert "orders does not exist" in reply.text
    assert UNANSWERED in reply.response_metadata
    assert len(shop.codes) == 1


def test_a_column_of_yes_and_no_is_not_counted_as_two_things(shop):
    assert UNANSWERED in shop.ask("How many rush are there?").response_metadata


@pytest.mark.parametrize("hello", ["hi", "Hello!", "hey there", "thanks", "good morning"])
def test_small_talk_gets_a_plain_answer_that_says_what_it_is(shop, hello):
    reply = shop.ask(hello)
    assert "I am the offline model: a few rules" in reply.text
    assert UNANSWERED not in reply.response_metadata


@pytest.mark.parametrize("question", ["Write me a poem", "Translate 'bonjour'", "Who won the match?", "", "???"])
def test_what_it_can_not_do_is_refused_with_how_to_configure_a_model(shop, question):
    reply = shop.ask(question)
    assert all(word in reply.text for word in ("base_model.name", "OPENAI_API_KEY", "base_url"))
    assert UNANSWERED in reply.response_metadata
    assert shop.codes == []


def test_a_refusal_offers_what_it_could_answer(shop):
    assert "What I could answer: How many orders are there?" in shop.ask("How many orders were late?").text
    assert "What I could answer: How many orders are there?" in shop.ask("How many orders if it rains?").text


def test_without_tables_it_says_so():
    reply = OfflineModel().invoke([SystemMessage("x"), HumanMessage("How many vendors are there?")])
    assert UNANSWERED in reply.response_metadata


def test_the_tables_are_listed_without_running_anything(shop):
    assert "| files.main.orders | 3 | 4 |" in shop.ask("Which tables are there?").text
    assert shop.codes == []


def test_names_that_need_quotes_get_them_and_run():
    with duckdb.connect() as connection:
        connection.execute(
            """ATTACH ':memory:' AS files; CREATE TABLE files."it's" ("größe" DOUBLE, "Group By" VARCHAR)"""
        )
        connection.execute("""INSERT INTO files."it's" VALUES (2.5, 'a"b'), (1, 'c')""")
        world = World(connection)
        assert '| a"b | 2.5 |' in world.ask("average größe by group by").text
        assert "**2.5**" in world.ask("highest größe").text


def test_a_column_is_found_by_its_own_name_before_a_synonym(shop):
    shop.connection.execute("CREATE TABLE files.beds AS SELECT 'St. Anne' AS hospital, 12 AS units, 'x' AS silo")
    assert "| St. Anne | 12 |" in World(shop.connection).ask("total units by hospital").text


def test_equal_tables_are_not_chosen_between_by_chance(shop):
    shop.connection.execute("CREATE TABLE files.returns AS FROM files.orders")
    reply = World(shop.connection).ask("total amount by department")
    assert "main.orders, main.returns" in reply.text
    assert UNANSWERED in reply.response_metadata


def test_duplicates_are_looked_for_by_what_should_be_unique(shop):
    shop.connection.execute(
        "CREATE TABLE files.vendors AS SELECT * FROM (VALUES ('N1', 'Acme Inc.', '11'), "
        "('S1', 'ACME INCORPORATED', '11'), "
        "('N2', 'Beacon', '12')) AS v(vendor_id, vendor_name, tax_id)"
    )
    answer = World(shop.connection).ask("Which vendors appear more than once?").text
    assert "the same tax_id" in answer
    assert "ACME INCORPORATED \\| Acme Inc." in answer
    assert "Beacon" not in answer


def test_a_text_to_be_summarised_is_printed_for_others_to_read(log):
    [call] = log.model.invoke([SystemMessage("x"), HumanMessage("Summarise the log")]).tool_calls
    blob = parse_blob(call["args"]["code"])
    assert blob.instruction == "Summarise the log"
    assert log.run(blob.code).stdout == LOG


def test_a_search_says_which_words_it_looked_for(log):
    assert "lines with: fail, matching lines: 3, of lines: 6" in log.ask("Which IPs fail most?").text


def test_it_reads_parts_and_merges_them_without_losing_a_line():
    prompts, model = AgentPrompts(), OfflineModel()
    parts = [f"Lines{BODY}{part}" for part in cut(LOG * 50, 1_000, count_tokens)]
    told = SystemMessage(prompts.chunk("How often 'Invalid user'?"))
    records = [json.loads(model.invoke([told, HumanMessage(part)]).text) for part in parts]
    totals = Counter()
    for figure in (figure for record in records for figure in record["figures"]):
        totals[figure["name"]] += figure["value"]
    assert len(parts) > 2
    assert totals["lines in all"] == 150
    assert any("Invalid user webmaster from #" in name for name in totals)


def test_a_part_without_what_is_asked_for_says_nothing():
    prompt = AgentPrompts().chunk("Quote lines with 'segfault'")
    said = OfflineModel().invoke([SystemMessage(prompt), HumanMessage(f"Lines{BODY}{LOG}")]).text
    assert json.loads(said) == {"note": "", "figures": []}


def table_of_orders() -> tuple[Table, ...]:
    columns = (Column("order_id", "BIGINT"), Column("department", "VARCHAR"), Column("amount", "DOUBLE"))
    return (Table("memory", "main", "orders", columns, 3, "file"),)


def test_genies_prompt_is_answered_with_sql_only():
    prompt = genie_sql("How many orders by department?", table_of_orders())
    reply = OfflineModel(tables=table_of_orders).invoke(prompt).text
    assert re.fullmatch(r"```sql\nSELECT .*count\(\*\).*\n```", reply, re.DOTALL)
    assert sql_in(reply).startswith("SELECT t.department")


@pytest.mark.parametrize("question", ["Why?", "How many orders of Radiology?", "How many late orders"])
def test_genies_prompt_without_an_answer_gets_words_and_no_sql(question):
    prompt = genie_sql(question, table_of_orders(), [Exchange("how many?", "SELECT 1")])
    assert sql_in(OfflineModel(tables=table_of_orders).invoke(prompt).text) is None


def test_a_late_result_is_told_when_the_person_asks_again(shop):
    late = HumanMessage(
        '[art_1: success, iteration 1, 9.0 s\n\nresult:\n{"row_count": 1, "rows": [{"n": 7}]}]', name="executor"
    )
    reply = shop.model.invoke([SystemMessage("x"), HumanMessage("Is it done?"), late])
    assert "**7**" in reply.text


def test_its_stream_says_and_marks_the_same_as_its_reply(shop):
    for question in ("total amount by department", "Write me a poem"):
        messages = [SystemMessage("x"), HumanMessage(question)]
        first, *chunks = shop.model.stream(messages)
        merged = sum(chunks, first)
        whole = shop.model.invoke(messages)
        assert (merged.text, merged.tool_calls) == (whole.text, whole.tool_calls)
        assert merged.response_metadata.get(UNANSWERED) == whole.response_metadata.get(UNANSWERED)
