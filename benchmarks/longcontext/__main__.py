"""Questions about texts of any length: `python -m benchmarks.longcontext --help`.

Prints accuracy, calls, tokens and time by size, beside a plain single call of the same reader. Each text is generated
from a seed, with its exact answer, and deleted when it was asked about.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchmarks.longcontext.corpus import Task, write
from benchmarks.longcontext.goals import verdicts
from benchmarks.longcontext.measure import AGENT, NAMES, ONE_CALL, WAYS, Measured, missing_names
from benchmarks.longcontext.plot import draw
from benchmarks.longcontext.setting import Setting
from benchmarks.longcontext.table import drawn, page
from benchmarks.longcontext.tasks import TASKS
from benchmarks.longcontext.tasks.logs import read_from

UNITS = {"k": 1_000, "m": 1_000_000}
SMALLEST = 1_000


def main(given: Sequence[str]) -> None:
    options = parsed(given)
    setting = Setting(
        latency=options.latency,
        parallel=options.parallel,
        window=options.window,
        seed=options.seed,
        model=options.model,
        analyst=options.analyst,
    )
    rates = [0.0] if options.model else options.wrong
    settings = [replace(setting, wrong=rate) for rate in rates]
    measured = list(told(measure(chosen(options), options.sizes, settings, ways())))
    goals = [] if options.model or options.analyst else verdicts(measured)
    Console(width=150).print(drawn(measured), *goals, sep="\n")
    if options.into:
        draw(measured, options.into / "longcontext.png")
        command = " ".join(["python -m benchmarks.longcontext", *given])
        (options.into / "longcontext.md").write_text(page(measured, goals, command), encoding="utf-8")


def parsed(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.longcontext", description=__doc__.split("\n\n")[1])
    parser.add_argument("--sizes", type=tokens, nargs="+", default=[8_000, 64_000, 512_000], help="such as 8k 1M 10M")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--seed", type=int, default=1, help="another seed makes texts that nobody has seen")
    parser.add_argument("--wrong", type=rate, nargs="+", default=[0.0, 0.1], help="shares of lines that are misread")
    parser.add_argument("--latency", type=float, default=0.2, help="seconds for each call of the reader")
    parser.add_argument("--parallel", type=int, default=8, help="calls at the same time")
    parser.add_argument("--window", type=tokens, default=128_000, help="what fits in one call")
    parser.add_argument("--log", type=Path, nargs="+", default=[], help="logs of yours, asked about as well")
    parser.add_argument("--model", help="a chat model that reads: provider:model, or `configured`")
    parser.add_argument("--analyst", help="one that writes the code, instead of a script")
    parser.add_argument("--into", type=Path, help="a folder for longcontext.md and longcontext.png")
    return parser.parse_args(given)


def tokens(text: str) -> int:
    unit = UNITS.get(text[-1:].lower(), 1)
    try:
        count = round(float(text[:-1] if unit > 1 else text) * unit)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no size: write 8000, 8k or 10M") from None
    if count < SMALLEST:
        raise argparse.ArgumentTypeError(f"{text} is too small: texts have at least {SMALLEST} tokens")
    return count


def rate(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share: it is from 0 to 1")
    return share


def chosen(options: argparse.Namespace) -> list[Task]:
    found = [TASKS[name] for name in options.tasks]
    return [*found, read_from(options.log)] if options.log else found


def ways() -> list[str]:
    """The agent's own way is left out, and said to be, as long as generated code lacks what it needs."""
    if missing := missing_names():
        print(f"Only one call is measured: generated code finds no {', '.join(missing)} (of {', '.join(NAMES)}).")
        return [ONE_CALL]
    return [AGENT, ONE_CALL]


def measure(
    tasks: Iterable[Task], sizes: Iterable[int], settings: Sequence[Setting], ways: Sequence[str]
) -> Iterator[Measured]:
    sizes = list(sizes)
    for task in tasks:
        for count in sizes:
            with tempfile.TemporaryDirectory() as folder:
                corpus = write(task, count, settings[0].seed, Path(folder) / "text.txt")
                for setting in settings:
                    yield from (WAYS[way](task, corpus, setting) for way in ways)


def told(measured: Iterable[Measured]) -> Iterator[Measured]:
    """Each as it is known: large ones take a while."""
    for one in measured:
        print(f"{one.task} {one.size:,} {one.wrong:.0%} {one.way}: {one.accuracy:.1%} {one.note}", file=sys.stderr)
        yield one


if __name__ == "__main__":
    main(sys.argv[1:])
