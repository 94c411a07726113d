"""A Genie space of a workspace: questions are started and looked at by ourselves, so that they can be cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from agent.execution.databricks_job import Claims
from agent.tools.services import GenieAnswer, GenieUnavailable
from agent.workspace.refusals import named

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

SETTING = "genie.space_id"
SECONDS = 600.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
MOST_CONVERSATIONS = 100


@dataclass(frozen=True)
class SpaceGenie:
    """Each thread has a conversation of its own, kept beside it, so that follow-ups hold in every replica."""

    client: Callable[[], WorkspaceClient]
    space_id: str
    claims: Claims
    seconds: float = SECONDS

    def ask(self, question: str, thread_id: str, cancelled: threading.Event | None = None) -> GenieAnswer:
        """Answer in the thread's own conversation. Raises GenieUnavailable."""
        conversation_id, message_id = self._ask(question, thread_id)
        message = self._await(conversation_id, message_id, cancelled or threading.Event())
        status = message.status.value if message.status else "UNKNOWN"
        if status == "QUERY_RESULT_EXPIRED":
            return self._answer(message, again=True)
        if status != "COMPLETED":
            raise GenieUnavailable(describe_failure(status, message))
        return self._answer(message, again=False)

    def _ask(self, question: str, thread_id: str) -> tuple[str, str]:
        """In the conversation that the thread has; a new one when it has none, or that one is gone."""
        from databricks.sdk.errors import NotFound

        for number in range(MOST_CONVERSATIONS):
            key = f"genie:{self.space_id}:{number}"
            known = self.claims.claimed(thread_id, key)
            with self._named():
                if known is None:
                    begun: Any = self.client().genie.start_conversation(self.space_id, question).response
                    self.claims.claim(thread_id, key, str(begun.conversation_id))
                    return str(begun.conversation_id), str(begun.message_id)
                try:
                    asked: Any = self.client().genie.create_message(self.space_id, known, question).response
                except NotFound:
                    continue
                return known, str(asked.message_id)
        raise GenieUnavailable("the thread's conversations with Genie are gone: ask on a new thread.")

    def _await(self, conversation_id: str, message_id: str, cancelled: threading.Event) -> Any:
        """The message when it has come to an end, whichever; the SDK's own waiting never ends on some."""
        began = monotonic()
        while True:
            with self._named():
                message = self.client().genie.get_message(self.space_id, conversation_id, message_id)
            if message.status and message.status.value in ENDS:
                return message
            waited = monotonic() - began
            if waited > self.seconds:
                raise GenieUnavailable(f"it has not answered in {self.seconds:g} s: ask something simpler, or code it.")
            if cancelled.wait(min(max(waited / 5, SHORTEST_PAUSE), LONGEST_PAUSE)):
                raise GenieUnavailable("the request was cancelled while Genie was working.")

    def _answer(self, message: Any, again: bool) -> GenieAnswer:
        texts, sql, attachment = [], None, None
        for one in message.attachments or []:
            if one.text and one.text.content:
                texts.append(str(one.text.content))
            if one.query and one.query.query:
                sql, attachment = str(one.query.query), one.attachment_id
                texts += [str(one.query.description)] if one.query.description else []
        text = "\n\n".join(texts)
        if sql is None or attachment is None:
            return GenieAnswer(text)
        found = self._result(message, attachment, again)
        columns = tuple(column.name for column in found.manifest.schema.columns or ())
        lines = found.result.data_array or [] if found.result else []
        truncated = bool(found.manifest.truncated)
        total = found.manifest.total_row_count or len(lines)
        return GenieAnswer(text, sql, columns, tuple(map(tuple, lines)), total, truncated)

    def _result(self, message: Any, attachment: str, again: bool) -> Any:
        genie = self.client().genie
        place = (self.space_id, message.conversation_id, message.message_id or message.id, attachment)
        with self._named():
            if again:
                genie.execute_message_attachment_query(*place)
            response: Any = genie.get_message_attachment_query_result(*place).statement_response
        state = response.status.state.value if response and response.status and response.status.state else "UNKNOWN"
        if state != "SUCCEEDED" or response.manifest is None:
            reason = response.status.error.message if response and response.status and response.status.error else state
            raise GenieUnavailable(f"its SQL gave no rows: {reason}")
        return response

    def _named(self) -> Any:
        return named(GenieUnavailable, f"The Genie space {self.space_id}", SETTING)


ENDS = ("COMPLETED", "FAILED", "CANCELLED", "QUERY_RESULT_EXPIRED")


def describe_failure(status: str, message: Any) -> str:
    if status == "CANCELLED":
        return "the question was cancelled in Genie."
    reason = message.error.error if message.error and message.error.error else "it gave no reason"
    return f"it failed: {reason}"


@dataclass(frozen=True)
class NoGenie:
    """In place of a space that the settings don't name."""

    def ask(self, question: str, thread_id: str, cancelled: threading.Event | None = None) -> GenieAnswer:
        raise GenieUnavailable(
            f"there is no Genie space: set {SETTING}. Delegate code that queries the tables instead."
        )
