"""Sample content: tables, a Genie space, a volume, a notebook with a job, a secret."""

from typing import TYPE_CHECKING

from tests.workspace.catalog import Note
from tests.workspace.objects import Notebook

if TYPE_CHECKING:
    from tests.workspace.workspace import Workspace

SPACE = "sales"
NOTEBOOK = "/Users/analyst@example.com/count_orders"
_SOURCE = b"""# Databricks notebook source
dbutils.widgets.text("schema", "samples.sales")

# COMMAND ----------
rows = spark.table(dbutils.widgets.get("schema") + ".orders").count()

# COMMAND ----------
dbutils.notebook.exit(str(rows))
"""
_TABLES = (
    "CREATE TABLE samples.sales.customers AS "
    "SELECT CAST(id AS INT) AS id, concat('Customer ', id) AS name, "
    "CASE id % 3 WHEN 0 THEN 'north' WHEN 1 THEN 'south' ELSE 'west' END AS region FROM range(1, 101)",
    "CREATE TABLE samples.sales.orders AS "
    "SELECT CAST(id AS INT) AS id, CAST(1 + (id * 7) % 100 AS INT) AS customer_id, "
    "date_add(DATE'2025-01-01', CAST(id % 365 AS INT)) AS day, "
    "CAST(5 + (id * 13) % 200 AS DECIMAL(10,2)) AS amount FROM range(1, 5001)",
)


def seed(ws: "Workspace") -> list[str]:
    """Load it all; what there is now, in words."""
    ws.catalog.create_schema("samples", "sales", Note("Orders and customers"))
    for statement in _TABLES:
        ws.engine.rows(statement)
    ws.catalog.create_volume("samples", "sales", "files", Note())
    ws.volumes.write("/Volumes/samples/sales/files/readme.txt", b"Sample files\n", overwrite=True)
    ws.genie.add_space(SPACE, "Sales", "Orders and customers of a year", catalog="samples", schema="sales")
    ws.genie.answer(SPACE, "how many orders", sql="SELECT count(*) AS orders FROM orders")
    ws.genie.answer(
        SPACE,
        "region",
        sql="SELECT region, sum(amount) AS total FROM orders o JOIN customers c ON o.customer_id = c.id GROUP BY 1",
    )
    ws.objects.make_directories(NOTEBOOK.rsplit("/", 1)[0])
    ws.objects.write(NOTEBOOK, _SOURCE, Notebook("PYTHON"), overwrite=True)
    task = {"task_key": "count", "notebook_task": {"notebook_path": NOTEBOOK}}
    job = ws.jobs.create({"name": "Count orders", "tasks": [task]}, ws.user)
    ws.secrets.create_scope("samples")
    ws.secrets.put("samples", "key", b"not a secret")
    return [
        "tables samples.sales.customers (100 rows) and samples.sales.orders (5000 rows)",
        "volume /Volumes/samples/sales/files",
        f"Genie space {SPACE}: 'how many orders', 'total by region'",
        f"notebook {NOTEBOOK}, job {job.id}",
        "secret samples/key",
    ]
