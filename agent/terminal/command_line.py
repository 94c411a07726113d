"""The commands and their options, and the edge where errors become one line and an exit code."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, cast

import typer
from typer.exceptions import Abort, Exit, TyperException

from agent.settings.error import SettingsError
from agent.terminal import deploy
from agent.terminal.argument_order import AnyOrder
from agent.terminal.exit_codes import DEFECT, INTERRUPTED, OK, REFUSED
from agent.terminal.options import Options

ABOUT = """Ask a question about data that fits in no context window.

Without a question: a chat. Piped input is the question, or with a question the text that it is about. Exit codes:
0 answered, 1 a defect, 2 can't be served (one line says what to change), 3 the best answer so far (a limit ended the
turn), 4 not answered (the offline model's rules don't know), 130 interrupted."""

app = typer.Typer(cls=AnyOrder, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
threads = typer.Typer(help="The conversations that are saved.", no_args_is_help=True, rich_markup_mode=None)
artifacts = typer.Typer(help="What delegations left: code, output, notebooks.", no_args_is_help=True)
app.add_typer(threads, name="threads")
app.add_typer(artifacts, name="artifacts")


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code."""
    from checkpointers.errors import StoreError
    from graph.errors import AgentError

    try:
        code = app(args=list(arguments), prog_name="main.py", standalone_mode=False)
    except (SettingsError, AgentError, StoreError) as error:
        return refuse(str(error))
    except TyperException as error:
        return refuse(f"{error.format_message()} (main.py --help shows what there is)")
    except (KeyboardInterrupt, Abort):
        return INTERRUPTED
    except Exit as left:
        return left.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except Exception as error:  # the edge: a defect is told in one line, its traceback is in the log
        logging.getLogger(__name__).exception("a defect")
        refuse(f"A defect of this program: {type(error).__name__}: {error} (the traceback: main.py logs)")
        return DEFECT
    return code if isinstance(code, int) else OK


def refuse(message: str) -> int:
    typer.echo(" ".join(message.split()), err=True)
    return REFUSED


@app.callback(invoke_without_command=True, help=ABOUT)
def root(
    context: typer.Context,
    thread: Annotated[
        str | None, typer.Option("--thread", help="Go on with this thread (or the start of its id).")
    ] = None,
    last: Annotated[bool, typer.Option("-c", "--continue", help="Go on with the last thread.")] = False,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data", help="A CSV, Parquet or JSON file, or a folder of them, instead of the sample. Can be repeated."
        ),
    ] = None,
    text: Annotated[Path | None, typer.Option("--text", help="A text file or folder to ask about.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="offline, provider:model or databricks:endpoint.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="Another file of settings than config.yaml.")] = None,
    env_file: Annotated[Path | None, typer.Option("--env-file", help="Another file of variables than .env.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Any setting, as KEY=VALUE. Can be repeated.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
    json_events: Annotated[bool, typer.Option("--json-events", help="A JSON object on a line for each event.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on standard error.")] = False,
    schema: Annotated[Path | None, typer.Option("--schema", help="A JSON schema that the answer has to fit.")] = None,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> int | None:
    if version:
        from agent import __version__

        typer.echo(__version__)
        raise Exit(OK)
    paths = tuple(data or ())
    given = tuple(set_ or ())
    context.obj = Options(thread, last, paths, text, model, config, env_file, given, json, json_events, quiet, schema)
    if context.invoked_subcommand is not None:
        return None
    if not sys.stdin.isatty():
        return ask(context, ["-"])
    from agent.terminal.chat import chat

    return chat(context.obj)


@app.command(hidden=True)
def ask(context: typer.Context, question: Annotated[list[str], typer.Argument()]) -> int:
    """Ask one question."""
    from agent.terminal.asking import ask_once

    return ask_once(options(context), " ".join(question))


@app.command()
def serve(
    context: typer.Context,
    port: Annotated[int | None, typer.Option("--port", help="Another port than serve.port.")] = None,
) -> None:
    """Answer over HTTP, as OpenAI's clients ask."""
    from agent.terminal.logfile import log_to
    from agent.terminal.options import load

    given = options(context)
    settings = load(given if port is None else replace(given, set=(*given.set, f"serve.port={port}"))).settings
    log_to(settings.logs_path, settings.logs.level)
    from agent.serving.server import serve as serve_agent

    serve_agent(settings, announce=lambda url: typer.echo(f"Serving at {url}", err=True), secrets=os.environ.get)


@app.command()
def tables(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="A part of their names.")] = "",
) -> None:
    """The tables that can be asked about, and what is known of them."""
    from agent.terminal import data as commands

    commands.tables(options(context), name)


@app.command()
def doctor(context: typer.Context) -> int:
    """What is set, reachable and missing, each with its cure."""
    from agent.terminal.doctor import examine

    return examine(options(context))


@app.command()
def logs(
    context: typer.Context,
    most: Annotated[int, typer.Option("--most", min=1, help="How many entries, the latest last.")] = 50,
    request: Annotated[str | None, typer.Option("--request", help="Of this request alone.")] = None,
) -> None:
    """What was logged."""
    from agent.terminal.logs import show

    show(options(context), most, request)


