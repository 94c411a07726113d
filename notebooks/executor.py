# Databricks notebook source
# MAGIC %md
# MAGIC # Executor (Job B)
# MAGIC Runs one delegation: the code at `ARTIFACT_PATH`, in this notebook's own process, with `spark`. What it prints, its result and
# MAGIC the executed notebook are left beside it. The agent starts this job; nobody has to open it.

# COMMAND ----------

for name in ("ARTIFACT_PATH", "RUN_ID", "ITERATION", "catalog", "schema", "WHEEL"):
    dbutils.widgets.text(name, "")
given = dbutils.widgets.getAll()

# COMMAND ----------

# The agent's code: installed in the job's environment, or read from its wheel in the Volume without installing anything, so that
# the runtime's own packages stay as they are.
import sys

if given["WHEEL"]:
    sys.path.insert(0, given["WHEEL"])

from agent.execution.job.runner import run_artifact

# COMMAND ----------

dbutils.notebook.exit(run_artifact(given, spark))
