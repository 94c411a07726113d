"""One question, one answer, one exit code."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from agent.terminal.exit_codes import INTERRUPTED, OK, PARTIAL, REFUSED
from agent.terminal.options import Options, load
from graph.errors import InvalidRequest
from graph.types import ConversationResult

if TYPE_CHECKING:
    from agent.core import Agent
    from agent.terminal.displays import Display

WELL_ENDED = ("answer", "exit_loop", "job_started", "run_running")


def ask_once(options: Options, words: str) -> int:
    """Answer on standard output. Raises what can't be served: AgentError, StoreError, SettingsError."""
    question = sys.stdin.read() if words == "-" else words
    if not question.strip():
        raise InvalidRequest('There is no question: python main.py "How many vendors are there?"')
    settings = load(options).settings
    from agent.core import Request, open_agent
    from agent.platforms.local.composition import prepared
    from agent.terminal.logfile import log_to
    from agent.terminal.threads import found
    from agent.terminal.turn import follow

    log_to(prepared(settings.home))
    with open_agent(settings, secrets=os.environ.get) as agent:
        thread_id = found(agent.saver, options.thread) if options.thread else None
        result = follow(agent.run, Request(question, thread_id), display_for(options, agent))
    return exit_code(result, spoken=options.json or options.json_events or options.quiet)


def display_for(options: Options, agent: Agent) -> Display:
    from agent.terminal.displays import JsonDisplay, LineDisplay, LiveDisplay

    locate = agent.artifacts.folder
    if options.json or options.json_events:
        return JsonDisplay(sys.stdout, locate, options.json_events)
    if sys.stdout.isatty() and not options.quiet:
        from rich.console import Console

        return LiveDisplay(Console(highlight=False), locate)
    return LineDisplay(sys.stdout, None if options.quiet else sys.stderr, locate)


def exit_code(result: ConversationResult, spoken: bool) -> int:
    """`spoken`: nobody was told yet on standard error why a turn failed."""
    if result.end == "cancelled":
        return INTERRUPTED
    if result.status == "fatal_error":
        if spoken:
            print(" ".join((result.fatal_error_msg or "").split()), file=sys.stderr)  # noqa: T201 - the command line
        return REFUSED
    return OK if result.end in WELL_ENDED else PARTIAL
