"""Where the process begins and ends: `rlm`, and `python main.py` in a checkout."""

from __future__ import annotations

import os
import sys
import threading

from agent.terminal.command_line import main
from agent.terminal.exit_codes import INTERRUPTED


def rlm() -> None:
    leave(main(sys.argv[1:]))


def leave(code: int) -> None:
    """End the process. After an interrupt a model that never answers may still hold a thread: it is not waited for."""
    if code == INTERRUPTED and threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
