"""Where the process begins and ends: `rlm`, and `python main.py` in a checkout."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress


def rlm() -> None:
    if sys.platform == "win32":
        sys.exit("Windows is not supported: run it in WSL, in a container or on Linux.")
    from agent.terminal.command_line import main

    leave(main(sys.argv[1:]))


def leave(code: int) -> None:
    """End the process at once: every command has put away what it used before it returns.

    What libraries do at the interpreter's end (waiting for queues that are empty, naming objects that live in their
    caches) takes seconds and helps nobody; after an interrupt a model that never answers may hold a thread for ever.
    """
    logging.shutdown()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(code)
