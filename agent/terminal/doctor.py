"""What is set, reachable and missing, each with its cure. What is looked at is the platform's CHECKS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from agent.platforms.checks import Check, Finding
from agent.terminal.exit_codes import OK, REFUSED
from agent.terminal.options import Options, load
from agent.terminal.tables import show_rows
from checkpointers.errors import StoreError
from graph.errors import AgentError

if TYPE_CHECKING:
    from agent.config import Loaded
    from agent.platforms.parts import Given

COLUMNS = ("check", "state", "found", "what to do")
STYLES = {"ok": "green", "missing": "yellow", "broken": "red"}


def examine(options: Options, console: Any = None) -> int:
    """2 when something is broken, else 0."""
    from agent.platforms import checks_of
    from agent.platforms.parts import Given

    loaded = load(options)
    rows: list[tuple[str, Finding]] = [("settings", one) for one in ignored(loaded)]
    for check in checks_of(loaded.settings):
        rows += [(check.name, one) for one in findings(check, loaded, Given(secrets=os.environ.get))]
    show_findings(rows, options, console)
    return REFUSED if any(one.state == "broken" for _, one in rows) else OK


def ignored(loaded: Loaded) -> Iterator[Finding]:
    for name, reason in loaded.ignored.items():
        yield Finding("missing", f"{name} has no effect: {reason}", f"unset {name}")


def findings(check: Check, loaded: Loaded, given: Given) -> list[Finding]:
    """What can't be served is what a check is there to find."""
    try:
        return list(check.look(loaded.settings, given))
    except (AgentError, StoreError, OSError) as error:
        return [Finding("broken", " ".join(str(error).split()))]


def show_findings(rows: list[tuple[str, Finding]], options: Options, console: Any = None) -> None:
    from rich.console import Console
    from rich.text import Text

    console = console or Console(highlight=False)
    if options.json or not console.is_terminal:
        show_rows(COLUMNS, [(name, one.state, one.found, one.cure) for name, one in rows], options.json, console)
        return
    for name, one in rows:
        line = Text().append(f"{one.state:8}", style=STYLES[one.state]).append(f"{name:9}", style="bold")
        console.print(line.append(one.found), soft_wrap=True)
        if one.cure:
            console.print(Text(f"{'':17}→ {one.cure}", style="dim"), soft_wrap=True)
