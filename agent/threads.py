"""What can be done with saved conversations, for every front end. Needs the stores alone, no model and no data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from agent.data.source import source_from_json
from agent.principal import Principal
from graph.errors import AgentError, InvalidRequest, NotFound
from graph.types import Capsule, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_core.messages import AnyMessage
    from langgraph.checkpoint.base import CheckpointTuple

    from agent.platforms.parts import Stores

ARTIFACT = re.compile(r"\[?(art_[0-9a-f]{12})\b")
"""How the answer to a delegation begins."""


@dataclass(frozen=True)
class Exchange:
    """One turn as it was said, and the artifacts of its delegations in their order."""

    question: str
    answer: str
    request_id: str = ""
    artifact_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class ThreadSummary:
    thread_id: str
    turns: int
    updated_at: datetime | None
    question: str


@dataclass(frozen=True)
class ThreadSize:
    thread_id: str
    checkpoints: int
    bytes: int


@dataclass(frozen=True)
class Pruned:
    """How many threads were pruned; `skipped` are those on which a turn runs, left as they are."""

    count: int
    skipped: tuple[str, ...]


class Threads:
    """The threads that `principal` may see: its own. What is another's is not there."""

    def __init__(self, stores: Stores, principal: Principal | None = None) -> None:
        self._saver, self._records, self._artifacts = stores.saver, stores.records, stores.artifacts
        self._values = stores.values
        self._keepers = stores.keepers
        self._index, self._questions = stores.index, stores.questions
        self._principal = principal or Principal()

    def find(self, text: str) -> str:
        """The thread with this id, or the only one whose id starts so. Raises NotFound, InvalidRequest."""
        ids = [thread.thread_id for thread in self._saver.threads()]
        if text in ids:
            return self._own(text)
        match [one for one in ids if one.startswith(text)]:
            case [one]:
                return self._own(one)
            case []:
                near = get_close_matches(text, ids, n=1)
                hint = f"did you mean {near[0]}?" if near else "`threads list` shows which there are"
                raise NotFound(f"There is no thread {text}; {hint}")
            case several:
                raise InvalidRequest(f"{len(several)} threads start with {text}; give more of the id")

    def state(self, thread_id: str) -> Mapping[str, Any]:
        """What the thread's last checkpoint holds; empty for an unknown thread. Raises NotFound for another's."""
        saved = self._saver.get_tuple(config_of(thread_id))
        values = saved.checkpoint["channel_values"] if saved else {}
        check_owner(values, self._principal, thread_id)
        return values

    def messages(self, thread_id: str) -> list[AnyMessage]:
        return list(self.state(thread_id).get("messages", []))

    def exchanges(self, thread_id: str) -> list[Exchange]:
        return exchanges(self.messages(thread_id))

    def latest(self, most: int) -> list[ThreadSummary]:
        """The latest first."""
        threads = sorted(
            self._saver.threads(), key=lambda thread: (thread.updated_at is not None, thread.updated_at), reverse=True
        )
        return [self._summary(thread) for thread in islice((one for one in threads if self._is_own(one)), most)]

    def sizes(self) -> list[ThreadSize]:
        """The largest first."""
        threads = sorted(self._saver.threads(), key=lambda thread: thread.bytes, reverse=True)
        return [ThreadSize(one.thread_id, one.checkpoints, one.bytes) for one in threads if self._is_own(one)]

    def rewind(self, thread_id: str, turns: int) -> None:
        """Make the end of a thread's turn `turns` its latest checkpoint again; what came later stays in its history.

        Raises InvalidRequest when there is no such turn to go back to, ThreadBusy while a turn runs on the thread.
        """
        from langgraph.checkpoint.base.id import uuid6

        with self._saver.lease(self._own(thread_id), policy="reject"):
            saved = (one for one in self._saver.list(config_of(thread_id)) if ended_after(one, turns))
            point = next(saved, None)
            if point is None:
                raise InvalidRequest(f"{thread_id} can't go back to turn {turns}: `threads show` numbers its turns")
            checkpoint: Any = {**point.checkpoint, "id": str(uuid6()), "ts": datetime.now(UTC).isoformat()}
            metadata: Any = {**point.metadata, "source": "fork", "step": point.metadata.get("step", 0) + 1}
            self._saver.put(point.config, checkpoint, metadata, {})

    def fork(self, thread_id: str, new: str | None = None, turns: int | None = None) -> str:
        """Copy a thread, up to its last turn that ended or its first turns; the copy's id. Raises InvalidRequest."""
        from agent.resuming import drop_unfinished
        from graph.builder import build_graph

        target = new or str(uuid4())
        if any(thread.thread_id == target for thread in self._saver.threads()):
            raise InvalidRequest(f"There is a thread {target} already; give another id.")
        self._saver.copy_thread(self._own(thread_id), target)
        self._values.copy(thread_id, target)
        drop_unfinished(build_graph(self._saver), config_of(target))
        if turns is not None:
            self.rewind(target, turns)
        return target

    def delete(self, thread_id: str) -> None:
        """Delete a thread for good, with all that hangs on it. Raises ThreadBusy while a turn runs on it."""
        with self._saver.lease(self._own(thread_id), policy="reject"):
            for artifact_id in self._artifacts_of(thread_id):
                self._artifacts.delete(artifact_id)
            for keeper in self._keepers:
                keeper.forget(thread_id)
            self._values.forget(thread_id)
            self._records.forget(thread_id)
            self._index.forget(thread_id)
            self._questions.forget(thread_id)
            self._saver.delete_thread(thread_id)

    def about(self, thread_id: str) -> Capsule:
        """What the analyst carries of the thread; `data` says what it is about."""
        state = self.state(thread_id)
        capsule: Capsule = state.get("capsule") or Capsule()
        source = state.get("source")
        return replace(capsule, data=source_from_json(source).described if source else capsule.data)

    def cancel(self, thread_id: str) -> bool:
        """Ask the turn that runs on it, in whichever process, to stop; False when none runs.

        A thread is not saved before its first step, so its whole id is tried first. Raises NotFound.
        """
        return self._records.request_cancel(self._own(thread_id)) or self._records.request_cancel(self.find(thread_id))

    def prune(self, thread_ids: Sequence[str], keep: int) -> Pruned:
        """Drop all but the newest `keep` checkpoints of the threads, of all when none is named."""
        own = (one.thread_id for one in self._saver.threads() if self._is_own(one))
        ids = [self._own(one) for one in thread_ids] or list(own)
        skipped = tuple(self._saver.prune(ids, keep_last=keep))
        return Pruned(len(ids) - len(skipped), skipped)

    def _artifacts_of(self, thread_id: str) -> set[str]:
        """By the records and by the thread's own state: either may have lost some. Not what a copy shares."""
        state = self.state(thread_id)
        capsule: Capsule = state.get("capsule") or Capsule()
        named = {*capsule.artifact_ids, *state.get("delegations", {})}
        recorded = {row.artifact_id for row in self._records.artifacts(thread_id)}
        return recorded | {one for one in named - recorded if self._made(one, thread_id)}

    def _made(self, artifact_id: str, thread_id: str) -> bool:
        try:
            return self._artifacts.read(artifact_id).thread_id == thread_id
        except (AgentError, OSError, ValueError, KeyError, TypeError):
            return False

    def vacuum(self) -> None:
        self._saver.vacuum()

    def export(self, thread_id: str, file: Path) -> int:
        """Write a thread to a file; the number of checkpoints."""
        with naming(file):
            return self._saver.export_thread(self._own(thread_id), file)

    def import_(self, file: Path, new: str | None = None) -> str:
        """Read a thread from an exported file; its id."""
        with naming(file):
            return self._saver.import_thread(file, new)

    def spent(self, thread_id: str) -> Mapping[str, Usage]:
        """What each of its requests used, as far as it was written down."""
        used: dict[str, Usage] = {}
        for row in self._records.telemetry_rows(self._own(thread_id), callback_name="after_model"):
            told = json.loads(row.payload_json or "{}")
            tokens = Usage(told.get("input_tokens", 0), told.get("output_tokens", 0), told.get("cost_usd", 0.0), 1)
            used[row.invocation_id or ""] = used.get(row.invocation_id or "", Usage()) + tokens
        return used

    def _summary(self, thread: Any) -> ThreadSummary:
        turns = exchanges(messages_of(self._saver.get_tuple(config_of(thread.thread_id))))
        return ThreadSummary(thread.thread_id, len(turns), thread.updated_at, turns[0].question if turns else "")

    def _own(self, thread_id: str) -> str:
        self.state(thread_id)
        return thread_id

    def _is_own(self, thread: Any) -> bool:
        try:
            self._own(thread.thread_id)
        except NotFound:
            return False
        return True


