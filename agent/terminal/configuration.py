"""What is set and from where. Secrets are not settings, and what looks like one is not shown."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from agent.redaction.secrets import redact_text
from agent.terminal.tables import show_rows

if TYPE_CHECKING:
    from rich.console import Console

    from agent.config import Loaded

SHOWN_CHARS = 60


def show(loaded: Loaded, as_json: bool = False, console: Console | None = None) -> None:
    rows = [(key, format_setting(value, as_json), where) for key, value, where in loaded.rows()]
    rows += [(f"${name}", "set" if os.environ.get(name) else "not set", key) for key, name in variables(loaded)]
    rows += [(name, "no effect", reason) for name, reason in loaded.ignored.items()]
    show_rows(("key", "value", "from"), rows, as_json, console)


def variables(loaded: Loaded) -> list[tuple[str, str]]:
    """The variables that the settings name for secrets."""
    return [(key, value) for key, value, _ in loaded.rows() if key.endswith("_env") and value]


def format_setting(value: Any, whole: bool) -> Any:
    if isinstance(value, list):
        value = [redact_text(str(item)) for item in value]
        return value if whole else ", ".join(value)
    if isinstance(value, str):
        value = redact_text(value)
        return value if whole or len(value) <= SHOWN_CHARS else value[: SHOWN_CHARS - 1] + "…"
    return value if whole or value is not None else "-"
