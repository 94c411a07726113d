"""The offline model in its three roles: it plans, it reads, it answers; the code that it writes is run for real."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections import Counter
import traceback
from pathlib import Path

import duckdb
import pytest
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage

from agent.data.warehouse import Column, Table
from agent.execution.inside.context import Text
from agent.execution.inside.output import as_json, output_of
from agent.execution.inside.sql_client import SqlResult
from agent.offline import OfflineModel
from agent.platforms.local.genie import Exchange, sql_in
from agent.prompts import AgentPrompts, genie_sql
from graph.blob import parse_blob
from graph.reading.leaves import BODY, count_tokens, cut
from graph.reading.report import report
from graph.types import DELEGATE, Capsule, ExecutionResult

LOG = """\
Dec 10 06:55:46 sshd[24200]: Invalid user webmaster from 173.234.31.186
Dec 10 06:55:48 sshd[24200]: Failed password for invalid user webmaster from 173.234.31.186 port 38926 ssh2
Dec 10 07:07:38 sshd[24206]: Invalid user test9 from 52.80.34.196
Dec 10 07:08:28 sshd[24208]: Failed password for root from 173.234.31.186 port 39257 ssh2
Dec 10 07:08:30 sshd[24208]: Connection closed by 173.234.31.186 [preauth]
"""


class Bench:
    """Runs a question to its end: what the model delegates is executed here, and reported as the graph reports it."""

    def __init__(self, tables=(), context=None):
        self.connection = duckdb.connect(":memory:")
        self.context = context
        self.model = OfflineModel(tables=lambda: tables, has_text=context is not None)
        self.delegated: list[str] = []

    def execute_sql(self, sql, preview_rows=20):
        found = self.connection.execute(sql)
        rows = found.fetchall()
        shown = rows[:preview_rows]
        return SqlResult([d[0] for d in found.description], shown, None, len(rows) > len(shown), len(rows), "s1")

    def run(self, code: str) -> ExecutionResult:
        names, out = {"execute_sql": self.execute_sql, "context": self.context}, io.StringIO()
        try:
            with contextlib.redirect_stdout(out):
                exec(code, names)
        except duckdb.Error as error:
            trace = traceback.format_exc()
            return ExecutionResult(
                "failed", "", "r", 1, "", "", 0.1, out.getvalue(), error=str(error), error_trace=trace
            )
        return ExecutionResult("success", "", "r", 1, "", "", 0.1, out.getvalue(), output=as_json(output_of(names)))

    def ask(self, question: str) -> str:
        messages = [SystemMessage(AgentPrompts().analyst(Capsule(), {})), HumanMessage(question)]
        for _ in range(5):
            reply = self.model.invoke(messages)
            messages.append(reply)
            if not reply.tool_calls:
                return reply.text
            messages += [self.answer(call) for call in reply.tool_calls]
        raise AssertionError("it never came to an answer")

    def answer(self, call) -> ToolMessage:
        code = parse_blob(call["args"]["code"]).code
        self.delegated.append(code)
        result = self.run(code)
        status = "success" if result.status == "success" else "error"
        text = report("art_0123456789ab", result)
        return ToolMessage(text, tool_call_id=call["id"], name=DELEGATE, status=status)


def table_of_orders() -> tuple[Table, ...]:
    columns = (Column("order_id", "BIGINT"), Column("department", "VARCHAR"), Column("amount", "DOUBLE"))
    return (Table("memory", "main", "orders", columns, 3, "file"),)


@pytest.fixture
def shop():
    bench = Bench(table_of_orders())
    bench.connection.execute(
        "CREATE TABLE orders AS SELECT * FROM (VALUES "
        "(1, 'Surgery', 1000.5::DOUBLE), (2, 'Surgery', 2.0), (3, NULL, 7.25)) "
        "AS o(order_id, department, amount)"
    )
    yield bench
    bench.connection.close()


@pytest.fixture
def log(tmp_path: Path):
    path = tmp_path / "auth.log"
    path.write_text(LOG)
    bench = Bench(context=Text((path,)))
    yield bench
    bench.connection.close()


def test_a_figure_is_answered_with_what_it_is_and_that_rules_found_it(shop):
    answer = shop.ask("How many orders are there?")
    assert "**main.orders: number**" in answer
    assert "**3**" in answer
    assert "Offline model" in answer


def test_groups_are_answered_as_a_table_with_readable_figures(shop):
    answer = shop.ask("total amount by department")
    assert "| Surgery | 1,002.5 |" in answer
    assert "| (none) | 7.25 |" in answer


def test_a_question_of_several_parts_is_delegated_in_one_reply(shop):
    question = "How many orders are there? What is the average amount? And which departments have the most orders?"
    reply = shop.model.invoke([SystemMessage("x"), HumanMessage(question)])
    assert [call["name"] for call in reply.tool_calls] == [DELEGATE] * 3
    assert len({call["id"] for call in reply.tool_calls}) == 3
    assert shop.ask(question).count("**main.orders:") == 3


def test_code_that_fails_is_repaired_once_by_reading_numbers_with_care():
    bench = Bench(table_of_orders())
    bench.connection.execute(
        "CREATE TABLE orders AS SELECT 1 AS order_id, 'a' AS department, '12' AS amount UNION SELECT 2, 'b', 'n/a'"
    )
    answer = bench.ask("average amount of orders")
    assert "**12**" in answer
    assert len(bench.delegated) == 2
    assert "TRY_CAST" in bench.delegated[1]
    bench.connection.close()


def test_what_can_not_be_repaired_is_said_with_its_reason_after_one_try():
    bench = Bench(table_of_orders())
    answer = bench.ask("average amount of orders")
    assert "That did not work" in answer
    assert "orders does not exist" in answer
    assert len(bench.delegated) <= 2
    bench.connection.close()


@pytest.mark.parametrize("hello", ["hi", "Hello!", "hey there", "thanks", "good morning"])
def test_small_talk_gets_a_plain_answer_that_says_what_it_is(shop, hello):
    assert "I am the offline model: a few rules" in shop.ask(hello)
    assert shop.delegated == []


@pytest.mark.parametrize("question", ["Write me a poem", "Translate 'bonjour'", "Who won the match?"])
def test_what_it_can_not_do_is_answered_with_how_to_configure_a_model(shop, question):
    answer = shop.ask(question)
    assert "base_model.name" in answer
    assert "OPENAI_API_KEY" in answer
    assert "base_url" in answer
    assert shop.delegated == []


def test_the_tables_are_listed_without_running_anything(shop):
    assert "| memory.main.orders | 3 | 3 |" in shop.ask("Which tables are there?")
    assert shop.delegated == []


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("how many lines mention 'Invalid user'?", "matching lines: 2, of lines: 5"),
        ("how many lines mention invalid user", "matching lines: 3, of lines: 5"),
        ("how many lines contain \"Failed password\"", "matching lines: 2, of lines: 5"),
        ("how many lines are there?", "matching lines: 5, of lines: 5"),
        ("which IPs appear most often?", "| 173.234.31.186 | 4 |\n| 52.80.34.196 | 1 |"),
        ("top 1 IPs with failed password", "| 173.234.31.186 | 2 |\n\n(The first 1 of 1.)"),
        ("which users are invalid", "| webmaster | 2 |\n| test9 | 1 |"),
        ("how many lines per hour", "| 07 | 3 |\n| 06 | 2 |"),
        ("find lines with 'no such thing'", "Nothing was found"),
    ],
)  # fmt: skip
def test_a_text_is_searched_and_counted(log, question, answer):
    assert answer.replace("\n\n(The first 1 of 1.)", "") in log.ask(question)


def test_a_text_to_be_summarised_is_printed_for_others_to_read(log):
    [call] = log.model.invoke([SystemMessage("x"), HumanMessage("Summarise the log")]).tool_calls
    blob = parse_blob(call["args"]["code"])
    assert blob.instruction == "Summarise the log"
    assert log.run(blob.code).stdout == LOG


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


def test_genies_prompt_is_answered_with_sql_only():
    tables = table_of_orders()
    reply = OfflineModel(tables=lambda: tables).invoke(genie_sql("How many orders by department?", tables)).text
    assert re.fullmatch(r"```sql\nSELECT .*count\(\*\).*\n```", reply, re.DOTALL)
    assert sql_in(reply).startswith("SELECT t.department")


def test_genies_prompt_without_an_answer_gets_words_and_no_sql():
    reply = (
        OfflineModel(tables=table_of_orders)
        .invoke(genie_sql("Why?", table_of_orders(), [Exchange("how many?", "SELECT 1")]))
        .text
    )
    assert sql_in(reply) is None


def test_a_late_result_is_told_when_the_person_asks_again(shop):
    late = HumanMessage(
        '[art_1: success, iteration 1, 9.0 s\n\nresult:\n{"row_count": 1, "rows": [{"n": 7}]}]', name="executor"
    )
    reply = shop.model.invoke([SystemMessage("x"), HumanMessage("Is it done?"), late])
    assert "**7**" in reply.text


def test_its_stream_says_the_same_as_its_reply(shop):
    messages = [SystemMessage("x"), HumanMessage("total amount by department")]
    merged = None
    for chunk in shop.model.stream(messages):
        merged = chunk if merged is None else merged + chunk
    assert merged.tool_calls == shop.model.invoke(messages).tool_calls
