"""The offline model: asked like any chat model, it answers by rules and says so."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from pydantic import Field

from agent.offline.questions import BY, queries, question_to_sql
from agent.offline.reading import answer_of, merge_notes, read_part, table
from agent.offline.text import ABOUT_TEXT, text_code
from agent.offline.words import full
from agent.prompts import ASKED, CHUNK_ROLE, GENIE_ROLE, QUESTION, REDUCE_ROLE
from agent.spoken import Reply, SpokenModel, call_prefix, delegates, says, together
from graph.blob import parse_blob
from graph.types import DELEGATE

MOST_PARTS = 4
PARTS = re.compile(r"\?\s+|;\s+|,?\s+and (?:also )?(?=what|how|which|who|where|list|show|describe)", re.IGNORECASE)
GREETING = re.compile(r"\W*(?:hi|hello|hey|good (?:morning|evening|day)|thanks?|thank you|bye)\b[\w ,]{0,20}\W*", re.I)
LISTING = re.compile(
    r"\b(?:what|which|list|show|how many)\b.*\b(?:tables?|schemas?|data ?sets?|data)\b(?!.*\b(?:by|per|missing|of)\b)",
    re.I,
)
FOLLOWING = re.compile(
    r"\W*(?:and|what about|how about|now|only) (?:(?:by|per|for each|in|since|before|after)\b)", re.I
)
HELP = """\
I am the offline model: a few rules, no language model. By a question's words I pick tables and columns, write SQL or
Python for it and report the figures: counts, sums and averages by group, the top N, trends over time, duplicates, gaps
and missing values, descriptions and lists of tables, and lines of a text counted or searched.

For anything else configure a model: set `base_model.name` to `openai:gpt-5` (with OPENAI_API_KEY), to another
provider's `provider:model` or to `databricks:endpoint`, or `base_model.base_url` to any OpenAI-compatible server."""
NOTE = "_Offline model: rules chose tables and columns by your words. Look at the code if a figure surprises you._"

CODE = """\
answer = execute_sql({sql}, preview_rows={shown})
print(answer)
result = {{"row_count": answer.row_count, "rows": [dict(zip(answer.columns, row)) for row in answer.rows]}}"""


class OfflineModel(SpokenModel):
    """`tables` are the warehouse's; `has_text` says whether code finds a `context`."""

    tables: Callable[[], Sequence[Any]] = Field(default=tuple, exclude=True)
    has_text: bool = False

    @property
    def _llm_type(self) -> str:
        return "offline"

    def _reply(self, messages: Sequence[BaseMessage], offered: Sequence[str]) -> tuple[Reply, str]:
        return self._said(messages), call_prefix(0, messages)

    def _said(self, messages: Sequence[BaseMessage]) -> Reply:
        role = messages[0].text
        if role.startswith(CHUNK_ROLE):
            return says(read_part(role.partition(ASKED)[2], messages[-1].text))
        if role.startswith(REDUCE_ROLE):
            return says(merge_notes(messages[-1].text))
        if role.startswith(GENIE_ROLE):
            sql = question_to_sql(role.rpartition(QUESTION)[2].strip(), self.tables())
            return says(f"```sql\n{sql}\n```" if sql else f"The words of the question fit no table. {HELP}")
        return self._analyst(messages)

    def _analyst(self, messages: Sequence[BaseMessage]) -> Reply:
        at = max((n for n, m in enumerate(messages) if isinstance(m, HumanMessage) and m.name is None), default=0)
        question, since = asked_whole(messages[: at + 1]), messages[at + 1 :]
        rounds = sum(isinstance(message, AIMessage) for message in since)
        if rounds == 0 and (planned := self._planned(question)):
            return planned
        outcomes = [message for message in since if isinstance(message, ToolMessage | HumanMessage)]
        if not outcomes:
            return says(self._plainly(question))
        failed = {called(since, message) for message in outcomes if trouble(message)}
        careful = {
            code: title for code, title in self._codes(question, careful=True).items() if (title, code) not in failed
        }
        repairs = {code: title for code, title in careful.items() if title in dict(failed)}
        if rounds == 1 and repairs:
            return delegated(repairs)
        repaired = {called(since, message)[0] for message in outcomes if not trouble(message)}
        shown = [m for m in outcomes if not (trouble(m) and called(since, m)[0] in repaired)]
        return says("\n\n".join([*(told(since, message) for message in shown), NOTE]))

    def _planned(self, question: str) -> Reply | None:
        if GREETING.fullmatch(question) or LISTING.search(question):
            return None
        codes = dict(list(self._codes(question).items())[:MOST_PARTS])
        return delegated(codes) if codes else None

    def _codes(self, question: str, careful: bool = False) -> dict[str, str]:
        """Code by what it finds out, for each part of the question."""
        found: dict[str, str] = {}
        for part in filter(None, PARTS.split(question)):
            made = queries(part, self.tables(), careful)
            if self.has_text and (ABOUT_TEXT.search(part.lower()) or not made):
                found[text_code(part)] = part
            else:
                found |= {CODE.format(sql=as_python(query.sql), shown=query.shown): query.title for query in made}
        return found

    def _plainly(self, question: str) -> str:
        if GREETING.fullmatch(question):
            return f"Hello. {HELP}"
        if LISTING.search(question) and (tables := self.tables()):
            return table([{"table": full(t), "rows": t.rows, "columns": len(t.columns)} for t in tables])
        return f"I can't make a query of that. {HELP}"


def asked_whole(messages: Sequence[BaseMessage]) -> str:
    """The last question; after `and by city?` with the one before it, but for what that was grouped by."""
    asked = ["", *(m.text for m in messages if isinstance(m, HumanMessage) and m.name is None)]
    follows = FOLLOWING.match(asked[-1]) and asked[-2]
    return f"{BY.sub('', asked[-2].rstrip('?. '))} {asked[-1]}" if follows else asked[-1]


def as_python(sql: str) -> str:
    return repr(sql) if '"""' in sql else f'r"""\n{sql}\n"""'


def delegated(codes: dict[str, str]) -> Reply:
    return together(*(delegates(code, instruction=title) for code, title in codes.items()))


def trouble(message: BaseMessage) -> bool:
    return isinstance(message, ToolMessage) and message.status == "error"


def called(since: Sequence[BaseMessage], message: BaseMessage) -> tuple[str, str]:
    """The title and the code of the call that a message answers."""
    for reply in since:
        for call in reply.tool_calls if isinstance(reply, AIMessage) else ():
            if call["id"] == getattr(message, "tool_call_id", None) and call["name"] == DELEGATE:
                blob = parse_blob(call["args"]["code"])
                return blob.instruction or "", blob.code
    return "", ""


def told(since: Sequence[BaseMessage], message: BaseMessage) -> str:
    title, text = called(since, message)[0], message.text.removeprefix("[").removesuffix("]")
    heading = f"**{title[:1].upper()}{title[1:]}**\n\n" if title else ""
    return heading + (f"That did not work: {text}" if trouble(message) else answer_of(text))
