"""A file's bytes, whatever it is packed in."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Any, BinaryIO, cast

import zstandard

from agent.data.reading.found import LARGEST_UNPACKED, DataFile, DataUnreadable

BROKEN = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, zstandard.ZstdError, NotImplementedError)

PACKERS: dict[str, Any] = {"gz": gzip.GzipFile, "bz2": bz2.BZ2File, "xz": lzma.LZMAFile}


class _Bounded(io.RawIOBase):
    """Ends with an error instead of filling the disk from a small file that unpacks without end."""

    def __init__(self, inner: IO[bytes], most: int) -> None:
        self._inner = inner
        self._left = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._inner.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise OSError(f"it unpacks to more than {LARGEST_UNPACKED >> 30} GB")
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def open_bytes(file: DataFile) -> Iterator[BinaryIO]:
    """Raises DataUnreadable, also while it is read within the context."""
    try:
        with ExitStack() as stack:
            yield _open(file, stack)
    except BROKEN as error:
        raise DataUnreadable(f"{file.name} is cut off or damaged ({error}): repair it or leave it out") from error
    except OSError as error:
        raise DataUnreadable(f"{file.name} can't be read ({error.strerror or error}): see who may read it") from error


def _open(file: DataFile, stack: ExitStack) -> BinaryIO:
    if not file.packed:
        return stack.enter_context(file.path.open("rb"))
    inner: IO[bytes]
    if file.packed == "zip":
        archive = stack.enter_context(zipfile.ZipFile(file.path))
        inner = stack.enter_context(archive.open(file.member))
    elif file.packed == "zst":
        opened = stack.enter_context(file.path.open("rb"))
        inner = stack.enter_context(zstandard.ZstdDecompressor().stream_reader(opened, read_across_frames=True))
    else:
        inner = stack.enter_context(PACKERS[file.packed](file.path))
    return cast(BinaryIO, io.BufferedReader(_Bounded(inner, LARGEST_UNPACKED), 1 << 16))
