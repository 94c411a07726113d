"""Which thread a client means that names none: by the id of a response, or by the transcript that it sends again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage
    from langgraph.store.base import BaseStore

REQUESTS, TRANSCRIPTS = "requests", "transcripts"
MOST_PLACES = 20
"""Threads with the same transcript that are looked at; people greet often."""


@dataclass(frozen=True)
class Place:
    """The end of a turn on a thread."""

    thread_id: str
    request_id: str


class ThreadIndex:
    """Kept in a LangGraph store, so that it survives a restart. What one principal did is not found by another.

    Transcripts are kept as digests of who said what; whitespace and how a side's words are cut into messages don't
    count, since clients join and trim them.
    """

    def __init__(self, store: BaseStore) -> None:
        self._store = store

    def note_request(self, principal: str, place: Place) -> None:
        self._put((REQUESTS, digest([principal])), digest([place.request_id]), place)

    def thread_of(self, principal: str, request_id: str) -> str | None:
        found = self._store.get((REQUESTS, digest([principal])), digest([request_id]))
        return None if found is None else str(found.value["thread"])

    def note_transcript(self, principal: str, transcript: Iterable[AnyMessage], place: Place) -> None:
        """`place` is where the thread stood when all of the transcript had been said."""
        self._put((TRANSCRIPTS, digest_of(principal, transcript)), digest([place.thread_id]), place)

    def places(self, principal: str, transcript: Iterable[AnyMessage]) -> list[Place]:
        """Where this was said, the latest first."""
        found = self._store.search((TRANSCRIPTS, digest_of(principal, transcript)), limit=MOST_PLACES)
        values = sorted((item.value for item in found), key=lambda value: -value["at"])
        return [Place(value["thread"], value["request"]) for value in values]

    def forget(self, thread_id: str) -> None:
        for namespace in ((REQUESTS,), (TRANSCRIPTS,)):
            while found := self._store.search(namespace, filter={"thread": thread_id}, limit=200):
                for item in found:
                    self._store.delete(item.namespace, item.key)

    def _put(self, namespace: tuple[str, ...], key: str, place: Place) -> None:
        value = {"thread": place.thread_id, "request": place.request_id, "at": time.time()}
        self._store.put(namespace, key, value, index=False)


def digest_of(principal: str, transcript: Iterable[AnyMessage]) -> str:
    return digest([principal, *spoken_texts(transcript)])


def spoken_texts(transcript: Iterable[AnyMessage]) -> Iterator[Any]:
    """Who said what, with each side's words in one piece."""
    spoken = ((message.type, "".join(message.text.split())) for message in transcript)
    for side, pieces in groupby((one for one in spoken if one[1]), key=lambda one: one[0]):
        yield side, "".join(text for _, text in pieces)


def digest(parts: list[Any]) -> str:
    return sha256(json.dumps(parts).encode()).hexdigest()
