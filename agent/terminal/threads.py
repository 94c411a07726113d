"""What can be done with saved conversations. Only the store is opened, so it works without a model or data."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from agent.terminal.options import Options, load
from agent.terminal.progress import cut, one_line, visible
from agent.terminal.tables import show_rows, size
from graph.errors import InvalidRequest

if TYPE_CHECKING:
    from langgraph.checkpoint.base import CheckpointTuple

    from agent.config import Settings
    from checkpointers import Saver

QUESTION_CHARS = 80
YES = ("y", "yes")


@dataclass(frozen=True)
class Exchange:
    """One turn as it was said."""

    question: str
    answer: str


@contextmanager
def saver_of(options: Options) -> Iterator[Saver]:
    with opened(load(options).settings) as saver:
        yield saver


def opened(settings: Settings) -> Saver:
    from agent.platforms.local.composition import Given, opened_saver, prepared

    prepared(settings.home)
    return opened_saver(settings, Given(secrets=os.environ.get))


def found(saver: Saver, text: str) -> str:
    """The thread with this id, or the only one whose id starts so. Raises InvalidRequest."""
    ids = [thread.thread_id for thread in saver.threads()]
    if text in ids:
        return text
    match [one for one in ids if one.startswith(text)]:
        case [one]:
            return one
        case []:
            near = get_close_matches(text, ids, n=1)
            hint = f"did you mean {near[0]}?" if near else "`threads list` shows which there are"
            raise InvalidRequest(f"There is no thread {text}; {hint}")
        case several:
            raise InvalidRequest(f"{len(several)} threads start with {text}; give more of the id")


def list_threads(options: Options, most: int) -> None:
    with saver_of(options) as saver:
        show_rows(("thread", "turns", "latest", "first question"), latest(saver, most), options.json)


def latest(saver: Saver, most: int) -> list[tuple[str, int, str, str]]:
    """Id, number of turns, time of the latest checkpoint and first question of the latest threads."""
    threads = sorted(
        saver.threads(), key=lambda thread: (thread.updated_at is not None, thread.updated_at), reverse=True
    )
    rows = []
    for thread in islice(threads, most):
        turns = exchanges(messages_of(saver.get_tuple(config_of(thread.thread_id))))
        when = f"{thread.updated_at:%Y-%m-%d %H:%M}" if thread.updated_at else ""
        first = cut(one_line(turns[0].question), QUESTION_CHARS) if turns else ""
        rows.append((thread.thread_id, len(turns), when, first))
    return rows


def show(options: Options, text: str) -> None:
    with saver_of(options) as saver:
        thread_id = found(saver, text)
        turns = exchanges(messages_of(saver.get_tuple(config_of(thread_id))))
    if options.json:
        rows = [(number, turn.question, turn.answer) for number, turn in enumerate(turns, 1)]
        show_rows(("turn", "question", "answer"), rows, as_json=True)
    else:
        show_exchanges(thread_id, turns)


def show_exchanges(thread_id: str, turns: Sequence[Exchange], console: Any = None) -> None:
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.text import Text

    console = console or Console(highlight=False)
    console.print(Text(f"thread {thread_id}", style="dim"))
    for number, turn in enumerate(turns, 1):
        console.print(Text(f"\n{number}  {visible(turn.question)}", style="bold"))
        console.print(Markdown(visible(turn.answer)) if console.is_terminal else Text(turn.answer))


def rewind(options: Options, text: str, turns: int) -> None:
    with saver_of(options) as saver:
        thread_id = found(saver, text)
        rewound(saver, thread_id, turns)
    say(f"{thread_id} is where it was after turn {turns}.")


def rewound(saver: Saver, thread_id: str, turns: int) -> None:
    """Make the end of a thread's turn `turns` its latest checkpoint again; what came later stays in its history.

    Raises InvalidRequest when there is no such turn to go back to, ThreadBusy while a turn runs on the thread.
    """
    from langgraph.checkpoint.base.id import uuid6

    with saver.lease(thread_id, policy="reject"):
        saved = (one for one in saver.list(config_of(thread_id)) if ended_after(one, turns))
        point = next(saved, None)
        if point is None:
            raise InvalidRequest(f"{thread_id} can't go back to turn {turns}: `threads show` numbers its turns")
        checkpoint: Any = {**point.checkpoint, "id": str(uuid6()), "ts": datetime.now(UTC).isoformat()}
        metadata: Any = {**point.metadata, "source": "fork", "step": point.metadata.get("step", 0) + 1}
        saver.put(point.config, checkpoint, metadata, {})


def ended_after(saved: CheckpointTuple, turns: int) -> bool:
    turn = saved.checkpoint["channel_values"].get("turn")
    return turn is not None and turn.end is not None and len(exchanges(messages_of(saved))) == turns


def fork(options: Options, text: str, new: str | None, turns: int | None) -> None:
    with saver_of(options) as saver:
        thread_id, target = found(saver, text), new or str(uuid4())
        if any(thread.thread_id == target for thread in saver.threads()):
            raise InvalidRequest(f"There is a thread {target} already; give another id.")
        saver.copy_thread(thread_id, target)
        if turns is not None:
            rewound(saver, target, turns)
    say(target)


def delete(options: Options, texts: Iterable[str], sure: bool) -> None:
    with saver_of(options) as saver:
        ids = [found(saver, text) for text in texts]
        if not sure and not agreed(f"Delete {', '.join(ids)} for good? [y/N] "):
            raise InvalidRequest("Nothing was deleted; pass --yes to delete without being asked.")
        for thread_id in ids:
            with saver.lease(thread_id, policy="reject"):
                saver.delete_thread(thread_id)
    say(f"Deleted {', '.join(ids)}.")


def agreed(question: str) -> bool:
    return sys.stdin.isatty() and input(question).strip().lower() in YES


def cancel(options: Options, text: str) -> None:
    from agent.records.sqlite import open_records

    settings = load(options).settings
    with opened(settings) as saver, open_records(settings.records_path, settings.app_name) as records:
        running = records.request_cancel(text) or records.request_cancel(found(saver, text))
    if not running:
        raise InvalidRequest(f"No turn runs on {text}: there is nothing to cancel.")
    say("The turn was told to stop; it ends within a few seconds.")


def sizes(options: Options) -> None:
    with saver_of(options) as saver:
        threads = sorted(saver.threads(), key=lambda thread: thread.bytes, reverse=True)
    rows: list[tuple[Any, ...]] = [
        (one.thread_id, one.checkpoints, one.bytes if options.json else size(one.bytes)) for one in threads
    ]
    show_rows(("thread", "checkpoints", "bytes" if options.json else "size"), rows, options.json)


def prune(options: Options, texts: Sequence[str], keep: int) -> None:
    with saver_of(options) as saver:
        ids = [found(saver, text) for text in texts] or [thread.thread_id for thread in saver.threads()]
        saver.prune(ids, keep_last=keep)
    say(f"Pruned {len(ids)} thread{'s' * (len(ids) != 1)}; `threads vacuum` gives the room back.")


def vacuum(options: Options) -> None:
    with saver_of(options) as saver:
        saver.vacuum()
    say("Done.")


def export(options: Options, text: str, file: Path) -> None:
    with saver_of(options) as saver:
        thread_id = found(saver, text)
        with naming(file):
            count = saver.export_thread(thread_id, file)
    say(f"Wrote {count} checkpoints of {thread_id} to {file}.")


def import_(options: Options, file: Path, new: str | None) -> None:
    with saver_of(options) as saver, naming(file):
        say(saver.import_thread(file, new))


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """What is wrong with a file, or with the id that it would get, as one line."""
    try:
        yield
    except OSError as error:
        raise InvalidRequest(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise InvalidRequest(str(error)) from error


def config_of(thread_id: str) -> Any:
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}


def messages_of(saved: CheckpointTuple | None) -> list[Any]:
    return list(saved.checkpoint["channel_values"].get("messages", [])) if saved else []


def exchanges(messages: Iterable[Any]) -> list[Exchange]:
    """Each question with the last that was said before the next. Results handed in later are no questions."""
    turns: list[Exchange] = []
    for message in messages:
        if message.type == "human" and message.name is None:
            turns.append(Exchange(message.text, ""))
        elif message.type == "ai" and turns and message.text.strip():
            turns[-1] = Exchange(turns[-1].question, message.text)
    return turns


def say(text: str) -> None:
    print(text)  # noqa: T201 - the command line
