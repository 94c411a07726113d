"""One question, one answer, one exit code."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.terminal.exit_codes import PARTIAL, REFUSED
from agent.terminal.options import Options, load
from agent.terminal.piped import keep_piped
from graph.errors import InvalidRequest
from graph.types import ConversationResult

if TYPE_CHECKING:
    from agent.config import Settings
    from agent.core import Agent
    from agent.data.source import DataSource
    from agent.terminal.displays import Display
    from agent.threads import Threads


def ask_once(options: Options, words: str) -> int:
    """Answer on standard output. Raises what can't be served: AgentError, StoreError, SettingsError.

    With a question, what is piped is the text that it is about.
    """
    question = sys.stdin.read() if words == "-" else words
    if not question.strip():
        raise InvalidRequest('There is no question: python main.py "How many vendors are there?"')
    quiet = options.json or options.json_events or options.quiet
    settings = load(options).settings
    if words != "-" and options.text is None:
        options = replace(options, text=keep_piped(settings.home, (lambda text: None) if quiet else beside))
        settings = load(options).settings
    from agent.core import Request, open_agent
    from agent.home import make_home
    from agent.terminal.data import loading_lines, tell_progress
    from agent.terminal.logfile import log_to
    from agent.terminal.turn import follow

    make_home(settings.home)
    log_to(settings.logs_path, settings.logs.level)
    on_progress = tell_progress((lambda text: None) if quiet else beside)
    with open_agent(settings, secrets=os.environ.get, on_progress=on_progress) as agent:
        if options.data and not quiet:
            for line in loading_lines(agent.catalog):
                beside(line)
        thread_id, source = thread_named(options, agent.threads), named_source(options, settings)
        request = Request(question, thread_id, source=source, schema=schema_in(options.schema))
        result = follow(agent.run, request, display_for(options, agent))
    if result.end == "run_running":
        beside("This command has ended, and the run with it: a chat waits for it, or raise limits.request_deadline.")
        return PARTIAL
    return exit_code(result, spoken=quiet)


def schema_in(file: Path | None) -> Mapping[str, Any] | None:
    """The JSON schema that the answer has to fit. Raises InvalidRequest."""
    if file is None:
        return None
    try:
        schema: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"--schema {file}: {getattr(error, 'strerror', None) or error}") from error
    if not isinstance(schema, dict):
        raise InvalidRequest(f"--schema {file}: a JSON schema is an object")
    return schema


def beside(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - the command line


def thread_named(options: Options, threads: Callable[[], Threads]) -> str | None:
    """The thread to go on with: the one named, or with `-c` the last; None for a new one. Raises InvalidRequest."""
    if options.thread:
        return threads().find(options.thread)
    if not options.last:
        return None
    latest = threads().latest(1)
    if not latest:
        raise InvalidRequest("There is no thread to go on with: ask without -c first.")
    return latest[0].thread_id


def named_source(options: Options, settings: Settings) -> DataSource | None:
    """The data that the command line names; None leaves it to the thread."""
    from agent.core import source_of

    return source_of(settings) if options.data or options.text else None


def display_for(options: Options, agent: Agent) -> Display:
    from agent.terminal.displays import JsonDisplay, LineDisplay, LiveDisplay, count_figures

    locate, figures = agent.artifacts.folder, partial(count_figures, agent.artifacts)
    if options.json or options.json_events:
        return JsonDisplay(sys.stdout, locate, options.json_events, figures=figures)
    if sys.stdout.isatty() and not options.quiet:
        from rich.console import Console

        return LiveDisplay(Console(highlight=False), locate, figures=figures)
    return LineDisplay(sys.stdout, None if options.quiet else sys.stderr, locate, figures=figures)


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
