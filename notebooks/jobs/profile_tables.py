# Databricks notebook source
# MAGIC %md
# MAGIC # Profile every table: rows, columns, missing values
# MAGIC Parameters: `user_request`, and `tables`, a text that the names must hold (all tables without it).

# COMMAND ----------

import json

dbutils.widgets.text("user_request", "")
dbutils.widgets.text("tables", "")
wanted = dbutils.widgets.get("tables").lower()

# COMMAND ----------

listing = execute_sql(
    "SELECT DISTINCT table_catalog, table_schema, table_name FROM information_schema.columns "
    "WHERE table_catalog NOT IN ('system', 'temp', 'memory') ORDER BY ALL",
    preview_rows=1000,
)
names = [".".join(f'"{part}"' for part in row) for row in listing.rows]
names = [name for name in names if wanted in name.lower()]

# COMMAND ----------

profile = []
for name in names:
    summary = execute_sql(f"SUMMARIZE {name}", as_pandas=True).df
    profile.append(
        {
            "table": name.replace('"', ""),
            "rows": int(summary["count"].max()),
            "columns": len(summary),
            "columns_with_gaps": [row.column_name for row in summary.itertuples() if float(row.null_percentage) > 0],
        }
    )
    print(f"{profile[-1]['table']}: {profile[-1]['rows']:,} rows")

# COMMAND ----------

dbutils.notebook.exit(json.dumps({"request": dbutils.widgets.get("user_request"), "tables": profile}))
