from __future__ import annotations

from typing import Any

from graph.state import AgentState


def entry(state: AgentState) -> dict[str, Any]:
    """Take in a request: forget the delegations of earlier turns, except those that still run."""
    turn = state["turn"].request_id
    over = {key: None for key, d in state.get("delegations", {}).items() if not d.running and d.request_id != turn}
    return {"delegations": over}
