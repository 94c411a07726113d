"""What code may tell, and ask, of the request that it runs for."""

from __future__ import annotations

from typing import Any

from agent.execution.inside.line import Line


class Request:
    def __init__(self, line: Line) -> None:
        self._line = line

    def progress(self, done: int, total: int) -> None:
        """Tell whoever watches how far the code is."""
        self._line.ask("progress", done=int(done), total=int(total))

    def budget(self) -> dict[str, Any]:
        """What is left for models: tokens_left and usd_left (None: no limit), and what was spent so far."""
        told: dict[str, Any] = self._line.ask("budget")[1]["budget"]
        return told
