"""The test tasks: seventeen questions about the generated sample, from a count to a report; each knows its answer.

The answers are asked of the data itself, so that they hold for every sample that is generated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from agent.jobs.task import render_fields
from graph.errors import InvalidRequest

Difficulty = Literal["easy", "medium", "hard"]
Query = Callable[[str], Sequence[Mapping[str, Any]]]
NUMBER = re.compile(r"-?\d[\d,]*\.?\d*")
CENT = 0.011
"""How far a number with decimals may be from the right one: rounded to a cent."""


@dataclass(frozen=True)
class TestTask:
    """`truth` is SQL over the schema all_silos: every value of its rows has to be in an answer."""

    level: int
    difficulty: Difficulty
    summary: str
    description: str
    truth: str
    expected_tables: tuple[str, ...]
    delegation_benefit: str
    priority: str = "Medium"
    story_points: int = 1

    __test__ = False

    @property
    def issue_key(self) -> str:
        return f"TEST-{self.level}"

    def prompt(self) -> str:
        fields = {
            "summary": self.summary,
            "description": self.description,
            "priority": self.priority,
            "story_points": self.story_points,
        }
        tables = "\n".join(f"- {name}" for name in self.expected_tables)
        return f"# Task {self.issue_key}\n\n{render_fields(fields)}\n\n## Tables\n\n{tables}\n"

    def expected(self, query: Query) -> list[Any]:
        return [value for row in query(self.truth) for value in row.values()]


def missing(answer: str, expected: Iterable[Any]) -> list[Any]:
    """What the right answer has and this one has not; nothing: it is right. Thousands may be grouped by commas."""
    numbers = [float(text.replace(",", "").rstrip(".")) for text in NUMBER.findall(answer)]
    return [value for value in expected if not contains(answer, numbers, value)]


def contains(answer: str, numbers: Sequence[float], value: Any) -> bool:
    if isinstance(value, bool) or value is None or isinstance(value, str | date):
        return re.search(rf"(?<![\w-]){re.escape(str(value))}(?![\w-])", answer, re.IGNORECASE) is not None
    if isinstance(value, int):
        return float(value) in numbers
    return any(abs(number - float(value)) < CENT for number in numbers)


def find_task(level: int) -> TestTask:
    """Raises InvalidRequest for a level that there is not."""
    if level not in range(1, len(TASKS) + 1):
        raise InvalidRequest(f"there is no test level {level}: they are 1 to {len(TASKS)}; --list shows them.")
    return TASKS[level - 1]


V, P, I = "all_silos.vendors", "all_silos.purchase_orders", "all_silos.invoices"  # noqa: E741 - invoices

TASKS = (
    TestTask(
        1,
        "easy",
        "Count the invoices",
        "How many invoices are there in all silos?",
        "SELECT count(*) FROM invoices",
        (I,),
        "none: one number",
    ),
    TestTask(
        2,
        "easy",
        "Vendors by silo",
        "How many vendors does each silo have?",
        "SELECT silo, count(*) FROM vendors GROUP BY silo",
        (V,),
        "none: three rows",
    ),
    TestTask(
        3,
        "easy",
        "Open invoices",
        "How many invoices have the status open?",
        "SELECT count(*) FROM invoices WHERE status = 'open'",
        (I,),
        "none: one number",
    ),
    TestTask(
        4,
        "easy",
        "Spend by silo",
        "What do the invoices of each silo amount to? To the cent.",
        "SELECT silo, round(sum(amount), 2) FROM invoices GROUP BY silo",
        (I,),
        "sums stay where the data is",
    ),
    TestTask(
        5,
        "easy",
        "Payment terms",
        "How many vendors have each of the payment terms?",
        "SELECT payment_terms, count(*) FROM vendors GROUP BY payment_terms",
        (V,),
        "none: three rows",
    ),
    TestTask(
        6,
        "medium",
        "Largest order",
        "Which purchase order has the largest amount, and what is it?",
        "SELECT po_id, amount FROM purchase_orders ORDER BY amount DESC, po_id LIMIT 1",
        (P,),
        "rows stay where they are",
    ),
    TestTask(
        7,
        "medium",
        "Top vendor",
        "Which vendor (vendor_id) has the most invoices, and how many?",
        "SELECT vendor_id, count(*) FROM invoices GROUP BY vendor_id ORDER BY 2 DESC, 1 LIMIT 1",
        (I,),
        "grouping",
        story_points=2,
    ),
    TestTask(
        8,
        "medium",
        "Department without a name",
        "How many purchase orders name no department, by silo?",
        "SELECT silo, count(*) FROM purchase_orders WHERE department IS NULL GROUP BY silo",
        (P,),
        "nulls are looked for",
        story_points=2,
    ),
    TestTask(
        9,
        "medium",
        "Spend by category",
        "Which vendor category has the largest invoiced amount, and what is it?",
        "SELECT category, round(sum(amount), 2) FROM invoices JOIN vendors USING (silo, vendor_id) GROUP BY category "
        "ORDER BY 2 DESC LIMIT 1",
        (I, V),
        "a join",
        story_points=2,
    ),
    TestTask(
        10,
        "medium",
        "Paid late",
        "How many invoices were paid after they were due?",
        "SELECT count(*) FROM invoices WHERE paid_date > due_date",
        (I,),
        "one pass over all rows",
        story_points=2,
    ),
    TestTask(
        11,
        "medium",
        "Orders of inactive vendors",
        "How many purchase orders are with inactive vendors?",
        "SELECT count(*) FROM purchase_orders JOIN vendors USING (silo, vendor_id) WHERE NOT active",
        (P, V),
        "a join",
        story_points=3,
    ),
    TestTask(
        12,
        "hard",
        "Months without invoices",
        "Between each silo's first and last invoice, which months have none? Name silo and first day of the month.",
        "WITH seen AS (SELECT DISTINCT silo, date_trunc('month', invoice_date)::DATE AS month FROM invoices), "
        "span AS (SELECT silo, unnest(generate_series(min(month), max(month), INTERVAL 1 MONTH))::DATE AS month "
        "FROM seen GROUP BY silo) SELECT silo, month FROM span ANTI JOIN seen USING (silo, month)",
        (I,),
        "a calendar is built beside the data",
        "High",
        3,
    ),
    TestTask(
        13,
        "hard",
        "Invoices billed twice",
        "How many pairs of silo, vendor and invoice number appear more than once, and how many rows are they?",
        "SELECT count(*), sum(n)::BIGINT FROM (SELECT count(*) AS n FROM invoices GROUP BY silo, vendor_id, "
        "invoice_number HAVING count(*) > 1)",
        (I,),
        "groups, then what is in them",
        "High",
        3,
    ),
    TestTask(
        14,
        "hard",
        "One vendor in several silos",
        "How many tax ids belong to vendors in more than one silo?",
        "SELECT count(*) FROM (SELECT tax_id FROM vendors WHERE tax_id IS NOT NULL GROUP BY tax_id "
        "HAVING count(DISTINCT silo) > 1)",
        (V,),
        "the silos are compared",
        "High",
        3,
    ),
    TestTask(
        15,
        "hard",
        "Invoices without an order",
        "How many invoices name a purchase order that their silo does not have, or none?",
        "SELECT count(*) FROM invoices ANTI JOIN purchase_orders USING (silo, po_id)",
        (I, P),
        "a join that keeps what is missing",
        "High",
        5,
    ),
    TestTask(
        16,
        "hard",
        "Billed otherwise than ordered",
        "How many invoices differ from their order by more than a cent, and by how much altogether (absolute)?",
        "SELECT count(*), round(sum(abs(i.amount - p.amount)), 2) FROM invoices i "
        "JOIN purchase_orders p USING (silo, po_id) WHERE abs(i.amount - p.amount) > 0.01",
        (I, P),
        "row by row over both tables",
        "High",
        5,
    ),
    TestTask(
        17,
        "hard",
        "Consolidated report",
        "One report over all silos: number of vendors, of distinct tax ids, of invoices, of open invoices, "
        "and the amount that is open, to the cent. Work on the parts at the same time.",
        "SELECT (SELECT count(*) FROM vendors), (SELECT count(DISTINCT tax_id) FROM vendors), count(*), "
        "count(*) FILTER (status = 'open'), round(sum(amount) FILTER (status = 'open'), 2) FROM invoices",
        (V, I),
        "several delegations in one reply",
        "Highest",
        8,
    ),
)
