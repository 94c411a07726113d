"""The commands of the chat. A new one is a function and a line in SLASH."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from agent.settings.keys import nearest
from agent.terminal.rendering import format_usage
from agent.terminal.tables import show_rows
from graph.errors import InvalidRequest

if TYPE_CHECKING:
    from agent.terminal.chat import Chat


@dataclass(frozen=True)
class Command:
    """`run` takes the chat and what stands behind the command's name."""

    run: Callable[[Chat, str], None]
    about: str
    takes: str = ""


def run_command(chat: Chat, line: str) -> None:
    """Raises InvalidRequest for a command that is not there, or called wrongly."""
    name, _, rest = line[1:].strip().partition(" ")
    if name not in SLASH:
        near = nearest(name, list(SLASH))
        hint = f"did you mean /{near}?" if near else "/help shows which there are."
        raise InvalidRequest(f"There is no command /{name}; {hint} With a blank in front it is a question.")
    SLASH[name].run(chat, rest.strip())


def help_(chat: Chat, rest: str) -> None:
    rows = [(f"/{name} {command.takes}".strip(), command.about) for name, command in SLASH.items()]
    show_rows(("command", "what it does"), rows, console=chat.console)
    chat.say("Anything else is a question. Alt-Enter starts a new line; pasted text may have many.", "dim")


def threads(chat: Chat, rest: str) -> None:
    from agent.terminal.threads import latest

    rows = latest(chat.agent.threads(), 20)
    show_rows(("thread", "turns", "latest", "first question"), rows, console=chat.console)


def thread(chat: Chat, rest: str) -> None:
    from agent.terminal.chat import go_on

    if rest:
        go_on(chat, rest)
    else:
        chat.say(f"thread {chat.thread_id}")


def new(chat: Chat, rest: str) -> None:
    chat.thread_id, chat.pending, chat.turns = str(uuid4()), {}, 0
    chat.say(f"A new thread: {chat.thread_id}", "dim")


def data(chat: Chat, rest: str) -> None:
    """Each source with its tables and rows."""
    sources: dict[str, list[int]] = {}
    for table in chat.agent.catalog.tables():
        sources.setdefault(str(table.source), []).append(table.rows or 0)
    rows = [(source, len(counts), sum(counts)) for source, counts in sources.items()]
    if text := chat.loaded.settings.data.text:
        rows.append((f"{text} (text)", 0, 0))
    show_rows(("source", "tables", "rows"), rows, console=chat.console)


def tables(chat: Chat, rest: str) -> None:
    from agent.terminal.data import show_tables

    show_tables(chat.agent.catalog, rest, console=chat.console)


def artifacts(chat: Chat, rest: str) -> None:
    from agent.terminal.artifacts import COLUMNS, rows

    own = [one for one in chat.agent.artifacts.list() if one.thread_id == chat.thread_id]
    show_rows(COLUMNS, rows(own), console=chat.console)


def show(chat: Chat, rest: str) -> None:
    from agent.terminal.artifacts import find_artifact, show_summary

    if not rest:
        raise InvalidRequest("/show needs an artifact id; /artifacts lists this thread's.")
    summary = find_artifact(chat.agent.artifacts, rest)
    show_summary(summary, chat.agent.artifacts.folder(summary.artifact_id), chat.console)


def state(chat: Chat, rest: str) -> None:
    kept = dict(chat.agent.threads().state(chat.thread_id).get("session", {}))
    kept |= chat.agent.scopes.shared(chat.loaded.settings.user_id)
    rows = [(key, format_value(value), "kept") for key, value in kept.items()]
    rows += [(key, format_value(value), "with the next question") for key, value in chat.pending.items()]
    show_rows(("key", "value", "when"), rows, console=chat.console)


def set_(chat: Chat, rest: str) -> None:
    """The value is JSON when it can be read so, else a text; without a value the key is deleted."""
    key, _, value = rest.partition(" ")
    if not key:
        raise InvalidRequest("/set needs a key and a value, such as /set user:currency EUR")
    chat.pending[key] = parse_value(value) if value else None
    chat.say(f"{key} goes with the next question.", "dim")


def parse_value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def format_value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def cancel(chat: Chat, rest: str) -> None:
    told = chat.agent.cancel(chat.thread_id)
    chat.say("The turn was told to stop." if told else "No turn runs on this thread.", "dim")


def config(chat: Chat, rest: str) -> None:
    from agent.terminal.configuration import show

    show(chat.loaded, console=chat.console)


def cost(chat: Chat, rest: str) -> None:
    chat.say(f"{chat.asked} turn{'s' * (chat.asked != 1)} · {format_usage(chat.spent)}")


def quit_(chat: Chat, rest: str) -> None:
    chat.leaving = True


SLASH: dict[str, Command] = {
    "help": Command(help_, "show the commands"),
    "threads": Command(threads, "list the latest threads"),
    "thread": Command(thread, "show this thread's id, or go on with another", "[id]"),
    "new": Command(new, "begin a new thread"),
    "data": Command(data, "show where the data is from"),
    "tables": Command(tables, "list the tables", "[part of a name]"),
    "artifacts": Command(artifacts, "list what this thread's delegations left"),
    "show": Command(show, "show an artifact: code, output, digest", "artifact"),
    "state": Command(state, "show the state that is kept"),
    "set": Command(set_, "set state for the next question (user:, app:, temp: or the thread's)", "key [value]"),
    "cancel": Command(cancel, "cancel the turn that runs on this thread, wherever it runs"),
    "config": Command(config, "show what is set, and from where"),
    "cost": Command(cost, "show what this sitting used"),
    "quit": Command(quit_, "leave"),
}
