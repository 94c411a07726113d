"""What holds for every tool of the registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.utils.function_calling import convert_to_openai_tool

from agent.tools import TOOLS, build_tools
from agent.tools.services import ToolServices
from graph.types import DELEGATE, EXIT_LOOP
from tests.tools.conftest import Invoke

each_tool = pytest.mark.parametrize("name", TOOLS)
WRONG: list[Mapping[str, Any]] = [
    {"code": 1, "keyword": [], "filename": None, "query": {}, "user_request": 5, "run_id": [], "reason": {"a": 1}},
    {"code": None, "keyword": None, "content": 3, "query": None, "user_request": None, "run_id": None, "reason": 4},
]


@each_tool
def test_a_tools_name_is_its_key(name: str, services: ToolServices) -> None:
    assert TOOLS[name](services).name == name


@each_tool
def test_providers_can_be_told_of_it(name: str, services: ToolServices) -> None:
    function = convert_to_openai_tool(build_tools(services)[name])["function"]
    assert function["name"] == name
    assert len(function["description"]) > 40
    parameters = function["parameters"]
    assert parameters["type"] == "object"
    assert set(parameters.get("required", [])) <= set(parameters["properties"])
    assert not {"config", "tool_call_id", "services"} & set(parameters["properties"])
    for about in parameters["properties"].values():
        assert about["description"]


@each_tool
@pytest.mark.parametrize("arguments", WRONG)
def test_wrong_arguments_are_answered_with_what_to_correct(
    name: str, arguments: Mapping[str, Any], invoke: Invoke
) -> None:
    message = invoke(name, arguments)
    assert isinstance(message, ToolMessage)
    assert message.status == "error"
    assert message.tool_call_id == "call_1"
    assert "Call again with these corrected" in message.text
    assert "Traceback" not in message.text


@each_tool
def test_only_ending_and_starting_a_job_end_the_turn(name: str, services: ToolServices) -> None:
    assert build_tools(services)[name].return_direct is (name in {EXIT_LOOP, "start_databricks_job"})


def test_a_delegation_is_the_graphs_to_run(invoke: Invoke) -> None:
    message = invoke(DELEGATE, {"code": "print(1)"})
    assert message.status == "error"
    assert "run by the graph" in message.text


def test_leaving_says_why(invoke: Invoke) -> None:
    assert invoke(EXIT_LOOP, {"reason": "All is answered."}).text == "All is answered."
    assert invoke(EXIT_LOOP, {}).text == "The work on this request was ended."
