"""The offline model: asked like any chat model, it answers by rules and says so."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from pydantic import Field

from agent.models.local_chat import LocalChatModel, Reply, call_prefix, delegates, fails, says, together
from agent.offline.catalog import full
from agent.offline.questions import queries
from agent.offline.reading import answer_of, merge_notes, read_part, table
from agent.offline.text import ABOUT_TEXT, text_code
from agent.prompts import ASKED, CHUNK_ROLE, GENIE_ROLE, LEAF_ROLE, QUERY_ROLE, QUESTION, REDUCE_ROLE
from graph.blob import Blob, parse_blob
from graph.errors import ModelUnavailable
from graph.types import DELEGATE

PARTS = re.compile(r"\?\s+|;\s+|,?\s+and (?:also )?(?=what|how|which|who|where|list|show|describe)", re.IGNORECASE)
GREETING = re.compile(r"\W*(?:hi|hello|hey|good (?:morning|evening|day)|thanks?|thank you|bye)\b[\w ,]{0,20}\W*", re.I)
LISTING = re.compile(r"\b(?:what|which|list|show|how many)\b.*\b(?:tables|schemas|data ?sets|data)\b(?!.*\bby\b)", re.I)
HELP = """\
I am the offline model: a few rules, no language model. By your words I pick tables and columns and write code for
counts, sums and averages by group, the top N, trends over time, duplicates, gaps, descriptions and lists of tables, and
searches of a text. For anything else set `base_model.name` to `openai:gpt-5` (with OPENAI_API_KEY), to another
`provider:model` or `databricks:endpoint`, or `base_model.base_url` to any OpenAI-compatible server."""
NOTE = "_Offline model: rules chose tables and columns by your words. Look at the code if a figure surprises you._"
CODE = """\
answer = execute_sql({sql}, preview_rows=40)
rows = [dict(zip(answer.columns, row)) for row in answer.rows[:80 // len(answer.columns) + 1]]
result = {{"row_count": answer.row_count, "rows": rows}}"""
COLUMN = r't\.(?:\w+|"(?:[^"\n]|"")+")'


class OfflineModel(LocalChatModel):
    """`tables` are the warehouse's; `has_text` says whether code finds a `context`."""

    tables: Callable[[], Sequence[Any]] = Field(default=tuple, exclude=True)
    has_text: bool = False

    @property
    def _llm_type(self) -> str:
        return "offline"

    def _reply(self, messages: Sequence[BaseMessage], offered: Sequence[str]) -> tuple[Reply, str]:
        role, last, reply = messages[0].text, messages[-1].text, None
        if role.startswith(CHUNK_ROLE):
            reply = says(read_part(role.partition(ASKED)[2], last))
        elif role.startswith(REDUCE_ROLE):
            reply = says(merge_notes(last))
        elif role.startswith((LEAF_ROLE, QUERY_ROLE)):
            reply = fails(ModelUnavailable("the offline model understands no texts: set sub_model.name"))
        elif role.startswith(GENIE_ROLE):
            found = list(queries(role.rpartition(QUESTION)[2].strip(), self.tables()).values())
            reply = says(f"```sql\n{found[0]}\n```" if found else f"The words fit no table. {HELP}")
        return reply or self._analyst(messages), call_prefix(0, messages)

    def _analyst(self, messages: Sequence[BaseMessage]) -> Reply:
        """Delegates, repairs once what failed, then tells what came of it."""
        at = max((n for n, m in enumerate(messages) if isinstance(m, HumanMessage) and m.name is None), default=0)
        question, since = messages[at].text, messages[at + 1 :]
        replies = [message for message in since if isinstance(message, AIMessage)]
        if not replies and (codes := self._codes(question)):
            return delegated(codes)
        calls = [call for reply in replies for call in reply.tool_calls if call["name"] == DELEGATE]
        blobs = {call["id"]: parse_blob(call["args"]["code"]) for call in calls}
        told: dict[str, str] = {}
        repairs: dict[str, str] = {}
        for message in (message for message in since if message not in replies):
            failed = isinstance(message, ToolMessage) and message.status == "error"
            blob, text = blobs.get(getattr(message, "tool_call_id", ""), Blob(None, "")), message.text.strip("[]")
            title = blob.instruction or text.partition("\n")[0]
            told[title] = f"**{title}**\n\n{f'That did not work: {text}' if failed else answer_of(text)}"
            repairs |= {title: careful(blob.code)} if failed and careful(blob.code) != blob.code else {}
        if repairs and len(replies) == 1:
            return delegated(repairs)
        return says("\n\n".join([*told.values(), NOTE]) if told else self._plainly(question))

    def _codes(self, question: str) -> dict[str, str]:
        """Code by what it finds out, for each part of the question."""
        if GREETING.fullmatch(question) or LISTING.search(question):
            return {}
        found: dict[str, str] = {}
        for part in filter(None, PARTS.split(question)):
            made = {title: CODE.format(sql=as_python(sql)) for title, sql in queries(part, self.tables()).items()}
            about_text = self.has_text and (not made or re.search(ABOUT_TEXT, part.lower()))
            found |= {part: text_code(part)} if about_text else made
        return found

    def _plainly(self, question: str) -> str:
        if LISTING.search(question) and (tables := self.tables()):
            return table([{"table": full(t), "rows": t.rows, "columns": len(t.columns)} for t in tables])
        return f"{'Hello.' if GREETING.fullmatch(question) else 'I can not make a query of that.'} {HELP}"


def as_python(sql: str) -> str:
    return repr(sql) if '"""' in sql else f'r"""\n{sql}\n"""'


def delegated(codes: dict[str, str]) -> Reply:
    return together(*(delegates(code, instruction=title) for title, code in codes.items()))


def careful(code: str) -> str:
    """The one repair: what should be numbers and dates may be text that holds other things too."""
    code = re.sub(rf"\b(sum|avg|median|max|min)\(({COLUMN})\)", r"\1(TRY_CAST(\2 AS DOUBLE))", code)
    return re.sub(rf"(\byear\(|date_trunc\('\w+', )({COLUMN})\)", r"\1TRY_CAST(\2 AS TIMESTAMP))", code)
