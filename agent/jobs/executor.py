"""Job B as a command: what the notebook does, for a wheel's task. The code is `agent.execution.job`."""

from __future__ import annotations

from typing import Any

from agent.jobs.parameters import Parameter, Values, complete
from graph.errors import InvalidRequest

PARAMETERS = (
    Parameter("ARTIFACT_PATH", "the code, in a Volume", flag="--artifact-path"),
    Parameter("RUN_ID", "the run's id", flag="--run-id"),
    Parameter("ITERATION", "which of the turn's delegations it is", "0", "--iteration"),
    Parameter("catalog", "where code looks up tables", flag="--catalog"),
    Parameter("schema", "likewise", flag="--schema"),
)


def run_executor(given: Values) -> str:
    """Raises InvalidRequest where there is no Spark or no artifact is named."""
    values = complete(PARAMETERS, given)
    if not values["ARTIFACT_PATH"] or not values["RUN_ID"]:
        raise InvalidRequest("ARTIFACT_PATH and RUN_ID say what is run: the agent starts this job, with both.")
    from agent.execution.job.runner import run_artifact

    return run_artifact(values, find_spark())


def find_spark() -> Any:
    try:
        from databricks.sdk.runtime import spark
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidRequest("There is no `spark` here: the executor runs as a job of a workspace.") from error
    return spark