def check_owner(values: Mapping[str, Any], principal: Principal, thread_id: str) -> None:
    """Raises NotFound when the thread is somebody else's. Threads from before owners were kept are the local user's."""
    if values and values.get("owner", Principal().name) != principal.name:
        raise NotFound(f"There is no thread {thread_id}.")


def ended_after(saved: CheckpointTuple, turns: int) -> bool:
    turn = saved.checkpoint["channel_values"].get("turn")
    return turn is not None and turn.end is not None and len(exchanges(messages_of(saved))) == turns


def config_of(thread_id: str) -> Any:
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}


def messages_of(saved: CheckpointTuple | None) -> list[Any]:
    return list(saved.checkpoint["channel_values"].get("messages", [])) if saved else []


def exchanges(messages: Iterable[Any]) -> list[Exchange]:
    """Each question with the last that was said before the next. Results handed in later are no questions."""
    turns: list[Exchange] = []
    for message in messages:
        if message.type == "human" and message.name is None:
            turns.append(Exchange(message.text, "", str(message.id or "")))
        elif message.type == "ai" and turns and message.text.strip():
            turns[-1] = replace(turns[-1], answer=message.text)
        elif turns and (made := ARTIFACT.match(message.text)) and made[1] not in turns[-1].artifact_ids:
            turns[-1] = replace(turns[-1], artifact_ids=(*turns[-1].artifact_ids, made[1]))
    return turns


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """What is wrong with a file, or with the id that it would get, as one line."""
    try:
        yield
    except OSError as error:
        raise InvalidRequest(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise InvalidRequest(str(error)) from error
