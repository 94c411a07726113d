"""The sample holds what its docstring promises, found by SQL as an analyst would look for it."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from agent.data.sample import SILOS, TABLES, fill, planted_truth
from agent.data.warehouse import Warehouse, open_warehouse

SCHEMAS = [silo.schema for silo in SILOS]
ABOUT = list(zip(SCHEMAS, range(3), strict=True))


def number(warehouse: Warehouse, sql: str) -> int:
    return warehouse.query(sql).column(0)[0].as_py()


def test_it_has_about_two_hundred_thousand_rows_in_nine_tables(warehouse: Warehouse):
    tables = [table for table in warehouse.tables() if table.kind == "BASE TABLE"]
    assert {(table.schema, table.name) for table in tables} == {(s, t) for s in SCHEMAS for t in TABLES}
    assert 180_000 < sum(table.rows for table in tables) < 220_000


def test_the_views_put_the_silos_together(warehouse: Warehouse):
    for table in TABLES:
        parts = sum(number(warehouse, f"SELECT count(*) FROM {schema}.{table}") for schema in SCHEMAS)
        assert number(warehouse, f"SELECT count(*) FROM all_silos.{table}") == parts


def test_every_build_holds_the_same_rows(warehouse: Warehouse):
    digest = "SELECT bit_xor(hash(t)) FROM {} AS t"
    with duckdb.connect() as again:
        fill(again)
        for schema in SCHEMAS:
            for table in TABLES:
                sql = digest.format(f"{schema}.{table}")
                assert again.execute(sql).fetchone() == (number(warehouse, sql),)


def test_the_rows_are_the_same_on_every_machine_and_engine(warehouse: Warehouse):
    first = warehouse.query("SELECT * FROM silo_valley.invoices ORDER BY invoice_id LIMIT 1").to_pylist()[0]
    assert (first["invoice_id"], first["vendor_id"], str(first["invoice_date"]), first["amount"]) == (
        "V-I000001",
        "V-V0001",
        "2023-01-30",
        35257.6,
    )


def test_vendors_in_several_silos_share_a_tax_id_and_differ_in_spelling(warehouse: Warehouse):
    shared = """
        SELECT count(*) FROM (
            SELECT tax_id FROM vendors WHERE tax_id IS NOT NULL
            GROUP BY tax_id HAVING count(DISTINCT silo) = {} AND count(DISTINCT vendor_name) = {})"""
    assert number(warehouse, shared.format(3, 3)) == planted_truth().vendors_in_all_silos
    assert number(warehouse, shared.format(2, 2)) == planted_truth().vendors_in_two_silos


def test_no_other_vendors_share_a_tax_id_or_a_name(warehouse: Warehouse):
    for schema in SCHEMAS:
        assert number(warehouse, f"SELECT count(*) - count(DISTINCT vendor_name) FROM {schema}.vendors") == 0
        assert number(warehouse, f"SELECT count(tax_id) - count(DISTINCT tax_id) FROM {schema}.vendors") == 0


def test_every_order_has_a_vendor_and_every_invoice_an_order(warehouse: Warehouse):
    for schema in SCHEMAS:
        orphans = "SELECT count(*) FROM {0}.{1} ANTI JOIN {0}.{2} USING ({3})"
        assert number(warehouse, orphans.format(schema, "purchase_orders", "vendors", "vendor_id")) == 0
        assert number(warehouse, orphans.format(schema, "invoices", "purchase_orders", "po_id")) == 0


@pytest.mark.parametrize(("schema", "place"), ABOUT)
def test_amounts_out_of_line_are_as_many_as_planted(warehouse: Warehouse, schema: str, place: int):
    ratio = f"""
        SELECT count(DISTINCT i.po_id) FROM {schema}.invoices AS i JOIN {schema}.purchase_orders AS p USING (po_id)
        WHERE i.amount / p.amount BETWEEN {{}} AND {{}}"""
    assert number(warehouse, ratio.format(49.9, 50.1)) == planted_truth().outliers[place]
    assert number(warehouse, ratio.format(1.3, 1.4)) == planted_truth().overbilled[place]
    untouched = f"SELECT count(*) FROM {schema}.purchase_orders"
    rest = planted_truth().outliers[place] + planted_truth().overbilled[place]
    assert number(warehouse, ratio.format(0.999, 1.001)) == number(warehouse, untouched) - rest


@pytest.mark.parametrize(("schema", "place"), ABOUT)
def test_invoices_that_came_twice_are_as_many_as_planted(warehouse: Warehouse, schema: str, place: int):
    twice = f"""
        SELECT count(*) FROM (
            SELECT 1 FROM {schema}.invoices GROUP BY invoice_number, vendor_id, invoice_date, amount
            HAVING count(DISTINCT invoice_id) = 2)"""
    assert number(warehouse, twice) == planted_truth().repeated[place]


@pytest.mark.parametrize(("schema", "place"), ABOUT)
def test_the_months_without_invoices_are_the_planted_ones(warehouse: Warehouse, schema: str, place: int):
    empty = f"""
        SELECT strftime(month, '%Y-%m-%d') AS month
        FROM range(DATE '2023-01-01', DATE '2026-01-01', INTERVAL 1 MONTH) AS months(month)
        ANTI JOIN (SELECT DISTINCT date_trunc('month', invoice_date) AS month FROM {schema}.invoices) USING (month)
        ORDER BY month"""
    assert tuple(row["month"] for row in warehouse.query(empty).to_pylist()) == planted_truth().missing_months[place]


@pytest.mark.parametrize(("schema", "place"), ABOUT)
def test_the_empty_cells_are_as_many_as_planted(warehouse: Warehouse, schema: str, place: int):
    nulls = "SELECT count(*) FROM {}.{} WHERE {} IS NULL"
    assert number(warehouse, nulls.format(schema, "vendors", "tax_id")) == planted_truth().without_tax_id[place]
    orders = nulls.format(schema, "purchase_orders", "department")
    assert number(warehouse, orders) == planted_truth().without_department[place]


def test_it_is_built_once_and_then_only_opened(tmp_path: Path):
    with open_warehouse(tmp_path):
        built = (tmp_path / "warehouse" / "sample-1.duckdb").stat()
    with open_warehouse(tmp_path):
        assert (tmp_path / "warehouse" / "sample-1.duckdb").stat() == built
