"""Is a write-ahead log damaged? SQLite reads one up to the first frame that doesn't check and drops what follows."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sqlite3
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from checkpointers.errors import DamagedLog

logger = logging.getLogger(__name__)
_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MAGIC = (0x377F0682, 0x377F0683)


class _Log(NamedTuple):
    salts: tuple[int, int]
    ends: list[int]  # the frames that end a transaction, from 1


@contextlib.contextmanager
def told(path: Path) -> Iterator[Callable[[sqlite3.Connection], None]]:
    """Around opening the file: what is given has to be called with the open connection.

    Raises `DamagedLog` when transactions that were committed aren't among those that SQLite recovered; the log is
    copied first, because closing removes it. The very last one may have been torn by a kill before it was acknowledged:
    that is only logged.
    """
    log = path.with_name(path.name + "-wal")
    before = _read(log)

    def look(connection: sqlite3.Connection) -> None:
        if before is None or not before.ends:
            return
        _, frames, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        after = _read(log)
        if after is None or after.salts != before.salts or frames < 0:
            return  # another process has begun the log anew
        lost = [end for end in before.ends if end > frames]
        if len(lost) == 1:
            logger.warning("the log's last step is torn or damaged", extra={"store": str(path)})
        if len(lost) < 2:
            return
        kept = log.with_name(log.name + ".damaged")
        shutil.copyfile(log, kept)
        connection.close()
        raise DamagedLog(str(path), f"{len(lost)} steps from frame {frames + 1} on", str(kept))

    yield look


def _read(path: Path) -> _Log | None:
    """The frames of the log's last round: those with its header's salts."""
    try:
        file = path.open("rb")
    except OSError:
        return None
    with file:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return None
        _, _, page, _, *salts, _, _ = _HEADER.unpack(header)
        frames = list(_frames(file, _page_size(path) or page))
        if not _checks(header) and frames:
            salts = list(frames[0][1])  # the header itself is damaged
        ends = [number for number, (size, found) in enumerate(frames, 1) if size and list(found) == salts]
        return _Log((salts[0], salts[1]), ends)


def _frames(file: BinaryIO, page: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Of each frame how large the database is after it, if it ends a transaction, and its salts."""
    while len(frame := file.read(_FRAME.size)) == _FRAME.size:
        _, size, first, second, _, _ = _FRAME.unpack(frame)
        yield size, (first, second)
        file.seek(page, 1)


def _page_size(log: Path) -> int:
    with log.with_name(log.name.removesuffix("-wal")).open("rb") as database:
        size = int.from_bytes(database.read(18)[16:18], "big")
    return 65536 if size == 1 else size


def _checks(header: bytes) -> bool:
    magic, *_ = _HEADER.unpack(header)
    words = struct.unpack(">6I" if magic == _MAGIC[1] else "<6I", header[:24])
    one = two = 0
    for i in range(0, 6, 2):
        one = (one + words[i] + two) & 0xFFFFFFFF
        two = (two + words[i + 1] + one) & 0xFFFFFFFF
    return magic in _MAGIC and (one, two) == _HEADER.unpack(header)[6:]
