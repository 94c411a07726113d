"""How a tool of ours is made: named, described, with typed arguments, and with errors that the model can act on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from pydantic import BaseModel, ValidationError

from graph.context import RunContext


def make_tool(
    name: str, description: str, arguments: type[BaseModel], function: Callable[..., str], return_direct: bool = False
) -> BaseTool:
    """What `function` raises as ToolException, and arguments that don't fit, are answers with status `error`."""
    return StructuredTool.from_function(
        function,
        name=name,
        description=description,
        args_schema=arguments,
        return_direct=return_direct,
        handle_tool_error=True,
        handle_validation_error=explain,
    )


def explain(error: Any) -> str:
    """A validation error in one line for each argument that is wrong."""
    if not isinstance(error, ValidationError):
        return f"The arguments don't fit: {error}"
    lines = (f"{'.'.join(map(str, item['loc'])) or 'arguments'}: {item['msg']}" for item in error.errors())
    return "The arguments don't fit. " + "; ".join(lines) + ". Call again with these corrected."


def thread_of(config: RunnableConfig) -> str:
    """The thread on which the tool was called. Raises ToolException outside of a thread."""
    thread_id = (config.get("configurable") or {}).get("thread_id")
    if not thread_id:
        raise ToolException("This tool works inside a conversation only: there is no thread_id.")
    return str(thread_id)


def cancellation() -> threading.Event:
    """Set when the request is cancelled; outside of a run of the graph nothing sets it."""
    from langgraph.runtime import get_runtime

    try:
        runtime: Any = get_runtime(RunContext)
    except RuntimeError:
        return threading.Event()
    return runtime.context.cancelled if runtime and runtime.context else threading.Event()


def call_key_of(config: RunnableConfig) -> str | None:
    """A text that is the same when this call is made again after a crash, and another for every other call.

    A tool that does something outside hands it on, as an idempotency key, or looks first whether it was done.
    """
    key = (config.get("configurable") or {}).get("call_key")
    return str(key) if key else None


def begin_once(config: RunnableConfig, key: str, begin: Callable[[], str], found: Callable[[], str | None]) -> str:
    """`begin()` at most once on the thread, whichever home asks; asked again, what `found()` says that it came to.

    `begin` must be safe to call again in the home that has begun. Raises ToolException when it was begun elsewhere.
    """
    configurable = config.get("configurable") or {}
    claims, place = configurable.get("claims"), configurable.get("place", "")
    if claims is None or claims.claim(key, place) or claims.claimed(key) == place:
        return begin()
    if (known := found()) is not None:
        return known
    raise ToolException(f"It was begun before, in {claims.claimed(key)}, and is not begun again here.")
