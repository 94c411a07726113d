"""A path that a client names, kept inside the directory that stands for it."""

from pathlib import Path

from tests.workspace.errors import bad_request


def inside(root: Path, path: str) -> Path:
    """The file under `root` for a client's absolute path; a path that leads out is refused."""
    target = (root / path.lstrip("/")).resolve()
    if not target.is_relative_to(root.resolve()):
        raise bad_request(f"Invalid path: {path}", "INVALID_PARAMETER_VALUE")
    return target
