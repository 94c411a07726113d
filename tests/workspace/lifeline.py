"""A lifeline: when this process dies, however it dies, what it started dies too."""

import subprocess
from pathlib import Path

# The shell waits at the end of a pipe that only our process holds open. A word on it means "all is well, leave"; its
# end without a word means that we are gone. (PR_SET_PDEATHSIG would not do: it fires when the starting *thread* ends.)
_WATCH = """
trap '' INT TERM HUP
read -r word && exit 0
[ -z "$2" ] || kill -s "$1" -- "$2" 2>/dev/null
[ -z "$3" ] || { sleep 0.2; rm -rf -- "$3"; sleep 0.5; rm -rf -- "$3"; }
"""


class Lifeline:
    """Sends `signal` to `target` (a process id, or minus a group's id) and removes `directory` if we die first."""

    def __init__(self, target: int | None = None, *, signal: str = "KILL", directory: Path | None = None) -> None:
        command = ["/bin/sh", "-c", _WATCH, "lifeline", signal, str(target or ""), str(directory or "")]
        self._shell = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def release(self) -> None:
        """The target has ended in the ordinary way."""
        if self._shell.stdin and not self._shell.stdin.closed:
            self._shell.stdin.write(b"released\n")
            self._shell.stdin.close()
        self._shell.wait(5)
