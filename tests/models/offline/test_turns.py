"""Whole turns with the offline model: its code passes the guards and runs in a process of its own."""

from __future__ import annotations

import pytest

from agent.config import Settings
from agent.core import Request, open_agent
from graph.endings import ENDS

SALES = """\
sold_on,region,product,units,price,gift
2023-05-01,North,Green tea,4,2.5,maybe
2024-01-03,North,Coffee,1,3.5,no
2024-02-04,South,Green tea,7,3.0,yes
"""


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    folder = tmp_path_factory.mktemp("turns")
    (folder / "sales.csv").write_text(SALES)
    given = {"home": folder / "home", "data": {"paths": [folder / "sales.csv"]}, "tracing": {"enabled": False}}
    with open_agent(Settings.model_validate(given)) as agent:
        yield lambda question, thread: list(agent.run(Request(question, thread_id=thread)))[-1].result


def test_a_value_is_looked_up_and_a_follow_up_keeps_it(ask):
    found = ask("How many units of green tea were sold?", "t-1")
    assert "only: product = green tea\n\n**11**" in found.response_text
    assert (found.end, found.delegation_count) == ("answer", 1)
    assert "| South | 7 |" in ask("And by region?", "t-1").response_text


@pytest.mark.parametrize(
    "question", ["How many sales in Lima?", "How many sales were returned late?", "Write me a poem"]
)
def test_a_turn_without_an_answer_says_so_by_its_end(ask, question):
    result = ask(question, None)
    assert result.end == "unanswered"
    assert ENDS[result.end].exit_code == 4
    assert "base_model.name" in result.response_text