@app.command()
def replay(context: typer.Context, thread: str) -> int:
    """Run a thread's notebooks again, without any model, and compare."""
    from agent.terminal.notebooks import replay_thread

    return replay_thread(options(context), thread)


@app.command()
def export(context: typer.Context, thread: str, file: Path) -> None:
    """Write a thread as one notebook: questions, code, figures, answers."""
    from agent.terminal.notebooks import export_thread

    export_thread(options(context), thread, file)


@app.command()
def backup(context: typer.Context, file: Path) -> None:
    """Keep all of the home folder in one file."""
    from agent.terminal import backups as commands

    commands.backup(options(context), file)


@app.command()
def restore(context: typer.Context, file: Path) -> None:
    """Make a home folder of such a file."""
    from agent.terminal import backups as commands

    commands.restore(options(context), file)


@app.command()
def config(context: typer.Context) -> None:
    """Show what is set, and from where."""
    from agent.terminal.configuration import show
    from agent.terminal.options import load

    show(load(options(context)), options(context).json)


@threads.command("list")
def list_threads(
    context: typer.Context,
    most: Annotated[int, typer.Option("--most", min=1, help="How many, the latest first.")] = 20,
) -> None:
    """The latest threads, with their first question."""
    from agent.terminal import threads as commands

    commands.list_threads(options(context), most)


@threads.command("show")
def show_thread(context: typer.Context, thread: str) -> None:
    """A thread's questions, numbered, and its answers."""
    from agent.terminal import threads as commands

    commands.show(options(context), thread)


@threads.command("rewind")
def rewind_thread(
    context: typer.Context,
    thread: str,
    turns: Annotated[int, typer.Argument(help="How many turns stay.", min=1)],
) -> None:
    """Go back to where a thread was after its first TURNS turns."""
    from agent.terminal import threads as commands

    commands.rewind(options(context), thread, turns)


@threads.command("fork")
def fork_thread(
    context: typer.Context,
    thread: str,
    new: Annotated[str | None, typer.Argument(help="The copy's id; made up when missing.")] = None,
    turns: Annotated[int | None, typer.Option("--turns", help="Copy its first turns only.", min=1)] = None,
) -> None:
    """Copy a thread, to go on in two ways."""
    from agent.terminal import threads as commands

    commands.fork(options(context), thread, new, turns)


@threads.command("delete")
def delete_threads(
    context: typer.Context,
    ids: Annotated[list[str], typer.Argument(metavar="THREAD...")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Delete threads for good, with their artifacts."""
    from agent.terminal import threads as commands

    commands.delete(options(context), ids, sure=yes)


@threads.command("cancel")
def cancel_thread(context: typer.Context, thread: str) -> None:
    """Cancel the turn that runs on a thread, in whichever process."""
    from agent.terminal import threads as commands

    commands.cancel(options(context), thread)


@threads.command("sizes")
def sizes(context: typer.Context) -> None:
    """How much room each thread takes, the largest first."""
    from agent.terminal import threads as commands

    commands.sizes(options(context))


@threads.command("prune")
def prune(
    context: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[THREAD]...")] = None,
    keep: Annotated[int, typer.Option("--keep", help="How many checkpoints stay.", min=1)] = 1,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask when all threads are meant.")] = False,
) -> None:
    """Drop old checkpoints, which can't be rewound to any more."""
    from agent.terminal import threads as commands

    commands.prune(options(context), ids or [], keep, sure=yes)


@threads.command("vacuum")
def vacuum(context: typer.Context) -> None:
    """Give the room of what was deleted back to the disk."""
    from agent.terminal import threads as commands

    commands.vacuum(options(context))


@threads.command("export")
def export_thread(context: typer.Context, thread: str, file: Path) -> None:
    """Write a thread to a file that `threads import` reads."""
    from agent.terminal import threads as commands

    commands.export(options(context), thread, file)


@threads.command("import")
def import_thread(
    context: typer.Context, file: Path, new: Annotated[str | None, typer.Option("--as", help="Another id.")] = None
) -> None:
    """Read a thread from an exported file."""
    from agent.terminal import threads as commands

    commands.import_(options(context), file, new)


@artifacts.command("list")
def list_artifacts(
    context: typer.Context,
    most: Annotated[int, typer.Option("--most", min=1, help="How many, the newest first.")] = 20,
) -> None:
    """The newest artifacts, of one thread with --thread."""
    from agent.terminal import artifacts as commands

    commands.list_artifacts(options(context), most)


@artifacts.command("show")
def show_artifact(context: typer.Context, artifact: str) -> None:
    """An artifact's instruction, code, output and digest."""
    from agent.terminal import artifacts as commands

    commands.show(options(context), artifact)


@artifacts.command("open")
def open_artifact(
    context: typer.Context,
    artifact: str,
    figure: Annotated[int | None, typer.Argument(metavar="[FIGURE]", help="Its number.", min=1)] = None,
) -> None:
    """Open an artifact's notebook, or one of its figures."""
    from agent.terminal import artifacts as commands

    commands.open_(options(context), artifact, figure)


deploy.register(app)


def options(context: typer.Context) -> Options:
    return cast(Options, context.find_root().obj)
