"""The ways in which a model's answer can break, as a provider's library hands them on, and what must come of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from agent.models.scripted import Call, Reply, calls, cuts, delegates, exits, fails, malformed, says, together
from graph.errors import BrokenOff, ModelUnavailable, TooLong, Withheld
from graph.types import DELEGATE

PRINT = "print('value', 6 * 7)"
LOST = BrokenOff("the connection was lost")
WHOLE = json.dumps({"code": PRINT})


def call(name: str, arguments: str, call_id: str | None = None) -> Reply:
    return Reply(calls=(Call(name, arguments, call_id),))


def broken(reply: Reply) -> Reply:
    return replace(reply, error=LOST)


def ways() -> Iterator[tuple[str, Reply]]:
    """Name and the first reply of a turn; every later reply of the model is whole."""
    for finish in ("length", "max_tokens", "MAX_TOKENS", "model_length", "lengthlength"):
        yield f"text cut by {finish}", cuts("The value is 4", finish)
    for finish in ("content_filter", "SAFETY", "refusal", "guardrail_intervened"):
        yield f"text cut by the filter ({finish})", cuts("The value is 4", finish)
    yield "stream lost before anything", fails(LOST)
    yield "stream lost after the first words", fails(LOST, after="The value is 4")
    yield "stream lost within a call", broken(malformed(DELEGATE, '{"code": "pri'))
    yield "stream lost between words and call", broken(together(says("Look:"), malformed(DELEGATE, '{"code"')))
    yield "stream lost after a whole call", broken(call(DELEGATE, WHOLE))
    yield "empty text", says("")
    yield "blank text", says(" \n\t ")
    yield "empty, cut by length", cuts("", "length")
    yield "call cut by length", replace(malformed(DELEGATE, '{"code": "print('), marks={"finish_reason": "length"})
    yield "arguments that are no JSON", malformed(DELEGATE, "print(1)")
    yield "arguments that are a list", malformed(DELEGATE, "[1, 2]")
    yield "arguments that are a text", malformed(DELEGATE, '"print(1)"')
    yield "arguments with a trailing word", malformed(DELEGATE, f"{WHOLE} done")
    yield "arguments twice", malformed(DELEGATE, WHOLE * 2)
    yield "arguments with a half character", call(DELEGATE, '{"code": "print(1) # \\ud800"}')
    yield "arguments nested 9,999 deep", malformed(DELEGATE, "[" * 9_999)
    yield "arguments nested 500 deep, whole", call("query_genie", '{"query": ' + "[" * 500 + "]" * 500 + "}")
    yield "no arguments", call(DELEGATE, "")
    yield "null arguments", malformed(DELEGATE, "null")
    yield "code that is a number", call(DELEGATE, '{"code": 7}')
    yield "code that is empty", call(DELEGATE, '{"code": ""}')
    yield "code that is not closed", delegates("'''never closed")
    yield "code with a null character", delegates("print(1)\0")
    yield "an unknown tool", calls(("run_python", {"code": PRINT}))
    yield "a tool without a name", call("", WHOLE)
    yield "a tool with a name of blanks and slashes", call("a b/c", WHOLE)
    yield "a call without an id", call(DELEGATE, WHOLE, "")
    yield "two calls with the same id", Reply(calls=(Call(DELEGATE, WHOLE, "same"), Call(DELEGATE, WHOLE, "same")))
    yield "an id of a thousand characters", call(DELEGATE, WHOLE, "x" * 1_000)
    yield "33 calls at once", together(*[delegates(f"print('value', {number})") for number in range(33)])
    yield "a whole call beside a broken one", together(delegates(PRINT), malformed(DELEGATE, "{"))
    yield "a call with arguments of the wrong kind", calls(("poll_databricks_job", {"run_id": {"a": 1}}))
    yield "a poll of a job that nobody started", calls(("poll_databricks_job", {"run_id": "1"}))
    yield "the end beside a delegation", together(says("Bye."), delegates(PRINT), exits())
    yield "text of a million characters", says("word " * 200_000)
    yield "a half character in the text", says("The value is \ud800 42")
    yield "control characters in the text", says("The value\x00\x1b[2J is 42")
    yield "too long a context, once", fails(TooLong("at most 4,096 tokens"))
    yield "a blocked question", fails(Withheld("the provider's filter blocked it"))
    yield "a model that is out", fails(ModelUnavailable("no key"))
    yield "an error of the library", fails(ValueError("unexpected"))
