"""What a platform brings: stores that survive, and for each principal and source the live things of a turn."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from agent.principal import Principal
from graph.context import RunContext

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.tools import BaseTool

    from agent.artifacts.protocol import Artifacts
    from agent.artifacts.values import ValueStore
    from agent.data.loading import Progress
    from agent.data.question import LongQuestions
    from agent.data.source import DataSource
    from agent.records.index import ThreadIndex
    from agent.records.protocol import RecordStore
    from agent.records.scopes import Scopes
    from agent.tools.services import Catalog
    from checkpointers import Saver

Secrets = Callable[[str], str | None]
"""Looks up a secret by the name of its variable."""

MOST_WORKBENCHES = 32
"""How many are kept open while nobody uses them."""


@dataclass(frozen=True)
class Given:
    """What the caller brings: secrets by name, a WorkspaceClient for Lakebase and ChatDatabricks (without it they find
    their own credentials), models instead of the settings' ones, tools of its own, and who hears how far the loading
    of files is.
    """

    secrets: Secrets = lambda name: None
    workspace: Callable[[], Any] | None = None
    base_model: BaseChatModel | None = None
    sub_model: BaseChatModel | None = None
    tools: Iterable[BaseTool] = ()
    on_progress: Callable[[Progress], None] | None = None


class Keeper(Protocol):
    """Something that keeps things about threads."""

    def forget(self, thread_id: str) -> object:
        """Delete what is kept about the thread; nothing is no error."""


@dataclass(frozen=True)
class Stores:
    """What outlives the process. Opening them needs no model and no data.

    `keepers`: whatever else hangs on threads. `place` is where what is begun can be found again; None: in this home.
    """

    saver: Saver
    records: RecordStore
    artifacts: Artifacts
    scopes: Scopes
    index: ThreadIndex
    questions: LongQuestions
    values: ValueStore
    keepers: tuple[Keeper, ...] = ()
    place: str | None = None


@dataclass(frozen=True)
class Workbench:
    """What one principal's turns over one source work with. `context` lacks what only the request knows."""

    context: RunContext
    catalog: Catalog


@dataclass(frozen=True)
class Parts:
    """An agent's live things."""

    stores: Stores
    workbenches: Workbenches


@dataclass
class _Held:
    bench: Workbench
    stack: ExitStack
    users: int = 0


@dataclass
class Workbenches:
    """Builds each workbench once and keeps it while it is used; of those that nobody uses, the latest few."""

    build: Callable[[Principal, DataSource, ExitStack], Workbench]
    _kept: OrderedDict[tuple[str | None, DataSource], _Held] = field(default_factory=OrderedDict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @contextmanager
    def hold(self, principal: Principal, source: DataSource) -> Iterator[Workbench]:
        """Raises AgentError when the source can't be opened."""
        key = (principal.identity, source)
        with self._lock:
            held = self._kept.get(key) or self._open(principal, source)
            self._kept[key] = held
            self._kept.move_to_end(key)
            held.users += 1
        try:
            yield held.bench
        finally:
            with self._lock:
                held.users -= 1
                self._close_old()

    def close(self) -> None:
        with self._lock:
            while self._kept:
                self._kept.popitem()[1].stack.close()

    def _open(self, principal: Principal, source: DataSource) -> _Held:
        with ExitStack() as stack:
            bench = self.build(principal, source, stack)
            return _Held(bench, stack.pop_all())
        raise AssertionError("unreachable")

    def _close_old(self) -> None:
        idle = [key for key, held in self._kept.items() if held.users == 0]
        for key in idle[: max(0, len(idle) - MOST_WORKBENCHES)]:
            self._kept.pop(key).stack.close()
