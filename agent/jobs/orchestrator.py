"""Job A: one turn of the agent. What it exits with is the turn's ConversationResult as JSON."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

from agent.jobs.parameters import CONFIG, Parameter, Values, complete, load
from agent.jobs.prompt import find_prompt, read_prompt_file

if TYPE_CHECKING:
    from agent.config import Settings
    from graph.types import ConversationResult

PARAMETERS = (
    Parameter("ADK_PROMPT", "the question; wins over the file", flag="--prompt"),
    Parameter(
        "ADK_PROMPT_FILE", "a file with the question, in a Volume, DBFS or on this machine", flag="--prompt-file"
    ),
    Parameter("ADK_SESSION_ID", "the thread", "session_001", "--session-id"),
    Parameter("ADK_USER_ID", "whose `user:` keys are meant", "job_user", "--user-id"),
    Parameter("ADK_MAX_ITERATIONS", "limits.max_iterations", flag="--max-iterations"),
    Parameter("ADK_DELTA_CATALOG", "data.catalog", flag="--catalog"),
    Parameter("ADK_DELTA_SCHEMA", "data.schema", flag="--schema"),
    Parameter("ADK_EXECUTOR_JOB_ID", "execution.job_id: Job B", flag="--executor-job-id"),
    Parameter("ADK_SECRET_SCOPE", "databricks.secret_scope", flag="--secret-scope"),
    Parameter("REQUEST_ID", "the same again gets the same turn: the job's run", flag="--request-id"),
    CONFIG,
)


def run_orchestrator(given: Values) -> str:
    """Ask once. A task that is tried again with the same REQUEST_ID goes on with the turn where it was.

    Raises AgentError, SettingsError or StoreError for what can't be served, so that the run fails and says why.
    """
    values = complete(PARAMETERS, given)
    settings = load(values)
    text = find_prompt(values["ADK_PROMPT"], values["ADK_PROMPT_FILE"], settings.data.catalog, read_prompt_file)
    return as_json(ask(settings, text, values))


def ask(settings: Settings, text: str, values: Values) -> ConversationResult:
    from agent.core import Request, open_agent

    request = Request(
        text,
        thread_id=values["ADK_SESSION_ID"],
        request_id=values["REQUEST_ID"] or None,
        user_id=values["ADK_USER_ID"],
    )
    with open_agent(settings, secrets=os.environ.get) as agent:
        return agent.ask(request)


def as_json(result: ConversationResult) -> str:
    return json.dumps(asdict(result), ensure_ascii=False)
