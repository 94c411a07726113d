"""Where what hangs on a thread lies: a folder of its own for each, below home/values."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path


def folder_of(root: Path, thread_id: str) -> Path:
    """Ids from outside never become names of files: their hash does."""
    return root / sha256(thread_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]
