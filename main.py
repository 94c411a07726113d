"""The command line: `python main.py`, `python main.py "question"`, `python main.py --help`."""

import os
import sys
import threading

from agent.terminal.command_line import main
from agent.terminal.exit_codes import INTERRUPTED


def leave(code: int) -> None:
    """End the process. After an interrupt a model that never answers may still hold a thread: it is not waited for."""
    if code == INTERRUPTED and threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
