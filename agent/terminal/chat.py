"""The chat: a line, a turn, a line. While the first question is typed, the agent is opened behind it."""

from __future__ import annotations

import os
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import HTML
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings
from rich.console import Console
from rich.text import Text

from agent.home import make_home
from agent.terminal.asking import named_source, thread_named
from agent.terminal.logfile import log_to
from agent.terminal.options import Options, load
from graph.errors import AgentError, InvalidRequest
from graph.types import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.config import Loaded
    from agent.core import Agent
    from agent.data.source import DataSource
    from agent.terminal.displays import Display

HISTORY = "history"
WELCOME = "Ask about your data. /help shows the commands, Ctrl-C cancels, Ctrl-D leaves."


@dataclass
class Chat:
    """One sitting. `source` is the data that the command line named, `pending` state that goes with the next question;
    `turns` are the thread's, `asked` and `spent` sum up the sitting's.
    """

    loaded: Loaded
    opening: Future[Agent]
    console: Console
    thread_id: str = field(default_factory=lambda: str(uuid4()))
    source: DataSource | None = None
    pending: dict[str, Any] = field(default_factory=dict)
    spent: Usage = field(default_factory=Usage)
    turns: int = 0
    asked: int = 0
    leaving: bool = False

    @property
    def agent(self) -> Agent:
        """Waits until it is open. Raises what opening raised."""
        if not self.opening.done():
            with self.console.status("Opening …"):
                return self.opening.result()
        return self.opening.result()

    def take(self, line: str) -> None:
        """A command when it starts with a slash, else a question. What goes wrong is said in one line."""
        from agent.terminal.slash import run_command
        from checkpointers.errors import StoreError

        if self.opening.done() and self.opening.exception() is not None:
            self.opening.result()
        try:
            if line.startswith("/"):
                run_command(self, line)
            elif line.strip():
                self.ask(line)
        except (AgentError, StoreError) as error:
            if self.opening.done() and self.opening.exception() is error:
                raise
            self.say(" ".join(str(error).split()), "red")

    def ask(self, question: str) -> None:
        from agent.core import Request
        from agent.terminal.turn import follow
        from agent.tracing.turns import run_with_trace

        request = Request(question, self.thread_id, state=self.pending, source=self.source)
        result = follow(partial(run_with_trace, self.agent), request, self.display())
        self.pending = {}
        self.thread_id = result.thread_id
        self.spent, self.asked, self.turns = self.spent + result.usage, self.asked + 1, self.turns + 1

    def display(self) -> Display:
        from agent.terminal.displays import LiveDisplay, count_figures

        artifacts = self.agent.artifacts
        return LiveDisplay(self.console, artifacts.folder, figures=partial(count_figures, artifacts))

    def say(self, text: str, style: str = "default") -> None:
        self.console.print(Text(text, style=style))

    def status(self) -> HTML:
        """The line below the prompt."""
        model = self.loaded.settings.base_model.name
        parts = [f"thread {self.thread_id[:8]}", f"model {model}", f"{self.turns} turn{'s' * (self.turns != 1)}"]
        if not self.opening.done():
            parts.append("opening …")
        elif (error := self.opening.exception()) is not None:
            parts = [f"can't open: {' '.join(str(error).split())}"]
        return HTML("{}").format(" · ".join(parts))


def chat(options: Options) -> int:
    """Talk until Ctrl-D or /quit. Raises what opening raises: AgentError, StoreError, SettingsError."""
    if not sys.stdout.isatty() or options.json or options.json_events:
        raise InvalidRequest('A chat needs a terminal; give a question: python main.py "How many vendors are there?"')
    loaded = load(options)
    make_home(loaded.settings.home)
    log_to(loaded.settings.logs_path, loaded.settings.logs.level)
    console = Console(highlight=False)
    with ThreadPoolExecutor(1, thread_name_prefix="opening") as worker:
        sitting = Chat(loaded, worker.submit(open_agent_for, loaded), console)
        sitting.source = named_source(options, loaded.settings)
        try:
            if (thread := thread_named(options, lambda: sitting.agent.threads())) is not None:
                go_on(sitting, thread)
            converse(sitting, session_for(sitting))
        finally:
            close(sitting.opening)
    return 0


def open_agent_for(loaded: Loaded) -> Agent:
    from agent.core import open_agent
    from agent.tracing.turns import prepare

    agent = open_agent(loaded.settings, secrets=os.environ.get)
    prepare(loaded.settings)
    return agent


def close(opening: Future[Agent]) -> None:
    """An agent that could not be opened needs no closing."""
    if opening.exception() is None:
        from agent.tracing.turns import flush

        opening.result().close()
        flush()


def go_on(sitting: Chat, text: str) -> None:
    from agent.terminal.threads import show_exchanges

    threads = sitting.agent.threads()
    thread_id = threads.find(text)
    said = threads.exchanges(thread_id)
    sitting.thread_id, sitting.turns = thread_id, len(said)
    show_exchanges(thread_id, said, sitting.console)


def converse(sitting: Chat, session: PromptSession[str]) -> None:
    sitting.say(WELCOME, "dim")
    while not sitting.leaving:
        try:
            sitting.take(session.prompt())
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


def session_for(sitting: Chat, **more: Any) -> PromptSession[str]:
    """The line to type in: with history, several lines by pasting or Alt-Enter, commands completed."""
    keys = KeyBindings()

    @keys.add("escape", "enter")
    def _(event: Any) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-c")
    def _(event: Any) -> None:
        event.current_buffer.reset()

    return PromptSession(
        HTML("<b>› </b>"),
        history=FileHistory(str(sitting.loaded.settings.home / HISTORY)),
        completer=Commands(),
        complete_while_typing=True,
        key_bindings=keys,
        bottom_toolbar=sitting.status,
        refresh_interval=0.5,
        reserve_space_for_menu=4,
        **more,
    )


class Commands(Completer):
    """Completes the name of a command."""

    def get_completions(self, document: Document, complete_event: Any) -> Iterable[Completion]:
        from agent.terminal.slash import SLASH

        text = document.text_before_cursor
        if text.startswith("/") and " " not in text:
            for name, command in SLASH.items():
                if name.startswith(text[1:]):
                    yield Completion(f"/{name}", -len(text), display_meta=command.about)
