"""The command line: `python main.py`, `python main.py "question"`, `python main.py --help`."""

import sys

from agent.terminal.command_line import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
