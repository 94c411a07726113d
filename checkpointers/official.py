"""Files of LangGraph's own SqliteSaver: their threads are taken over, one after another, when the file is opened."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import ormsgpack

from checkpointers.encoding import Codec, Raw, RawList, typed
from checkpointers.errors import StoreError
from checkpointers.records import Place
from checkpointers.transfer import RawCheckpoint, RawWrite

Execute = Callable[..., Any]


def is_there(execute: Execute) -> bool:
    columns = {row[1] for row in execute("PRAGMA table_info(checkpoints)")}
    return {"thread_id", "checkpoint_ns", "checkpoint_id", "type", "checkpoint"} <= columns


def threads(execute: Execute) -> list[str]:
    return [row[0] for row in execute("SELECT DISTINCT thread_id FROM checkpoints ORDER BY thread_id")]


def checkpoints(execute: Execute, thread_id: str, codec: Codec) -> Iterator[RawCheckpoint]:
    """A thread's checkpoints, oldest first, a row at a time: the official saver keeps the whole history in each."""
    rows = execute(
        "SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata FROM checkpoints "
        "WHERE thread_id=? ORDER BY checkpoint_ns, checkpoint_id",
        (thread_id,),
    )
    for ns, checkpoint_id, parent, kind, data, metadata in rows:
        checkpoint = _opened(kind, data, codec)
        values = checkpoint.pop("channel_values", None) or {}
        checkpoint.pop("id", None)
        yield RawCheckpoint(
            Place(thread_id, ns),
            checkpoint_id,
            parent,
            json.loads(metadata) if metadata else {},
            codec.dumps(checkpoint),
            {channel: _raw(value, codec) for channel, value in values.items()},
            _writes(execute, (thread_id, ns, checkpoint_id), codec),
        )


def removal(thread_id: str | None) -> tuple[str, ...]:
    """The statements that remove a thread's official rows, or with None the empty tables."""
    if thread_id is None:
        return ("DROP TABLE checkpoints", "DROP TABLE IF EXISTS writes")
    return ("DELETE FROM checkpoints WHERE thread_id=?", "DELETE FROM writes WHERE thread_id=?")


def _writes(execute: Execute, key: tuple[str, str, str], codec: Codec) -> list[RawWrite]:
    columns = {row[1] for row in execute("PRAGMA table_info(writes)")}
    path = "task_path" if "task_path" in columns else "''"
    rows = execute(
        f"SELECT {path}, task_id, idx, channel, type, value FROM writes "  # noqa: S608 one of two texts above
        "WHERE thread_id=? AND checkpoint_ns=? AND checkpoint_id=? ORDER BY task_id, idx",
        key,
    )
    return [
        RawWrite(path, task_id, idx, channel, codec.dumps(_opened_value(kind, data, codec)))
        for path, task_id, idx, channel, kind, data in rows
    ]


def _opened(kind: str, data: bytes, codec: Codec) -> dict[str, Any]:
    """The checkpoint's own structure; what its values hold stays packed."""
    kind, data = _decrypted(kind, data, codec)
    if kind == "msgpack":
        found: dict[str, Any] = ormsgpack.unpackb(data, ext_hook=ormsgpack.Ext, option=ormsgpack.OPT_NON_STR_KEYS)
        return found
    older: dict[str, Any] = codec.plain.loads_typed((kind, data))
    return older


def _opened_value(kind: str, data: bytes, codec: Codec) -> Any:
    kind, data = _decrypted(kind, data, codec)
    return codec.plain.loads_typed((kind, data)) if kind == "json" else Raw(typed(kind, data or b""))


def _decrypted(kind: str, data: bytes, codec: Codec) -> tuple[str, bytes]:
    plain, _, cipher = kind.partition("+")
    if not cipher:
        return kind, data
    if codec.cipher is None:
        raise StoreError("this file is encrypted: open it with the serde it was written with (serde=…)")
    return plain, codec.cipher.decrypt(cipher, data)


def _raw(value: Any, codec: Codec) -> Raw | RawList:
    if isinstance(value, list) and codec.strict:
        return RawList([ormsgpack.packb(element, option=ormsgpack.OPT_NON_STR_KEYS) for element in value])
    return Raw(codec.dumps(value))
