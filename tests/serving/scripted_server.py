"""`serve` over a scripted model, as a process of its own: python -m tests.serving.scripted_server SETTINGS_JSON

The model is asked in words that say what it does:
    run: CODE         delegates CODE, then answers with what it was told of it
    both: A | B       delegates A and B in one reply
    say: WORDS        says them
    fail: WORDS       can't be reached, for that reason
    told?             says what it was instructed to do by the application, and all that was said before
    anything else     says how many of the person's messages it was shown, and the last one
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage

from agent.config import Settings
from agent.models.scripted import Reply, ScriptedModel, delegates, fails, says, together
from agent.serving.server import HEADER_SECONDS, serve
from graph.errors import ModelUnavailable


def answer(messages: Sequence[BaseMessage]) -> Reply:
    told = [message.text for message in messages[-2:] if isinstance(message, ToolMessage)]
    if isinstance(messages[-1], ToolMessage):
        return says(" and ".join(f"It said: {text}" for text in told))
    asked = [message.text for message in messages if isinstance(message, HumanMessage)]
    kind, _, rest = asked[-1].partition(": ")
    if kind == "run":
        return delegates(rest, text="Let me run it.")
    if kind == "both":
        return together(*(delegates(code) for code in rest.split(" | ")))
    if kind == "say":
        return says(rest)
    if kind == "fail":
        return fails(ModelUnavailable(rest))
    if kind == "told?":
        instructed = messages[0].text.rpartition("\n\n")[2]
        return says(f"{instructed} | {' / '.join(message.text for message in messages[1:-1])}")
    return says(f"Message {len(asked)}: {asked[-1]}")


def announce(url: str) -> None:
    print(url, flush=True)


if __name__ == "__main__":
    model = ScriptedModel.by(answer, latency=0.02)
    patience = float(os.environ.get("HEADER_SECONDS", HEADER_SECONDS))
    settings = Settings.model_validate(json.loads(sys.argv[1]))
    serve(settings, announce, patience, base_model=model, sub_model=model)
