# Databricks notebook source
# MAGIC %md
# MAGIC # Ingestor (Job C)
# MAGIC Reads the change feed of the table of tasks and starts the orchestrator (Job A) once for each task that is new or newly
# MAGIC assigned. `ADK_DRY_RUN=true` only says what would be done.

# COMMAND ----------

from agent.jobs.ingestor import PARAMETERS, run_ingestor

for one in PARAMETERS:
    dbutils.widgets.text(one.name, one.default, one.meaning)

# COMMAND ----------

dbutils.notebook.exit(run_ingestor({one.name: dbutils.widgets.get(one.name) for one in PARAMETERS}))
