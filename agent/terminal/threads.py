"""What can be done with saved conversations, on the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.terminal.options import Options, load
from agent.terminal.progress import cut, one_line, visible
from agent.terminal.tables import show_rows, size
from graph.errors import InvalidRequest

if TYPE_CHECKING:
    from agent.threads import Exchange, Threads
    from graph.types import Capsule

QUESTION_CHARS = 80
YES = ("y", "yes")


@contextmanager
def threads_of(options: Options) -> Iterator[Threads]:
    from agent.core import open_threads

    with open_threads(load(options).settings, secrets=os.environ.get) as threads:
        yield threads


def list_threads(options: Options, most: int) -> None:
    with threads_of(options) as threads:
        show_rows(("thread", "turns", "latest", "first question"), latest(threads, most), options.json)


def latest(threads: Threads, most: int) -> list[tuple[str, int, str, str]]:
    """Id, number of turns, time of the latest checkpoint and first question of the latest threads."""
    return [
        (
            one.thread_id,
            one.turns,
            f"{one.updated_at:%Y-%m-%d %H:%M}" if one.updated_at else "",
            cut(one_line(one.question), QUESTION_CHARS),
        )
        for one in threads.latest(most)
    ]


def show(options: Options, text: str) -> None:
    with threads_of(options) as threads:
        thread_id = threads.find(text)
        turns = threads.exchanges(thread_id)
        about = threads.about(thread_id)
    if options.json:
        rows = [(number, turn.question, turn.answer) for number, turn in enumerate(turns, 1)]
        show_rows(("turn", "question", "answer"), rows, as_json=True)
    else:
        show_exchanges(thread_id, turns)
        show_memory(about)


def show_exchanges(thread_id: str, turns: Sequence[Exchange], console: Any = None) -> None:
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.text import Text

    console = console or Console(highlight=False)
    console.print(Text(f"thread {thread_id}", style="dim"))
    for number, turn in enumerate(turns, 1):
        console.print(Text(f"\n{number}  {visible(turn.question)}", style="bold"))
        console.print(Markdown(visible(turn.answer)) if console.is_terminal else Text(turn.answer))


def show_memory(capsule: Capsule) -> None:
    """What the analyst carries of the thread, in the words in which it is told."""
    from agent.prompts import describe_capsule

    if told := describe_capsule(capsule):
        say(f"\n{visible(told)}")


def rewind(options: Options, text: str, turns: int) -> None:
    with threads_of(options) as threads:
        thread_id = threads.find(text)
        threads.rewind(thread_id, turns)
    say(f"{thread_id} is where it was after turn {turns}.")


def fork(options: Options, text: str, new: str | None, turns: int | None) -> None:
    with threads_of(options) as threads:
        say(threads.fork(threads.find(text), new, turns))


def delete(options: Options, texts: Iterable[str], sure: bool) -> None:
    with threads_of(options) as threads:
        ids = [threads.find(text) for text in texts]
        if not sure and not confirm(f"Delete {', '.join(ids)} for good? [y/N] "):
            raise InvalidRequest("Nothing was deleted; pass --yes to delete without being asked.")
        for thread_id in ids:
            threads.delete(thread_id)
    say(f"Deleted {', '.join(ids)}.")


def confirm(question: str) -> bool:
    return sys.stdin.isatty() and input(question).strip().lower() in YES


def cancel(options: Options, text: str) -> None:
    from agent.core import cancel_turn

    running = cancel_turn(load(options).settings, text, secrets=os.environ.get)
    if not running:
        with threads_of(options) as threads:
            running = threads.cancel(text)
    if not running:
        raise InvalidRequest(f"No turn runs on {text}: there is nothing to cancel.")
    say("The turn was told to stop; it ends within a few seconds.")


def sizes(options: Options) -> None:
    with threads_of(options) as threads:
        rows: list[tuple[Any, ...]] = [
            (one.thread_id, one.checkpoints, one.bytes if options.json else size(one.bytes)) for one in threads.sizes()
        ]
    show_rows(("thread", "checkpoints", "bytes" if options.json else "size"), rows, options.json)


def prune(options: Options, texts: Sequence[str], keep: int, sure: bool) -> None:
    """No answer is lost: what can't be done any more is to rewind and to fork at earlier turns."""
    with threads_of(options) as threads:
        if not texts and not sure and not confirm("Drop the old checkpoints of all threads? [y/N] "):
            raise InvalidRequest("Nothing was pruned; name threads, or pass --yes for all of them.")
        pruned = threads.prune([threads.find(text) for text in texts], keep)
    say(f"Pruned {pruned.count} thread{'s' * (pruned.count != 1)}; `threads vacuum` gives the room back.")
    if pruned.skipped:
        say(f"Left as they are, since a turn runs on them: {', '.join(pruned.skipped)}.")


def vacuum(options: Options) -> None:
    with threads_of(options) as threads:
        threads.vacuum()
    say("Done.")


def export(options: Options, text: str, file: Path) -> None:
    with threads_of(options) as threads:
        thread_id = threads.find(text)
        count = threads.export(thread_id, file)
    say(f"Wrote {count} checkpoints of {thread_id} to {file}.")


def import_(options: Options, file: Path, new: str | None) -> None:
    with threads_of(options) as threads:
        say(threads.import_(file, new))


def say(text: str) -> None:
    print(text)  # noqa: T201 - the command line
