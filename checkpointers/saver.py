"""The part of a saver that doesn't depend on how it stores: configs, listing, the async API, leases."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from abc import abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, ParamSpec, Self, TypeVar
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_id,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer

from checkpointers import lease as leases
from checkpointers import transfer
from checkpointers.encoding import Codec, Raw, strict_serializer
from checkpointers.errors import CorruptRow, ThreadBusy
from checkpointers.lease import Hold, Lease, Policy
from checkpointers.records import Listed, Place, Selection, ThreadInfo
from checkpointers.retention import Retention
from checkpointers.transfer import RawCheckpoint

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")
Durability = Literal["full", "normal"]
_WORKERS = 32
_STEPS_BETWEEN_PRUNES = 16
_SECONDS_BETWEEN_LOOKS = 600.0
_PAGE = 64


def serializer(
    serde: SerializerProtocol | None, allowed_types: Iterable[tuple[str, ...]], encryption_key: bytes | None
) -> SerializerProtocol:
    """The strict serializer unless another is given, inside AES-GCM when there is a key."""
    chosen = serde or strict_serializer(allowed_types)
    if encryption_key is None:
        return chosen
    from checkpointers.encryption import AesGcm

    return EncryptedSerializer(AesGcm(encryption_key), chosen)


class Saver(BaseCheckpointSaver[Any]):
    """LangGraph's contract, sync and async in one class; stores fill in the abstract methods."""

    name: str

    def __init__(self, serde: SerializerProtocol, retention: Retention | None = None) -> None:
        super().__init__(serde=serde)
        self._codec = Codec(self.serde)
        self._workers = _Workers()
        self._retention = retention or Retention()
        self._puts: Counter[Place] = Counter()
        self._expired = time.monotonic()

    # What a store answers

    @abstractmethod
    def _put(
        self,
        place: Place,
        parent: str | None,
        checkpoint: Checkpoint,
        metadata: Mapping[str, Any],
        new: ChannelVersions,
    ) -> None: ...

    @abstractmethod
    def _put_writes(
        self, place: Place, checkpoint_id: str, writes: Sequence[tuple[int, str, Any]], task: tuple[str, str]
    ) -> None:
        """`writes` are (index, channel, value), `task` is its id and path."""

    @abstractmethod
    def _raw_checkpoints(self, thread_id: str) -> Iterator[RawCheckpoint]:
        """A thread's checkpoints, oldest first in each place."""

    @abstractmethod
    def _get(self, place: Place, checkpoint_id: str | None) -> CheckpointTuple | None: ...

    @abstractmethod
    def _page(self, selection: Selection) -> Sequence[Listed]: ...

    @abstractmethod
    def _prune(self, thread_id: str, keep_last: int) -> None: ...

    @abstractmethod
    def _claim(self, thread_id: str, key: str, data: bytes) -> bool: ...

    @abstractmethod
    def _claimed(self, thread_id: str, key: str) -> bytes | None: ...

    @abstractmethod
    def _attempt(self, thread_id: str) -> Hold | None:
        """Take the thread's lock, or None when another run has it."""

    @abstractmethod
    def _holder(self, thread_id: str) -> str:
        """Who has the thread's lock."""

    @abstractmethod
    def request_cancel(self, thread_id: str) -> bool:
        """Ask the run that holds the thread to end: its `lease.cancel_requested()` is True from now on. False when
        none holds it."""

    @abstractmethod
    def _next_fence(self, thread_id: str) -> int:
        """A number that wasn't given out for this thread before."""

    @abstractmethod
    def threads(self) -> Iterable[ThreadInfo]:
        """Every thread with its size, the one used last first."""

    @abstractmethod
    def vacuum(self) -> None:
        """Merge small rows and give free space back to the disk."""

    @abstractmethod
    def close(self) -> None: ...

    # Opening and closing

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._in_worker(self.close)

    def setup(self) -> None:
        """Nothing to do: tables are made when the store is opened. Here because the official savers ask for it."""

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> BaseCheckpointSaver[Any]:
        clone = super().with_allowlist(extra_allowlist)
        if isinstance(clone, Saver) and clone is not self:
            clone._codec = Codec(clone.serde)  # locks and what is remembered stay shared
        return clone

    # LangGraph's contract

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        place = place_of(config)
        self._put(place, get_checkpoint_id(config), checkpoint, get_checkpoint_metadata(config, metadata), new_versions)
        self._retain(place)
        return _config(config["configurable"]["thread_id"], place.ns, checkpoint["id"])

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        if writes:
            numbered = [(WRITES_IDX_MAP.get(channel, i), channel, value) for i, (channel, value) in enumerate(writes)]
            self._put_writes(place_of(config), config["configurable"]["checkpoint_id"], numbered, (task_id, task_path))

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return self._get(place_of(config), get_checkpoint_id(config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Newest first, a page at a time: nothing is held open, so the saver can be used between two items."""
        for page in self._found(config, filter or {}, before, limit):
            yield from page

    def _found(
        self,
        config: RunnableConfig | None,
        wanted: dict[str, Any],
        before: RunnableConfig | None,
        limit: int | None,
    ) -> Iterator[Sequence[CheckpointTuple]]:
        left = float("inf") if limit is None else limit
        selection = _selection(config, before)
        while left > 0:
            size = _PAGE if wanted else int(min(_PAGE, left))
            page = self._page(replace(selection, limit=size))
            found = []
            for item in page:
                if left > 0 and _matches(item.metadata, wanted) and (loaded := item.load()):
                    found.append(loaded)
                    left -= 1
            yield found
            if len(page) < size:
                return
            selection = replace(selection, after=(page[-1].id, page[-1].place))

    # Retention

    def prune(  # type: ignore[override]
        self, thread_ids: Sequence[str], *, strategy: str = "keep_latest", keep_last: int = 1
    ) -> Sequence[str]:
        """ "keep_latest" keeps the `keep_last` newest checkpoints of each namespace, and what they and open interrupts
        need; "delete" removes the threads. A thread that a run holds is left alone: the ids of those."""
        if isinstance(thread_ids, str):
            raise TypeError(f"thread_ids is a sequence of thread ids, not the string {thread_ids!r}")
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"strategy is 'keep_latest' or 'delete', not {strategy!r}")
        Retention(keep_last)
        prune = self.delete_thread if strategy == "delete" else partial(self._prune, keep_last=keep_last)
        return [thread_id for thread_id in map(str, thread_ids) if not self._unless_held(thread_id, prune)]

    def expire(self) -> Sequence[str]:
        """Delete the threads that nobody touched for the retention's `ttl`, and that no run holds; their ids."""
        self._expired = time.monotonic()
        if self._retention.ttl is None:
            return []
        oldest = datetime.now(UTC) - self._retention.ttl
        old = [t.thread_id for t in self.threads() if t.updated_at is not None and t.updated_at < oldest]
        others = [thread_id for thread_id in old if not leases.held(self.name, thread_id)]
        return [thread_id for thread_id in others if self._unless_held(thread_id, self.delete_thread)]

    def _unless_held(self, thread_id: str, act: Callable[[str], None]) -> bool:
        if leases.held(self.name, thread_id):  # by this very run
            act(thread_id)
            return True
        hold = self._attempt(thread_id)
        if hold is None:
            log.info("a thread in use is left alone", extra={"store": self.name, "thread_id": thread_id})
            return False
        try:
            act(thread_id)
        finally:
            hold.release()
        return True

    def _retain(self, place: Place) -> None:
        """What retention asks for while the store is open: after some steps, and every now and then."""
        keep_last, ttl = self._retention.keep_last, self._retention.ttl
        if keep_last:
            self._puts[place] += 1
            if self._puts[place] >= max(keep_last, _STEPS_BETWEEN_PRUNES):
                del self._puts[place]
                self._prune(place.thread_id, keep_last)
        if ttl is not None and time.monotonic() - self._expired > min(ttl.total_seconds(), _SECONDS_BETWEEN_LOOKS):
            self.expire()

    # Moving threads

    def export_thread(self, thread_id: str, path: str | Path) -> int:
        """Write one thread to a file, whatever store it is in; how many checkpoints it has."""
        return transfer.write(Path(path), str(thread_id), self._raw_checkpoints(str(thread_id)))

    def import_thread(self, path: str | Path, thread_id: str | None = None) -> str:
        """Read an exported thread, under its old id or another; the id. A thread that exists is not touched."""
        target, checkpoints = transfer.read(Path(path), thread_id)
        if self._page(Selection(target, limit=1)):
            raise ValueError(f"thread {target!r} exists: import it under another id, or delete it first")
        self._adopt(checkpoints)
        return target

    def _adopt(self, checkpoints: Iterable[RawCheckpoint]) -> None:
        """Save checkpoints that another store made."""
        known: dict[Place, ChannelVersions] = {}
        for raw in checkpoints:
            checkpoint: Any = self._adopted({**self._codec.loads(raw.head), "id": raw.id, "channel_values": raw.values})
            versions = checkpoint["channel_versions"]
            before = known.get(raw.place, {})
            new = {channel: v for channel, v in versions.items() if before.get(channel) != v}
            self._put(raw.place, raw.parent, checkpoint, raw.metadata, new)
            known[raw.place] = versions
            for task, rows in groupby(sorted(raw.writes), key=lambda w: (w.task_id, w.task_path)):
                self._put_writes(raw.place, raw.id, [(w.idx, w.channel, Raw(w.data)) for w in rows], task)

    def _adopted(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        return checkpoint

    # Claims: what a run on the thread may start at most once, whoever holds the thread and from wherever it runs

    def claim(self, thread_id: str, key: str, value: str) -> bool:
        """Whether the key was free and now is this value's: of several that ask, here or in any other process, one is
        told True. A claim is never taken back; it goes with its thread, and a copy of the thread has it too."""
        return self._claim(str(thread_id), key, self._codec.seal(value.encode()))

    def claimed(self, thread_id: str, key: str) -> str | None:
        """What the key was claimed with, or None."""
        data = self._claimed(str(thread_id), key)
        try:
            return None if data is None else self._codec.open(data).decode()
        except ValueError as error:
            raise CorruptRow(self.name, f"claim {key!r} of thread {thread_id!r}", str(error)) from error

    # Leases

    @contextlib.contextmanager
    def lease(self, thread_id: str, policy: Policy = "wait", timeout: float = 30.0) -> Iterator[Lease]:
        """Hold the thread for the `with` block, and run on `lease.thread_id`.

        When another run holds it: "wait" tries for `timeout` seconds, "reject" raises `ThreadBusy` at once, "fork"
        goes on in a copy of the thread.
        """
        begun = time.monotonic()
        hold = self._attempt(str(thread_id))
        if hold is None and _waits(policy):
            for pause in leases.pauses(timeout):
                time.sleep(pause)
                if hold := self._attempt(str(thread_id)):
                    break
        with leases.entered(self._granted(str(thread_id), hold, policy, time.monotonic() - begun)) as lease:
            yield lease

    @contextlib.asynccontextmanager
    async def alease(self, thread_id: str, policy: Policy = "wait", timeout: float = 30.0) -> AsyncIterator[Lease]:
        """`lease` for async code: waiting doesn't block the event loop."""
        begun = time.monotonic()
        hold = await self._taken(self._attempt, str(thread_id))
        if hold is None and _waits(policy):
            for pause in leases.pauses(timeout):
                await asyncio.sleep(pause)
                if hold := await self._taken(self._attempt, str(thread_id)):
                    break
        granted = await self._taken(self._granted, str(thread_id), hold, policy, time.monotonic() - begun)
        with leases.entered(granted) as lease:
            yield lease

    async def _taken(self, take: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """In a worker; what it took is given back when nobody waits for it any more."""
        taking = asyncio.ensure_future(self._in_worker(take, *args, **kwargs))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(_give_back)
            raise

    def _granted(self, thread_id: str, hold: Hold | None, policy: Policy, waited: float) -> Lease:
        """The hold as a lease, or another hold on a copy. Whatever fails, no hold is left."""
        if hold is None and policy != "fork":
            raise ThreadBusy(thread_id, self._holder(thread_id), waited if policy == "wait" else 0.0)
        chosen = thread_id if hold else f"{thread_id}~{uuid4().hex[:8]}"
        held = hold or self._attempt(chosen)
        if held is None:
            raise ThreadBusy(chosen, self._holder(chosen), waited)
        try:
            if hold is None:
                self.copy_thread(thread_id, chosen)
            return Lease(chosen, self.name, self._next_fence(chosen), held, None if hold else thread_id)
        except BaseException:
            held.release()
            raise

    # The async API: the same methods in worker threads, so that a waiting disk or server never blocks the event loop

    async def _in_worker(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        run = partial(copy_context().run, call, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._workers.pool(), run)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await self._in_worker(self.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        pages = self._found(config, filter or {}, before, limit)
        while (page := await self._in_worker(next, pages, None)) is not None:
            for found in page:
                yield found

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await self._in_worker(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        await self._in_worker(self.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        await self._in_worker(self.delete_thread, thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        await self._in_worker(self.delete_for_runs, run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        await self._in_worker(self.copy_thread, source_thread_id, target_thread_id)

    async def aprune(  # type: ignore[override]
        self, thread_ids: Sequence[str], *, strategy: str = "keep_latest", keep_last: int = 1
    ) -> Sequence[str]:
        return await self._in_worker(self.prune, thread_ids, strategy=strategy, keep_last=keep_last)

    async def aclaim(self, thread_id: str, key: str, value: str) -> bool:
        return await self._in_worker(self.claim, thread_id, key, value)

    async def aclaimed(self, thread_id: str, key: str) -> str | None:
        return await self._in_worker(self.claimed, thread_id, key)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        return await self._in_worker(self.get_delta_channel_history, config=config, channels=channels)


class _Workers:
    """The worker threads that a saver and its clones share; started by the first async call."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    def pool(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="checkpointer")
        return self._pool

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False)


def _give_back(taken: asyncio.Future[Any]) -> None:
    if not taken.cancelled() and taken.exception() is None and taken.result() is not None:
        found = taken.result()
        (found.hold if isinstance(found, Lease) else found).release()


def place_of(config: RunnableConfig) -> Place:
    configurable = config["configurable"]
    if configurable.get("thread_id") is None:
        raise ValueError('the config has no thread: give {"configurable": {"thread_id": …}}')
    return Place(str(configurable["thread_id"]), str(configurable.get("checkpoint_ns") or ""))


def tuple_config(place: Place, checkpoint_id: str) -> RunnableConfig:
    return _config(place.thread_id, place.ns, checkpoint_id)


def _config(thread_id: Any, ns: str, checkpoint_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": ns, "checkpoint_id": checkpoint_id}}


def _selection(config: RunnableConfig | None, before: RunnableConfig | None) -> Selection:
    configurable = (config or {}).get("configurable", {})
    thread_id, ns = configurable.get("thread_id"), configurable.get("checkpoint_ns")
    return Selection(
        thread_id=None if thread_id is None else str(thread_id),
        ns=None if ns is None else str(ns),
        id=configurable.get("checkpoint_id"),
        before=get_checkpoint_id(before) if before else None,
    )


def _matches(metadata: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(
        (key in metadata and metadata[key] == value) or metadata.get(key) is value for key, value in wanted.items()
    )


def _waits(policy: Policy) -> bool:
    if policy not in ("wait", "reject", "fork"):
        raise ValueError(f"policy is 'wait', 'reject' or 'fork', not {policy!r}")
    return policy == "wait"
