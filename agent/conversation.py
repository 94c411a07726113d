"""Which conversation a request goes on with: the thread it names, the turn it follows, or what it says was said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from agent.records.index import Place, ThreadIndex
from agent.request import Request
from graph.errors import NotFound

if TYPE_CHECKING:
    from agent.threads import Threads


def choose_thread(request: Request, threads: Threads, index: ThreadIndex) -> Request:
    """The request with a thread. A history that is no thread's transcript begins a new one.

    Raises NotFound for a turn that is not there.
    """
    if request.thread_id is not None:
        return request
    if request.after is not None:
        return replace(request, thread_id=thread_of(request, request.after, threads, index))
    for place in matches(request, threads, index):
        return replace(request, thread_id=place.thread_id, after=place.request_id)
    return replace(request, thread_id=str(uuid4()))


def thread_of(request: Request, after: str, threads: Threads, index: ThreadIndex) -> str:
    """Where `after` was asked; for a request that is made again, the copy on which it has its answer already."""
    for asked in filter(None, (request.request_id, after)):
        thread_id = index.thread_of(request.principal.name, asked)
        if thread_id is not None and turns_until(threads.state(thread_id), after) is not None:
            return thread_id
    raise NotFound(f"There is no response resp_{after}.")


def matches(request: Request, threads: Threads, index: ThreadIndex) -> list[Place]:
    """Where the request's history was said, threads that still stand there first: the others have gone on since."""
    if not request.history:
        return []
    places = index.places(request.principal.name, request.history)
    states = {place: threads.state(place.thread_id) for place in places}
    there = [place for place in places if turns_until(states[place], place.request_id) is not None]
    return sorted(there, key=lambda place: has_gone_on(states[place], place.request_id))


def has_gone_on(values: Mapping[str, Any], after: str) -> bool:
    """Whether a thread's last turn is another than `after`."""
    return "turn" in values and values["turn"].request_id != after


def turns_until(values: Mapping[str, Any], after: str) -> int | None:
    """How many turns a thread had when `after` had ended; None when that turn is not on it."""
    asked = [message.id for message in values.get("messages", []) if message.type == "human" and message.name is None]
    return asked.index(after) + 1 if after in asked else None
