"""The home folder: everything that is kept on this machine lies below it."""

from __future__ import annotations

from pathlib import Path

from graph.errors import InvalidRequest


def make_home(home: Path) -> Path:
    """The folder, made if need be. It holds people's questions and data: others on the machine stay out."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise InvalidRequest(f"The home folder {home} can't be made ({error.strerror}); set home.") from error
    return home.absolute()
