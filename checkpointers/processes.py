"""Who has a file locked? Linux tells in /proc/locks; elsewhere the answer is "another process"."""

from __future__ import annotations

import os
from pathlib import Path


def holders(*paths: Path) -> str:
    """The processes that hold a lock on one of the files, by number and command."""
    inodes = {p.stat().st_ino for p in paths if p.exists()}
    found = sorted({pid for pid, inode in _locks() if inode in inodes and pid > 0 and pid != os.getpid()})
    return " and ".join(map(_described, found)) if found else "another process"


def _locks() -> list[tuple[int, int]]:
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    fields = [line.replace("->", "").split() for line in lines]
    return [(int(f[4]), int(f[5].split(":")[2])) for f in fields if len(f) > 5 and f[4].lstrip("-").isdigit()]


def _described(pid: int) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        command = ""
    return f"process {pid}" + (f" ({' '.join(command.split())[:80]})" if command else "")
