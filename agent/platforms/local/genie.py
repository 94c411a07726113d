"""Genie without a workspace: a chat model writes the SQL, the local warehouse answers it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from threading import Event, Lock
from typing import Any, Protocol

from agent.data.catalogue import catalogue
from agent.guards.sql import SqlRules, check_sql
from agent.tools.services import GenieAnswer, GenieUnavailable
from graph.errors import InvalidRequest

ROWS = 1_000
REMEMBERED = 5
ATTEMPTS = 3
FENCE = re.compile(r"```(?:sql)?\s*\n(.*?)```", re.S | re.I)


class Tables(Protocol):
    def tables(self) -> Sequence[Any]: ...

    def query(self, sql: str, *, limit: int | None = None) -> Any:
        """An Arrow table. Raises InvalidRequest with the engine's reason."""


@dataclass(frozen=True)
class Exchange:
    """A question of the conversation and the SQL that answered it, or the error that SQL met."""

    question: str
    sql: str
    error: str | None = None


GeniePrompt = Callable[[str, str, Sequence[Exchange]], str]
"""From the question, what describes the tables and the conversation so far to the text that the model is asked with."""


class LocalGenie:
    """`ask` is the model; `folder` keeps a thread's conversation in a file, so that a follow-up survives a restart."""

    def __init__(self, warehouse: Tables, ask: Callable[[str], str], prompt: GeniePrompt, folder: Path) -> None:
        self._warehouse = warehouse
        self._ask = ask
        self._prompt = prompt
        self._conversations = Conversations(folder)

    def ask(self, question: str, thread_id: str, cancelled: Event | None = None) -> GenieAnswer:
        """Let the model try again with the error when its SQL fails; raises GenieUnavailable after ATTEMPTS."""
        conversation = self._conversations.remembered(thread_id)
        failed: list[Exchange] = []
        for _ in range(ATTEMPTS):
            tables = catalogue(self._warehouse.tables(), question)
            reply = self._ask(self._prompt(question, tables, [*conversation, *failed]))
            sql = sql_in(reply)
            if not sql:
                return GenieAnswer(text=reply.strip())
            try:
                answer = self._answer(reply, sql)
            except InvalidRequest as error:
                failed.append(Exchange(question, sql, str(error)))
                continue
            self._conversations.remember(thread_id, Exchange(question, sql))
            return answer
        raise GenieUnavailable(f"the SQL failed: {failed[-1].error} The last one was: {failed[-1].sql}")

    def _answer(self, reply: str, sql: str) -> GenieAnswer:
        if refusal := check_sql(sql, SqlRules()):
            raise InvalidRequest(refusal.message)
        found = self._warehouse.query(sql, limit=ROWS + 1)
        rows = tuple(zip(*(column.to_pylist() for column in found.slice(0, ROWS).columns), strict=True))
        text = FENCE.sub("", reply).strip() if FENCE.search(reply) else ""
        return GenieAnswer(text, sql, tuple(found.column_names), rows, len(rows), found.num_rows > ROWS)


class Conversations:
    """What each thread asked, in a file of its own in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writing = Lock()

    def remembered(self, thread_id: str) -> list[Exchange]:
        """A file that can't be read is a conversation that has not begun."""
        try:
            return [Exchange(**item) for item in json.loads(self._path(thread_id).read_text(encoding="utf-8"))]
        except (OSError, ValueError, TypeError):
            return []

    def remember(self, thread_id: str, exchange: Exchange) -> None:
        """One reply of the analyst may ask several questions at the same time."""
        path = self._path(thread_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._writing:
            kept = [*self.remembered(thread_id), exchange][-REMEMBERED:]
            written = path.with_suffix(".new")
            try:
                written.write_text(json.dumps([asdict(one) for one in kept]), encoding="utf-8")
                written.replace(path)
            finally:
                written.unlink(missing_ok=True)

    def forget(self, thread_id: str) -> None:
        self._path(thread_id).unlink(missing_ok=True)

    def _path(self, thread_id: str) -> Path:
        return self._folder / f"{sha256(thread_id.encode(errors='surrogatepass')).hexdigest()[:32]}.json"


def sql_in(reply: str) -> str | None:
    """The SQL of a reply: what is fenced, or the whole of it when it begins like a query."""
    fenced = FENCE.search(reply)
    text = fenced.group(1) if fenced else reply
    bare = text.strip().rstrip(";").strip()
    return bare if fenced or re.match(r"(?i)(?:select|with|from|values|describe|summarize|show)\b", bare) else None
