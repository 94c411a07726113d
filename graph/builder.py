"""The machine, drawn up: `(entry →) analyst ⇄ (delegation ∥ tools)`, and within a delegation its three stages."""

from __future__ import annotations

from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import RetryPolicy

from graph.context import RunContext
from graph.errors import BackendUnavailable
from graph.nodes.analyst import analyst
from graph.nodes.delegated import delegated
from graph.nodes.entry import entry
from graph.nodes.executed import executed
from graph.nodes.processed import processed
from graph.nodes.tools import tools
from graph.routing import after_analyst, after_delegated, after_entry, after_executed, first_node, first_stage
from graph.state import AgentState, Answer, CallState, DelegationState

UNREACHABLE = RetryPolicy(max_attempts=3, initial_interval=0.5, retry_on=BackendUnavailable)


def build_delegation() -> CompiledStateGraph[Any, Any, Any, Any]:
    """delegated → executed → processed. A rejection and a run that outlives the deadline leave early."""
    builder = StateGraph(DelegationState, context_schema=RunContext, output_schema=Answer)
    builder.add_node("delegated", delegated)
    builder.add_node("executed", executed, retry_policy=UNREACHABLE)
    builder.add_node("processed", processed)
    builder.add_conditional_edges(START, first_stage, ["delegated", "executed"])
    builder.add_conditional_edges("delegated", after_delegated, ["executed", END])
    builder.add_conditional_edges("executed", after_executed, ["processed", END])
    builder.add_edge("processed", END)
    return builder.compile()


def build_graph(saver: BaseCheckpointSaver[Any] | None = None) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The whole machine. Without a saver nothing outlives an `invoke`."""
    builder = StateGraph(AgentState, context_schema=RunContext)
    builder.add_node("entry", entry)
    builder.add_node("analyst", analyst)
    builder.add_node("delegation", build_delegation())
    builder.add_node("tools", tools, input_schema=CallState)
    builder.add_conditional_edges(START, first_node, ["entry", "analyst"])
    builder.add_conditional_edges("entry", after_entry, ["delegation", "analyst"])
    builder.add_conditional_edges("analyst", after_analyst, ["delegation", "tools", "analyst", END])
    builder.add_edge("delegation", "analyst")
    builder.add_edge("tools", "analyst")
    return builder.compile(checkpointer=saver, name="rlm-agent")


def draw() -> str:
    """The machine as a mermaid diagram, drawn from the graph itself."""
    picture = build_graph().get_graph(xray=1).draw_mermaid(with_styles=False)
    return picture.replace("delegation\\3a__", "stages__").replace("delegation\\3a", "").replace("\t", "    ").strip()
