"""One turn in databricks mode, in a process of its own that can be killed: prints each event as a line of JSON.

The scripted analyst asks for two delegations, a Genie answer and a background job in one reply, and then answers with
what it was shown. It decides by the messages, so that a process that goes on with the turn says the same.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from time import time
from typing import Any

from langchain_core.messages import BaseMessage, ToolMessage

from agent.config import load_settings
from agent.core import Request, open_agent
from agent.models.scripted import Reply, ScriptedModel, calls, delegates, says, together

PARTS = ("even", "odd")
COUNT = """
import time
print("counting", flush=True)
time.sleep({seconds})
result = {{"part": "{part}", "rows": spark.sql("SELECT * FROM {table} WHERE id % 2 = {rest}").count()}}
"""


def script(table: str, seconds: float) -> ScriptedModel:
    def reply(messages: Sequence[BaseMessage]) -> Reply | str:
        answers = [message for message in messages if isinstance(message, ToolMessage)]
        if answers:
            return says(
                " | ".join(sorted(f"{one.name}: {' '.join(str(one.content).split())[:160]}" for one in answers))
            )
        return together(
            delegates(
                COUNT.format(seconds=seconds, part="even", table=table, rest=0), instruction="Say the number of rows."
            ),
            delegates(
                COUNT.format(seconds=seconds, part="odd", table=table, rest=1), instruction="Say the number of rows."
            ),
            calls(("query_genie", {"query": "How many orders are there?"})),
            calls(("start_databricks_job", {"user_request": "Count them overnight."})),
        )

    return ScriptedModel.by(reply)


def main(given: dict[str, Any]) -> None:
    loaded = load_settings(given["settings"], {}, {})
    model = script(given["table"], given["seconds"])
    with open_agent(loaded.settings, base_model=model, sub_model=ScriptedModel.by(lambda messages: "nothing")) as agent:
        request = Request("How many orders are there?", thread_id=given["thread"], request_id=given["request"])
        for event in agent.run(request):
            line = {"at": time(), "event": type(event).__name__, **asdict(event)}
            sys.stdout.write(json.dumps(line, default=str) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(json.load(sys.stdin))
