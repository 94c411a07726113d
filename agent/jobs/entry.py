"""The commands of the wheel: each does what the notebook of its job does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from agent.jobs.parameters import Parameter, Values, read_command


def run_orchestrator() -> None:
    from agent.jobs import orchestrator

    run("rlm-orchestrator", orchestrator.PARAMETERS, orchestrator.run_orchestrator)


def run_ingestor() -> None:
    from agent.jobs import ingestor

    run("rlm-ingestor", ingestor.PARAMETERS, ingestor.run_ingestor)


def run_executor() -> None:
    """Only where there is `spark`: as the wheel's task in a workspace."""
    from agent.jobs import executor

    run("rlm-executor", executor.PARAMETERS, executor.run_executor)


def run_test() -> None:
    from agent.jobs import testing

    run("rlm-test", testing.PARAMETERS, testing.run_test)


def run(program: str, parameters: Sequence[Parameter], job: Callable[[Values], str]) -> None:
    """Prints what the job exits with. What can't be served is one line on standard error and exit code 2."""
    from agent.settings.error import SettingsError
    from checkpointers.errors import StoreError
    from graph.errors import AgentError

    try:
        print(job(read_command(program, parameters)))  # noqa: T201 - a command
    except (AgentError, SettingsError, StoreError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)  # noqa: T201 - a command
        sys.exit(2)
