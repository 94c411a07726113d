"""The jobs around the agent, as notebooks and as commands: the orchestrator (Job A), the ingestor (Job C), the tests.
The executor (Job B) is `agent.execution.job`.
"""
