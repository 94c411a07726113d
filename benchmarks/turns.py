"""What the machine costs around a model: `python -m benchmarks.turns` prints one table.

Overhead is measured against `langchain.agents.create_agent` in the same process, with the same scripted model, the
same kind of saver on a file of its own, and the two in turn; the ratio is the median of the pairs' ratios.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from rich.console import Console
from rich.table import Table

from agent.config import Settings
from agent.core import Agent, Request, open_agent
from agent.models.scripted import Reply, ScriptedModel, calls, says

ROOT = Path(__file__).parents[1]
PAIRS = 60
AT_ONCE = 64
LATENCY = 1.0


def settings(home: Path) -> Settings:
    limits = {"max_parallel": 16}
    return Settings.model_validate(
        {"home": home, "data": {"sample": False}, "tracing": {"enabled": False}, "limits": limits}
    )


@tool
def metadata(keyword: str) -> str:
    """Look a word up."""
    return f"{keyword}: 3 tables"


def plain(messages: Any) -> Reply:
    return says("It is 42.")


def one_call(messages: Any) -> Reply:
    if isinstance(messages[-1], HumanMessage):
        return calls(("metadata", {"keyword": "vendor"}))
    return says("There are three.")


def compare(home: Path, script: Callable[[Any], Reply]) -> tuple[list[float], list[float]]:
    """Seconds of each turn, ours and theirs, each on threads of its own that get a second turn too."""
    from langchain.agents import create_agent

    from checkpointers import open_checkpointer

    ours: list[float] = []
    theirs: list[float] = []
    with (
        open_agent(settings(home / "ours"), base_model=ScriptedModel.by(script), tools=(metadata,)) as agent,
        open_checkpointer("sqlite", path=home / "theirs.db") as saver,
    ):
        bare = create_agent(ScriptedModel.by(script), [metadata], checkpointer=saver)
        for number in range(-10, PAIRS):
            thread = f"t{number // 2}"
            spent = timed(lambda thread=thread: agent.ask(Request("go", thread_id=thread)))
            config: Any = {"configurable": {"thread_id": thread}}
            given: Any = {"messages": [HumanMessage("go")]}
            bare_spent = timed(lambda given=given, config=config: bare.invoke(given, config, durability="sync"))
            if number >= 0:
                ours.append(spent)
                theirs.append(bare_spent)
    return ours, theirs


def timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def at_once(ask: Callable[[str], Any], count: int) -> float:
    """Wall seconds until all of `count` requests, each on its own thread, are answered."""
    with ThreadPoolExecutor(count) as pool:
        return timed(lambda: list(pool.map(lambda number: ask(f"many-{count}-{number}"), range(count))))


def answered(agent: Agent, thread: str) -> None:
    assert agent.ask(Request("go", thread_id=thread)).status == "success"


def crowd(home: Path) -> list[tuple[str, str]]:
    """What is lost to the machine itself when many wait for a model at the same time, beside the bare agent's loss."""
    from langchain.agents import create_agent

    from checkpointers import open_checkpointer

    rows = []
    for name, script, model_calls in (("an answer", plain, 1), ("a tool call, an answer", one_call, 2)):
        model = ScriptedModel.by(script, latency=LATENCY)
        with (
            open_agent(settings(home / str(model_calls)), base_model=model, tools=(metadata,)) as agent,
            open_checkpointer("sqlite", path=home / f"bare{model_calls}.db") as saver,
        ):
            bare = create_agent(model, [metadata], checkpointer=saver)

            def ask_bare(thread: str, bare: Any = bare) -> None:
                config: Any = {"configurable": {"thread_id": thread}}
                bare.invoke({"messages": [HumanMessage("go")]}, config, durability="sync")

            asks = {"ours": partial(answered, agent), "create_agent": ask_bare}
            shares = []
            for who, ask in asks.items():
                at_once(ask, 2)
                spent = at_once(ask, AT_ONCE)
                shares.append(f"{who} {spent:.2f} s, {model_calls * LATENCY / spent:.0%} of ideal")
        rows.append((f"{AT_ONCE} at once, 1 s a model call: {name}", "; ".join(shares)))
    return rows


def process(*command: str, runs: int = 5) -> str:
    """Median wall seconds of a whole process."""
    spent = [timed(lambda: subprocess.run(command, cwd=ROOT, check=True, capture_output=True)) for _ in range(runs + 1)]
    return f"{statistics.median(spent[1:]):.2f} s"


def starting(home: Path) -> list[tuple[str, str]]:
    main = (sys.executable, "main.py")
    question = "How many vendors are there?"
    home_flags = ("--set", f"home={home / 'cli'}")
    return [
        ("python main.py --help", process(*main, "--help")),
        ("import of the core", process(sys.executable, "-c", "import agent.core")),
        ("first answer offline, whole process", process(*main, *home_flags, question, runs=3)),
    ]


def overhead(name: str, home: Path, script: Callable[[Any], Reply]) -> tuple[str, str]:
    ours, theirs = compare(home, script)
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    mine, bare = statistics.median(ours) * 1e3, statistics.median(theirs) * 1e3
    return f"turn: {name}", f"{ratio:.2f}× create_agent ({mine:.1f} ms against {bare:.1f} ms)"


def main() -> None:
    table = Table("what", "measured", title="Around the model")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        rows = [overhead("a plain answer", home / "plain", plain), overhead("one tool call", home / "call", one_call)]
        rows += crowd(home / "crowd")
        rows += starting(home)
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
