"""Text that was handed over with `--text`: which files `context` is made of, and what the analyst is told of them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from agent.execution.inside.context import WIDE, Text
from graph.errors import InvalidRequest

PROBE = 8192
COUNTED_BYTES = 256 << 20
"""Up to this size lines are counted; what is longer is estimated from its beginning."""
ESTIMATED_BYTES = 16 << 20
SHOWN_FILES = 12
SHOWN_LINES = 3
LINE_CHARS = 160


def open_text(path: Path) -> Text:
    """The file, or every text file in the folder; raises InvalidRequest when there is none."""
    if path.is_file():
        return Text((path.resolve(),))
    if not path.is_dir():
        raise InvalidRequest(f"there is no file or folder {path}: check the path after --text")
    files = tuple(file.resolve() for file in sorted(path.rglob("*")) if _is_text(file, path))
    if not files:
        raise InvalidRequest(f"no text files in {path}: name a file or another folder after --text")
    return Text(files)


def _is_text(file: Path, root: Path) -> bool:
    if any(part.startswith(".") for part in file.relative_to(root).parts) or not file.is_file():
        return False
    with file.open("rb") as opened:
        probe = opened.read(PROBE)
    return b"\0" not in probe or probe[:2] in WIDE


def describe_text(text: Text) -> str:
    """Size, lines, names and first lines, so that no delegation is spent on looking. Bounded, however many files."""
    sizes = [(path.name, *_measure(path)) for path in text.paths]
    lines = _lines(sum(count for *_, count, _ in sizes), all(exact for *_, exact in sizes))
    total = f"{_bytes(sum(size for _, size, _, _ in sizes))}, {lines}"
    if len(sizes) == 1:
        head = f"context is the file {sizes[0][0]}: {total}. It begins:"
        return "\n".join([head, *_first(text.paths[0], SHOWN_LINES)])
    listed = [f"- {name}: {_bytes(size)}, {_lines(count, exact)}" for name, size, count, exact in sizes[:SHOWN_FILES]]
    for place, path in enumerate(text.paths[:SHOWN_LINES]):
        listed[place] = "\n".join([f"{listed[place]}, begins:", *_first(path, 1)])
    more = [f"- … and {len(sizes) - SHOWN_FILES:,} more"] if len(sizes) > SHOWN_FILES else []
    head = f"context is {len(sizes):,} files, {total}; context.files has each by itself, context.paths their paths:"
    return "\n".join([head, *listed, *more])


def _measure(path: Path) -> tuple[int, int, bool]:
    """Bytes, lines, and whether the lines were counted."""
    size, count, seen, last = path.stat().st_size, 0, 0, b"\n"
    most = size if size <= COUNTED_BYTES else ESTIMATED_BYTES
    with path.open("rb") as file:
        while seen < most and (chunk := file.read(1 << 20)):
            count += chunk.count(b"\n")
            seen += len(chunk)
            last = chunk
    if most == size:
        return size, count + (not last.rstrip(b"\0").endswith(b"\n")), True
    return size, count * size // max(1, seen), False


def _first(path: Path, count: int) -> list[str]:
    lines = [" ".join(line.split()) for line in islice(Text((path,)), 50)]
    told = [line for line in lines if line][:count]
    return [f"  {line if len(line) <= LINE_CHARS else line[: LINE_CHARS - 1] + '…'}" for line in told]


def _lines(count: int, exact: bool) -> str:
    return f"{'' if exact else 'about '}{count:,} line{'' if count == 1 else 's'}"


def _bytes(size: int) -> str:
    for unit, step in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= step:
            return f"{size / step:,.1f} {unit}"
    return f"{size} bytes"
