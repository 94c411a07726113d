"""The agent as an MLflow model, called as MLflow calls it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from agent.config import Settings
from agent.models.scripted import ScriptedModel, delegates, says
from agent.serving.model import ServedAgent, within_deadline

Opener = Callable[..., ServedAgent]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Opener]:
    opened: list[ServedAgent] = []

    def serves(*script: Any, **settings: Any) -> ServedAgent:
        given = {"home": tmp_path / "state", "data": {"sample": False}, "tracing": {"enabled": False}} | settings
        model = ScriptedModel(*script)
        opened.append(ServedAgent(Settings.model_validate(given), base_model=model, sub_model=model))
        return opened[-1]

    yield serves
    for agent in opened:
        agent.close()


def asked(text: str, **custom: Any) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": text}], "custom_inputs": custom}


def test_a_prediction_is_a_response_and_its_stream_has_the_same_items(served: Opener):
    agent = served(delegates("print(6 * 7)"), says("It is 42."), says("It is 42 again."))

    response = agent.predict(asked("What is six times seven?", thread_id="t", request_id="r1"))
    events = list(agent.predict_stream(asked("And again?", thread_id="t", request_id="r2")))

    assert response.output[0].type == "function_call"
    assert response.output[-1].content[0]["text"] == "It is 42."
    assert response.id == "resp_r1"
    assert events[-1].response["output"][-1]["content"][0]["text"] == "It is 42 again."
    assert events[-1].custom_outputs["thread_id"] == "t"


def test_nothing_is_opened_before_the_first_request_and_it_opens_again_after_a_close(served: Opener, tmp_path: Path):
    agent = served(says("one"), says("two"))
    assert not (tmp_path / "state").exists()

    agent.predict(asked("first", thread_id="t"))
    agent.close()

    assert agent.predict(asked("second", thread_id="t")).output[-1].content[0]["text"] == "two"


def test_a_busy_thread_is_a_conflict(served: Opener):
    agent = served(delegates("import time; time.sleep(20)"), checkpointer={"on_busy": "reject"})
    first = agent.predict_stream(asked("first", thread_id="t"))
    next(event for event in first if event.type == "response.output_item.done")

    with pytest.raises(MlflowException, match="busy") as refused:
        agent.predict(asked("second", thread_id="t"))
    first.close()

    assert refused.value.get_http_status_code() == 409


def test_the_settings_logged_with_the_model_are_taken_over(tmp_path: Path):
    agent = ServedAgent()
    agent.load_context(SimpleNamespace(model_config={"home": str(tmp_path), "data": {"schema": "sales"}}))

    assert agent.settings.home == tmp_path
    assert agent.settings.data.schema_name == "sales"


def test_a_bad_request_is_the_callers_fault_and_an_agent_that_cannot_open_is_not(served: Opener):
    with pytest.raises(MlflowException, match="no new user message") as refused:
        served().predict(asked(" "))
    with pytest.raises(MlflowException, match=r"checkpointer\.dsn_env") as broken:
        served(checkpointer={"kind": "postgres"}).predict(asked("hello"))

    assert refused.value.get_http_status_code() == 400
    assert broken.value.get_http_status_code() == 500


@pytest.mark.parametrize(("limit", "server", "waits"), [(None, 270, 270), (10, 270, 10), (600, 270, 270)])
def test_a_served_request_waits_for_runs_as_long_as_the_shorter_deadline(limit: float, server: float, waits: float):
    settings = Settings.model_validate({"limits": {"request_deadline": limit}, "serve": {"request_deadline": server}})

    assert within_deadline(settings).limits.request_deadline == waits
