"""The head and tail of a stream's file, as a result holds them."""

from __future__ import annotations

from pathlib import Path

HEAD_BYTES, TAIL_BYTES = 48_000, 16_000
"""What the result holds of each stream; the files beside it have all."""


def preview(path: Path) -> str:
    """The file's text, of a long one its head and tail and how many bytes lie between."""
    if not path.exists():
        return ""
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= HEAD_BYTES + TAIL_BYTES:
            return file.read().decode("utf-8", "replace")
        head = file.read(HEAD_BYTES).decode("utf-8", "replace")
        file.seek(size - TAIL_BYTES)
        tail = file.read().decode("utf-8", "replace")
    return f"{head}\n... ({size - HEAD_BYTES - TAIL_BYTES} bytes omitted) ...\n{tail}"


def preview_of(data: bytes) -> str:
    """The same of bytes that are here already."""
    if len(data) <= HEAD_BYTES + TAIL_BYTES:
        return data.decode("utf-8", "replace")
    head, tail = data[:HEAD_BYTES].decode("utf-8", "replace"), data[-TAIL_BYTES:].decode("utf-8", "replace")
    return f"{head}\n... ({len(data) - HEAD_BYTES - TAIL_BYTES} bytes omitted) ...\n{tail}"
