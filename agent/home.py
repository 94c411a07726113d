"""The home folder: everything that is kept on this machine lies below it."""

from __future__ import annotations

import socket
from pathlib import Path
from uuid import uuid4

from graph.errors import InvalidRequest


def make_home(home: Path) -> Path:
    """The folder, made if need be. It holds people's questions and data: others on the machine stay out."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise InvalidRequest(f"The home folder {home} can't be made ({error.strerror}); set home.") from error
    return home.absolute()


def place_of(home: Path) -> str:
    """Which home this is: told from every other one, also from a copy of it, in words that a person understands."""
    file = home / "id"
    try:
        with file.open("x", encoding="utf-8") as made:
            made.write(uuid4().hex[:12])
    except FileExistsError:
        pass
    except OSError as error:
        raise InvalidRequest(f"{file} can't be written ({error.strerror}); free some space, or set home.") from error
    return f"the home {home} on {socket.gethostname()} ({file.read_text(encoding='utf-8')[:40]})"
