"""What runs in a workspace's job (Job B): the notebook `notebooks/executor.py` calls it with the job's parameters.

Imports the standard library, `agent.execution.inside` and what a Databricks runtime brings; langgraph is not there.
"""
