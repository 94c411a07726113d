# Databricks notebook source
# MAGIC %md
# MAGIC # Orchestrator (Job A)
# MAGIC Asks the agent once. The question is `ADK_PROMPT`, else what is in `ADK_PROMPT_FILE`, else in
# MAGIC `/Volumes/<catalog>/task/task_txt/task.txt`. Exits with the turn's result as JSON.

# COMMAND ----------

from agent.jobs.orchestrator import PARAMETERS, run_orchestrator

for one in PARAMETERS:
    dbutils.widgets.text(one.name, one.default, one.meaning)

# COMMAND ----------

dbutils.notebook.exit(run_orchestrator({one.name: dbutils.widgets.get(one.name) for one in PARAMETERS}))
