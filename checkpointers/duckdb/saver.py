"""The saver, and SQL over what it saved."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from langgraph.checkpoint.serde.base import SerializerProtocol

from checkpointers import addresses
from checkpointers.duckdb.store import DuckDBStore
from checkpointers.earlier import DUCKDB as EARLIER
from checkpointers.embedded import EmbeddedSaver
from checkpointers.lease import lock_folder
from checkpointers.retention import Retention
from checkpointers.saver import Durability, serializer


class DuckDBSaver(EmbeddedSaver):
    """Checkpoints in one DuckDB file; `query` reads the history with SQL.

    >>> from checkpointers import DuckDBSaver
    >>> with DuckDBSaver.from_conn_string(":memory:") as saver:
    ...     saver.query("SELECT count(*) FROM checkpoints")
    [(0,)]

    `durability` "full" waits for the disk at each step; with "normal" nothing is lost when the process is killed, the
    last steps may be when the power fails.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        serde: SerializerProtocol | None = None,
        allowed_types: Iterable[tuple[str, ...]] = (),
        encryption_key: bytes | None = None,
        durability: Durability = "full",
        retention: Retention | None = None,
        always_serialize: bool = False,
    ) -> None:
        self._duck = DuckDBStore(addresses.of_file(path, "DuckDBSaver"), durability)
        chosen = serializer(serde, allowed_types, encryption_key)
        locks = lock_folder(self._duck.path)
        super().__init__(self._duck, locks, chosen, retention=retention, always_serialize=always_serialize)
        self._open(EARLIER)

    @classmethod
    def from_conn_string(cls, conn_string: str, **options: Any) -> Self:
        """For a `with` or an `async with` block."""
        return cls(conn_string, **options)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a SELECT over `checkpoints` (thread_id, ns, checkpoint_id, parent_id, metadata, source, step, bytes)
        and `messages` (thread_id, ns, channel, position, type, content: the newest state of each thread's lists)."""
        return self._duck.select(sql, parameters, self._messages)

    def _messages(self) -> Iterator[tuple[str, str, str, int, str, str]]:
        for thread in self.threads():
            for place in self._store.places(thread.thread_id):
                found = self._get(place, None)
                for channel, value in found.checkpoint["channel_values"].items() if found else ():
                    for position, element in enumerate(value if isinstance(value, list) else ()):
                        yield (*place, channel, position, *_shown(element))


def _shown(element: Any) -> tuple[str, str]:
    content = getattr(element, "content", element)
    kind = getattr(element, "type", type(element).__name__)
    return str(kind), content if isinstance(content, str) else json.dumps(content, default=str)
