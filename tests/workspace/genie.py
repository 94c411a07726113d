"""Genie: spaces with scripted answers whose SQL really runs.

ws.genie.add_space("sales", "Sales", "Orders of the year")
ws.genie.answer("sales", "how many orders", sql="SELECT count(*) AS orders FROM main.sales.orders")
ws.genie.answer("sales", "slow", text="Late.", stuck="ASKING_AI")       # never gets further
ws.genie.answer("sales", "old", sql="SELECT 1", ends="QUERY_RESULT_EXPIRED")   # until it is executed again
ws.genie.limit(5)                                                      # questions a minute, then 429
ws.genie.row_cap = 10                                                  # rows of a result, then it is truncated
"""

import re
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from tests.workspace.errors import ApiError, not_found
from tests.workspace.sql.namespace import Namespace

if TYPE_CHECKING:
    from tests.workspace.sql.statement import Statement
    from tests.workspace.workspace import Workspace

Status = Literal[
    "SUBMITTED",
    "FETCHING_METADATA",
    "ASKING_AI",
    "PENDING_WAREHOUSE",
    "EXECUTING_QUERY",
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "QUERY_RESULT_EXPIRED",
]
STEPS: tuple[Status, ...] = ("SUBMITTED", "FETCHING_METADATA", "ASKING_AI", "PENDING_WAREHOUSE", "EXECUTING_QUERY")
STEP_MILLISECONDS = 300
ROW_CAP = 5000


@dataclass(frozen=True)
class Answer:
    """What Genie says to a question that matches `pattern` (a regular expression, case ignored).

    `error` fails the message, and so does SQL that fails; `ends` is another final state than COMPLETED; `stuck` is a
    state that it never leaves.
    """

    pattern: str
    sql: str | None = None
    text: str | None = None
    description: str = ""
    suggestions: tuple[str, ...] = ()
    error: str | None = None
    ends: Status = "COMPLETED"
    stuck: Status | None = None


@dataclass
class Message:
    """A question and how far its answer is: a step further at each look (so that all states are seen) and with time."""

    id: str
    space: str
    conversation: str
    content: str
    answer: Answer
    created_at: int
    user: str
    statement: "Statement | None" = None
    executed_again: bool = False
    attachment: str = field(default_factory=lambda: uuid.uuid4().hex)
    looks: int = 0

    @property
    def status(self) -> Status:
        """Its state at this look."""
        step = max(self.looks, int((_now() - self.created_at) / STEP_MILLISECONDS))
        if self.answer.stuck in STEPS:
            step = min(step, STEPS.index(self.answer.stuck))
        if step < len(STEPS):
            return STEPS[step]
        if self.statement and not self.statement.wait(0):
            return "EXECUTING_QUERY"
        if self.error:
            return "FAILED"
        return "COMPLETED" if self.executed_again else self.answer.ends

    @property
    def error(self) -> str | None:
        """Why it fails: as scripted, or what the SQL came to."""
        if self.answer.error:
            return self.answer.error
        failed = self.statement is not None and self.statement.state == "FAILED"
        return str(self.statement.problem) if failed and self.statement else None


@dataclass
class Space:
    """A Genie space."""

    id: str
    title: str
    description: str
    namespace: Namespace
    answers: list[Answer] = field(default_factory=list)


@dataclass
class Conversation:
    """A thread of questions."""

    id: str
    space: str
    title: str
    created_at: int
    user: str
    messages: list[Message] = field(default_factory=list)


class Genie:
    """All spaces and conversations."""

    def __init__(self, ws: "Workspace") -> None:
        self._ws = ws
        self._lock = threading.Lock()
        self.spaces: dict[str, Space] = {}
        self.conversations: dict[str, Conversation] = {}
        self.row_cap = ROW_CAP
        self._per_minute: int | None = None
        self._asked_at: deque[float] = deque()

    def limit(self, per_minute: int | None) -> None:
        """Answer 429 to questions beyond so many a minute."""
        self._per_minute = per_minute
        self._asked_at.clear()

    def reset(self) -> None:
        """No limit but Databricks's."""
        self.limit(None)
        self.row_cap = ROW_CAP

    def add_space(
        self, space_id: str, title: str, description: str = "", *, catalog: str = "main", schema: str = "default"
    ) -> None:
        """A new space; its SQL looks names up in one schema."""
        self.spaces[space_id] = Space(space_id, title, description, Namespace(catalog, schema))

    def answer(self, space_id: str, pattern: str, **answer: object) -> None:
        """Script an answer; later ones go first."""
        self.space(space_id).answers.insert(0, Answer(pattern, **answer))  # type: ignore[arg-type]

    def space(self, space_id: str) -> Space:
        """One space; 404 otherwise."""
        if space_id not in self.spaces:
            raise not_found(f"Genie space {space_id} does not exist.")
        return self.spaces[space_id]

    def conversation(self, space_id: str, conversation_id: str) -> Conversation:
        """A conversation in a space; 404 otherwise."""
        found = self.conversations.get(conversation_id)
        if found is None or found.space != space_id:
            raise not_found(f"Conversation {conversation_id} does not exist in space {space_id}.")
        return found

    def message(self, space_id: str, conversation_id: str, message_id: str) -> Message:
        """A message of a conversation; 404 otherwise."""
        for message in self.conversation(space_id, conversation_id).messages:
            if message.id == message_id:
                return message
        raise not_found(f"Message {message_id} does not exist in conversation {conversation_id}.")

    def start(self, space_id: str, content: str, user: str) -> Message:
        """Begin a conversation with a question."""
        conversation = Conversation(uuid.uuid4().hex, self.space(space_id).id, content, _now(), user)
        self._count()
        self.conversations[conversation.id] = conversation
        return self._ask(conversation, content)

    def ask(self, space_id: str, conversation_id: str, content: str) -> Message:
        """A question in a conversation."""
        conversation = self.conversation(space_id, conversation_id)
        self._count()
        return self._ask(conversation, content)

    def _count(self) -> None:
        with self._lock:
            now = time.monotonic()
            while self._asked_at and now - self._asked_at[0] > 60:
                self._asked_at.popleft()
            if self._per_minute is not None and len(self._asked_at) >= self._per_minute:
                message = f"Exceeded the rate limit of {self._per_minute} Genie questions per minute."
                raise ApiError(429, "REQUEST_LIMIT_EXCEEDED", message)
            self._asked_at.append(now)

    def _ask(self, conversation: Conversation, content: str) -> Message:
        """The message; its SQL starts at once, as the one who asks."""
        space = self.space(conversation.space)
        answer = _match(space.answers, content)
        message = Message(uuid.uuid4().hex, space.id, conversation.id, content, answer, _now(), conversation.user)
        if answer.sql and not answer.error:
            self.run(message)
        with self._lock:
            conversation.messages.append(message)
        self._ws.journal.write("genie_asked", message.id, space=space.id, content=content)
        return message

    def run(self, message: Message) -> "Statement":
        """Run a message's SQL (again)."""
        from tests.workspace.sql.engine import Query, Session

        session = Session(self.space(message.space).namespace, message.user)
        query = Query(message.answer.sql or "")
        message.statement = self._ws.statements.start(query, session, row_limit=self.row_cap)
        return message.statement


def _match(answers: list[Answer], content: str) -> Answer:
    for answer in answers:
        if re.search(answer.pattern, content, re.IGNORECASE):
            return answer
    return Answer("", text="I can't answer this: no answer of this space matches the question.")


def _now() -> int:
    return int(time.time() * 1000)
