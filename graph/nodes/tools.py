from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from langchain_core.messages import ToolCall, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime

from graph.context import RunContext
from graph.errors import Cancelled, OutOfTime
from graph.events import CallAnswered
from graph.state import CallState
from graph.waiting import wait_for

ANSWER_CHARS = 20_000


def tools(state: CallState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Answer one tool call that is no delegation."""
    ctx, call = runtime.context, state["call"]
    ctx.records.telemetry("before_tool", tool_name=call["name"], function_call_id=call["id"], payload=call["args"])
    message = answer(ctx, call, config_of(ctx, state))
    ok = message.status != "error"
    ctx.emit(CallAnswered(call["id"] or "", call["name"], ok, message.text))
    callback = "after_tool" if ok else "on_tool_error"
    payload = {"answer": message.text[:2_000]}
    ctx.records.telemetry(callback, tool_name=call["name"], function_call_id=call["id"], payload=payload)
    return {"messages": [message]}


def config_of(ctx: RunContext, state: CallState) -> RunnableConfig:
    """The call's config. `call_key` in its `configurable` is the same when the call is made again after a crash, and
    another for every other call; `claims` and `place` are what begins things at most once.
    """
    config = get_config()
    own = {"call_key": key_of(ctx, state), "claims": ctx.claims, "place": ctx.place}
    return {**config, "configurable": {**config.get("configurable", {}), **own}}


def key_of(ctx: RunContext, state: CallState) -> str:
    call = state["call"]
    arguments = json.dumps(call["args"], sort_keys=True, default=str)
    step = str((get_config().get("metadata") or {}).get("langgraph_step", ""))
    parts = (ctx.thread_id, step, call["id"] or "", call["name"], arguments)
    return sha256("\x00".join(parts).encode(errors="surrogatepass")).hexdigest()


def answer(ctx: RunContext, call: ToolCall, config: RunnableConfig) -> ToolMessage:
    """The tool's message. A tool is an edge to the outside: whatever it raises becomes an answer the model can read."""
    if ctx.cancelled.is_set():
        return error_message(call, "The request was cancelled before this call was made.")
    tool = ctx.tools[call["name"]]
    try:
        message: ToolMessage = wait_for(ctx, lambda: tool.invoke({**call, "type": "tool_call"}, config))
    except GraphBubbleUp:
        raise
    except (Cancelled, OutOfTime) as error:
        return error_message(call, f"{error}: whether {call['name']} did what it was called for is not known.")
    except Exception as error:  # noqa: BLE001
        return error_message(call, f"{call['name']} failed: {type(error).__name__}: {error}")
    if isinstance(message.content, str) and len(message.content) > ANSWER_CHARS:
        message.content = f"{message.content[:ANSWER_CHARS]}\n... ({len(message.content):,} characters, cut) ..."
    return message


def error_message(call: ToolCall, text: str) -> ToolMessage:
    return ToolMessage(text, tool_call_id=call["id"], name=call["name"], status="error")
