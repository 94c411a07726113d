"""One question, one answer, one exit code."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from agent.terminal.exit_codes import REFUSED
from agent.terminal.options import Options, load
from graph.errors import InvalidRequest
from graph.types import ConversationResult

if TYPE_CHECKING:
    from agent.config import Settings
    from agent.core import Agent
    from agent.data.source import DataSource
    from agent.terminal.displays import Display


def ask_once(options: Options, words: str) -> int:
    """Answer on standard output. Raises what can't be served: AgentError, StoreError, SettingsError."""
    question = sys.stdin.read() if words == "-" else words
    if not question.strip():
        raise InvalidRequest('There is no question: python main.py "How many vendors are there?"')
    settings = load(options).settings
    from agent.core import Request, open_agent
    from agent.home import make_home
    from agent.terminal.logfile import log_to
    from agent.terminal.turn import follow

    log_to(make_home(settings.home))
    with open_agent(settings, secrets=os.environ.get) as agent:
        thread_id = agent.threads().find(options.thread) if options.thread else None
        result = follow(
            agent.run, Request(question, thread_id, source=named_source(options, settings)), display_for(options, agent)
        )
    return exit_code(result, spoken=options.json or options.json_events or options.quiet)


def named_source(options: Options, settings: Settings) -> DataSource | None:
    """The data that the command line names; None leaves it to the thread."""
    from agent.core import source_of

    return source_of(settings) if options.data or options.text else None


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
    if result.status == "fatal_error":
        if spoken:
            print(" ".join((result.fatal_error_msg or "").split()), file=sys.stderr)  # noqa: T201 - the command line
        return REFUSED
    from graph.endings import ENDS

    if result.end == "run_running":
        note = "The run ended with this program; ask in the chat, or raise limits.request_deadline, to wait for it."
        print(note, file=sys.stderr)  # noqa: T201 - the command line
    return ENDS[result.end].exit_code
