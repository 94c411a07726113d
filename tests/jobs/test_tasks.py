"""The test tasks: a scripted analyst solves each in its own way, and no check takes a wrong answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from langchain_core.messages import BaseMessage, ToolMessage

from agent.config import Settings, load_settings
from agent.jobs.entry import run_test
from agent.jobs.tasks import TASKS, TestTask, find_task, missing
from agent.jobs.testing import Outcome, truth_of, try_task
from agent.models.scripted import Reply, ScriptedModel, delegates, says, together
from graph.errors import InvalidRequest

READ = """
import pandas as pd
def read(name):
    return execute_sql(f"SELECT * FROM all_silos.{name}", as_pandas=True).df
"""
SOLUTIONS: dict[int, tuple[str, ...]] = {
    1: ("print(len(read('invoices')))",),
    2: ("print(read('vendors').silo.value_counts().to_string())",),
    3: ("print((read('invoices').status == 'open').sum())",),
    4: ("print(read('invoices').groupby('silo').amount.sum().map('{:,.2f}'.format).to_string())",),
    5: ("print(read('vendors').payment_terms.value_counts().to_string())",),
    6: ("o = read('purchase_orders').sort_values(['amount', 'po_id'], ascending=[False, True]).iloc[0]\n"
        "print(o.po_id, o.amount)",),
    7: ("n = read('invoices').groupby('vendor_id').size().reset_index(name='n')\n"
        "n = n.sort_values(['n', 'vendor_id'], ascending=[False, True])\nprint(n.iloc[0].vendor_id, n.iloc[0].n)",),
    8: ("o = read('purchase_orders')\nprint(o[o.department.isna()].silo.value_counts().to_string())",),
    9: ("m = read('invoices').merge(read('vendors'), on=['silo', 'vendor_id']).groupby('category').amount.sum()\n"
        "print(m.idxmax(), f'{m.max():.2f}')",),
    10: ("i = read('invoices')\nprint((pd.to_datetime(i.paid_date) > pd.to_datetime(i.due_date)).sum())",),
    11: ("v = read('vendors')[['silo', 'vendor_id', 'active']]\n"
         "m = read('purchase_orders').merge(v, on=['silo', 'vendor_id'])\n"
         "print((~m.active.astype(bool)).sum())",),
    12: ("i = read('invoices')\ni['month'] = pd.to_datetime(i.invoice_date).dt.to_period('M')\n"
         "for silo, months in i.groupby('silo').month:\n"
         "    every = pd.period_range(months.min(), months.max(), freq='M')\n"
         "    for month in every.difference(pd.PeriodIndex(months.unique())):\n"
         "        print(silo, month.to_timestamp().date())",),
    13: ("n = read('invoices').groupby(['silo', 'vendor_id', 'invoice_number'], dropna=False).size()\n"
         "print((n > 1).sum(), n[n > 1].sum())",),
    14: ("n = read('vendors').groupby('tax_id').silo.nunique()\nprint((n > 1).sum())",),
    15: ("o = set(map(tuple, read('purchase_orders')[['silo', 'po_id']].values))\n"
         "print(sum(tuple(key) not in o for key in read('invoices')[['silo', 'po_id']].values))",),
    16: ("m = read('invoices').merge(read('purchase_orders'), on=['silo', 'po_id'])\n"
         "d = (m.amount_x - m.amount_y).abs()\nprint((d > 0.01).sum(), f'{d[d > 0.01].sum():.2f}')",),
    17: ("v = read('vendors')\nprint(len(v), v.tax_id.nunique())",
         "i = read('invoices')\nopen_ = i[i.status == 'open']\nprint(len(i), len(open_), f'{open_.amount.sum():.2f}')"),
}  # fmt: skip


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("home")
    return load_settings({"home": str(home), "tracing": {"enabled": False}}, {}, {}).settings


def analyst(level: int) -> ScriptedModel:
    """Delegates its solution, in parts at the same time, and then says what came out."""

    def reply(messages: Sequence[BaseMessage]) -> Reply | str:
        found = [str(one.content) for one in messages if isinstance(one, ToolMessage)]
        if found:
            return says("\n".join(part for text in found for part in text.split("stdout:")[1:]) or "\n".join(found))
        return together(*(delegates(f"{READ}\n{code}", instruction="Quote it.") for code in SOLUTIONS[level]))

    return ScriptedModel.by(reply)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: f"level {task.level}")
def test_a_scripted_analyst_solves_it_and_a_wrong_answer_is_refused(task: TestTask, settings: Settings) -> None:
    outcome = try_task(settings, task, base_model=analyst(task.level))
    assert outcome.lacks == [], outcome.answer
    right = truth_of(settings, task)
    assert missing(" | ".join(map(str, right)), right) == []
    for place, value in enumerate(right):
        wrong = [*right[:place], other(value), *right[place + 1 :]]
        if value not in wrong:
            assert missing(" | ".join(map(str, wrong)), right), (value, other(value))
    assert missing("", right)
    assert missing(task.prompt(), right), "the question is no answer"


def other(value: Any) -> Any:
    if isinstance(value, str):
        return f"{value}x"
    return value + timedelta(days=31) if hasattr(value, "month") else value + 1


def test_levels_are_one_to_seventeen_and_rise() -> None:
    assert [one.level for one in TASKS] == list(range(1, 18))
    order = ["easy", "medium", "hard"]
    assert [order.index(one.difficulty) for one in TASKS] == sorted(order.index(one.difficulty) for one in TASKS)
    assert all(
        re.search(r"## Summary\n\n.*## Priority\n\n.*## Description\n\n", one.prompt(), re.DOTALL) for one in TASKS
    )
    with pytest.raises(InvalidRequest, match="no test level 18"):
        find_task(18)


def test_the_command_lists_tells_right_from_wrong_and_refuses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def play(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["rlm-test", *arguments])
        try:
            run_test()
        except SystemExit as left:
            return int(left.code or 0), *capsys.readouterr()
        return 0, *capsys.readouterr()

    assert "TEST-17: Consolidated report" in play("--list")[1]
    assert play("--level", "18")[0] == 2
    assert "--level N" in play()[2]
    monkeypatch.setattr("agent.jobs.testing.try_task", lambda settings, task: Outcome(task, "7", [8]))
    assert play("--level", "1") == (2, "", "TEST-1: wrong. The answer lacks 8. It was: 7\n")
    monkeypatch.setattr("agent.jobs.testing.try_task", lambda settings, task: Outcome(task, "8", []))
    assert play("--level", "1") == (0, "8\n\nTEST-1: right\n", "")
