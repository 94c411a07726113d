"""The command line: `python main.py`, `python main.py "question"`, `python main.py --help`."""

import importlib.util
import os
import sys
from pathlib import Path

PYTHON = Path(__file__).resolve().parent / ".venv" / "bin" / "python"


def run() -> None:
    """With the checkout's own environment when this Python has not what it needs."""
    if sys.platform == "win32":
        sys.exit("Windows is not supported: run it in WSL, in a container or on Linux.")
    if importlib.util.find_spec("typer") is None and PYTHON.exists() and Path(sys.prefix) != PYTHON.parents[1]:
        os.execv(PYTHON, [str(PYTHON), *sys.argv])  # noqa: S606 - our own interpreter, no shell
    if importlib.util.find_spec("typer") is None:
        sys.exit("The packages are not installed: `make run` sets up .venv and answers a first question.")
    from agent.terminal.entry import rlm

    rlm()


if __name__ == "__main__":
    run()
