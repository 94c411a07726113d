"""One turn in a process of its own, that may be killed at any moment: asked by a line of JSON, answered by one."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import tool

from agent.config import Settings
from agent.core import Agent, Request, open_agent
from agent.models.scripted import Reply, ScriptedModel, calls, delegates, says, together

RUNS = 2


def code(marks: str, number: int, seconds: float) -> str:
    """Notes that it ran, so that a second time is seen, and takes a while."""
    return (
        f"import os, time\nfd = os.open({marks + '/run'!r} + str({number}), os.O_CREAT | os.O_APPEND | os.O_WRONLY)\n"
        f"os.write(fd, b'x')\ntime.sleep({seconds})\nprint('value', {number} + 40)"
    )


def model(marks: str, seconds: float, job: bool) -> ScriptedModel:
    """Two delegations, an ordinary tool and a job at once; then the answer says what it was shown."""

    def reply(messages: Sequence[BaseMessage]) -> Reply:
        question = max(index for index, one in enumerate(messages) if one.type == "human" and one.name is None)
        turn = messages[question:]
        if turn[0].text != "go":
            return says("noted")
        told = [one.text for one in turn if isinstance(one, ToolMessage)]
        if told:
            found = sum(f"value {number + 40}" in text for number in range(RUNS) for text in told)
            return says(f"{found} of {RUNS} values")
        work = [delegates(code(marks, number, seconds)) for number in range(RUNS)]
        return together(*work, calls(("note", {})), *([calls(("start_databricks_job", ORDER))] if job else []))

    return ScriptedModel.by(reply)


ORDER = {"user_request": "report"}


def open_child(given: dict[str, Any]) -> Agent:
    marks = given["marks"]

    @tool
    def note() -> str:
        """An ordinary tool: at least once."""
        with Path(marks, "tool").open("a") as file:
            file.write("x")
        return "noted"

    settings = Settings.model_validate(
        {
            "home": given["home"],
            "data": {"sample": False},
            "tracing": {"enabled": False},
            "checkpointer": given["checkpointer"],
            "limits": given.get("limits", {}),
            "jobs_folder": given["jobs_folder"],
        }
    )
    base = model(marks, given["seconds"], given["job"])
    return open_agent(settings, base_model=base, sub_model=base, tools=[note], secrets=os.environ.get)


def main() -> None:
    given = json.loads(sys.argv[1])
    with open_child(given) as agent:
        print("open", flush=True)
        if room := given.get("file_bytes"):
            fill(agent, given, room)
        result = agent.ask(Request(given["question"], thread_id=given["thread"], request_id=given["request"]))
        told = {"end": result.end, "status": result.status, "text": result.response_text}
        told |= {"error": result.fatal_error_msg, "valid": is_valid(agent.messages(given["thread"]))}
        print(json.dumps(told), flush=True)
        if given.get("wait"):
            sys.stdin.read()


def fill(agent: Agent, given: dict[str, Any], room: int) -> None:
    """Ask while no file can grow beyond `room` bytes, as on a full disk; then there is room again."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        agent.ask(Request(given["question"], thread_id=given["thread"], request_id=given["request"]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def is_valid(messages: Sequence[BaseMessage]) -> bool:
    """Whether every call has one answer, right after it, and the thread ends with the model's words."""
    open_calls: set[str | None] = set()
    for message in messages:
        if isinstance(message, ToolMessage):
            if message.tool_call_id not in open_calls:
                return False
            open_calls.remove(message.tool_call_id)
        elif open_calls:
            return False
        elif isinstance(message, AIMessage):
            open_calls = {call["id"] for call in [*message.tool_calls, *message.invalid_tool_calls]}
    return bool(messages) and not open_calls and isinstance(messages[-1], AIMessage)


if __name__ == "__main__":
    main()
