"""Job A in the stand-in workspace: a real run of the notebook with our wheel, which starts real runs of Job B."""

from __future__ import annotations

import io
import json

from tests.jobs.conftest import Analyst, Jobs
from tests.workspace.workspace import Workspace


def test_a_run_asks_the_agent_and_exits_with_its_result(ws: Workspace, jobs: Jobs, analyst: Analyst) -> None:
    question = f"{jobs.deployed.volume}/question.txt"
    jobs.target.client().files.upload(question, io.BytesIO(b"How many rows are there?"), overwrite=True)
    run = jobs.run(jobs.orchestrator, ADK_PROMPT_FILE=question, ADK_SESSION_ID="job thread")
    left = jobs.output(run)
    assert left.error is None, f"{left.error}\n{left.error_trace}\n{ws.jobs.log(run.tasks[0].run_id)[-2000:]}"
    result = json.loads(left.notebook_output.result)
    assert (result["status"], result["thread_id"], result["delegation_count"]) == ("success", "job thread", 1)
    assert '"rows": 7' in result["response_text"]
    assert result["request_id"] == str(run.run_id)
    assert analyst.asked == ["How many rows are there?"]
    runs = list(jobs.target.client().jobs.list_runs(job_id=jobs.executor))
    assert [one.state.result_state.value for one in runs] == ["SUCCESS"]
