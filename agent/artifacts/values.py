"""Values that code saved on a thread, for the delegations that come after."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from uuid import uuid4

from agent.artifacts import files
from agent.artifacts.files import Unreadable
from agent.artifacts.threads import folder_of
from graph.errors import InvalidRequest

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
KINDS = ("parquet", "json")
LOCK = ".lock"


@dataclass(frozen=True)
class Order:
    """Which call is the later one: within a request the later of its calls, else the run that started later.

    `began` is seconds since the epoch.
    """

    request_id: str
    began: float
    iteration: int
    number: int

    def is_before(self, other: Order) -> bool:
        if self.request_id == other.request_id:
            return (self.iteration, self.number) < (other.iteration, other.number)
        return self.began < other.began


@dataclass(frozen=True)
class Value:
    """What is known of a value. `type` and `shape` are in a reader's words, `size` is bytes."""

    name: str
    kind: str
    type: str
    shape: str
    size: int
    artifact_id: str
    order: Order

    @property
    def described(self) -> str:
        return f"{self.type}, {self.shape}, {self.size:,} bytes: load({self.name!r})"


class ValueStore(Protocol):
    """By thread, then by name. Threads don't see each other's values."""

    def save(self, thread_id: str, value: Value, data: BinaryIO) -> bool:
        """Keep it, whole or not at all, unless what is there is of a later call; whether it was kept."""

    def list(self, thread_id: str) -> tuple[Value, ...]:
        """By name."""

    def open(self, thread_id: str, name: str) -> Any:
        """A context with the Value and a file of its bytes. Raises InvalidRequest, with the names that there are."""

    def copy(self, source: str, target: str) -> None:
        """All values of a thread, to another that has none."""

    def forget(self, thread_id: str) -> None:
        """All of a thread, with what was read on it."""


def check_name(name: object) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InvalidRequest(f"{name!r} is no name: up to 64 letters, digits and _ . -, and a letter first")
    return name


class FolderValues:
    """Below `root` a folder for each thread, in it `name.json` with the facts and, beside it, the data they name."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def save(self, thread_id: str, value: Value, data: BinaryIO) -> bool:
        folder = folder_of(self._root, thread_id)
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            before = self._facts(folder, value.name)
            if before is not None and value.order.is_before(before[0].order):
                return False
            file = f"{value.name}.{uuid4().hex}.{value.kind}"
            with (folder / file).open("xb") as kept:
                shutil.copyfileobj(data, kept, 1 << 20)
            files.write_text(folder, f"{value.name}.facts", json.dumps({**asdict(value), "file": file}))
            if before is not None:
                (folder / before[1]).unlink(missing_ok=True)
        return True

    def list(self, thread_id: str) -> tuple[Value, ...]:
        folder = folder_of(self._root, thread_id)
        found = (self._facts(folder, path.stem) for path in sorted(folder.glob("*.facts")))
        return tuple(one[0] for one in found if one is not None)

    @contextmanager
    def open(self, thread_id: str, name: str) -> Iterator[tuple[Value, BinaryIO]]:
        folder = folder_of(self._root, thread_id)
        found = self._facts(folder, check_name(name))
        try:
            if found is None:
                raise FileNotFoundError(name)
            with files.opened(folder, found[1]) as file:
                yield found[0], file
        except (FileNotFoundError, Unreadable) as error:
            there = ", ".join(value.name for value in self.list(thread_id)) or "none yet"
            raise InvalidRequest(f"no value {name!r} is saved on this thread; there are: {there}") from error

    def copy(self, source: str, target: str) -> None:
        there = folder_of(self._root, source)
        if there.is_dir():
            with locked(there):
                shutil.copytree(there, folder_of(self._root, target), dirs_exist_ok=True)

    def forget(self, thread_id: str) -> None:
        shutil.rmtree(folder_of(self._root, thread_id), ignore_errors=True)

    def _facts(self, folder: Path, name: str) -> tuple[Value, str] | None:
        """The value and the name of its file; None when there is none that can be read."""
        try:
            told = files.read_object(folder, f"{name}.facts")
            return None if told is None else value_from(told)
        except (Unreadable, TypeError, KeyError):
            return None


def value_from(told: Mapping[str, Any]) -> tuple[Value, str]:
    facts = {key: told[key] for key in ("name", "kind", "type", "shape", "size", "artifact_id")}
    return Value(**facts, order=Order(**told["order"])), str(told["file"])


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Alone in the folder, among all processes."""
    with (folder / LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
